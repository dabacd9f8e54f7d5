"""Clips as files: read by PyAV or Pillow, written by PyAV (mp4, webm) or Pillow (GIF, animated WebP).

Frames are read and written one by one, so that a long clip takes the memory of its own bytes. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weft.engine import InputError, Limits, check_pixels
from weft.nodes.media_values import Audio, Video
from weft.nodes.sound_files import encode_sound, samples_of

if TYPE_CHECKING:
    import numpy

ClipFormat = Literal["mp4", "webm", "webp", "gif"]

ClipQuality = Literal["lossless", "high", "medium", "small"]

BY_PILLOW = frozenset({".gif", ".webp", ".png", ".apng"})
"""The endings of animations that Pillow reads."""

SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".gif", ".webp", ".png", ".apng")
"""The endings of files that LoadVideo takes."""

CRF: Mapping[ClipFormat, Mapping[ClipQuality, str]] = {
    "mp4": {"lossless": "0", "high": "14", "medium": "20", "small": "28"},
    "webm": {"lossless": "0", "high": "18", "medium": "28", "small": "38"},
}
"""The constant rate factor of x264 and of VP9: less is better."""

WEBP: Mapping[ClipQuality, int] = {"high": 95, "medium": 85, "small": 65}

BT601 = 6
"""SMPTE 170M, which the conversion to luma and chroma follows; the file names it, so that players undo that one."""


def needs_pyav(what: str) -> None:
    """Raise `InputError` where PyAV is not installed."""
    if find_spec("av") is None:
        raise InputError(f"{what} needs the package av", "pip install 'weft-engine[video]'", "missing-package")


@dataclass(frozen=True)
class ClipFacts:
    """What the head of a file says of its clip."""

    width: int
    height: int
    rate: float
    sound: bool


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """While open, what libraries raise for a file is an `InputError` about it."""
    try:
        yield
    except InputError:
        raise
    except Exception as fault:  # PyAV and Pillow have many classes of errors
        message = f"`{name}` cannot be read as a clip ({type(fault).__name__}: {str(fault)[:120]})"
        raise InputError(message, "convert it: ffmpeg -i FILE NEW.mp4", "damaged-file") from fault


def probe_clip(path: Path) -> ClipFacts:
    """What the head of a file says.

    Raises:
        InputError: where it is no clip, is damaged, or needs a package that is not installed.
    """
    with _reading(path.name):
        if path.suffix.lower() in BY_PILLOW:
            import PIL.Image

            with PIL.Image.open(path) as picture:
                return ClipFacts(*picture.size, 1000 / _milliseconds(picture), False)
        needs_pyav(f"reading `{path.name}`")
        import av

        with av.open(str(path)) as container:
            stream = _pictures(container, path.name)
            return ClipFacts(stream.width, stream.height, _rate(stream), bool(container.streams.audio))


def check_clip(path: Path) -> None:
    """Raise `InputError` unless a file is a clip."""
    probe_clip(path)


def _milliseconds(picture: Any) -> float:
    return float(picture.info.get("duration") or 100)


def _pictures(container: Any, name: str) -> Any:
    """The stream of pictures in a file."""
    if not container.streams.video:
        raise InputError(f"`{name}` has no pictures, only sound", "load it with LoadAudio", "wrong-kind-of-file")
    stream = container.streams.video[0]
    if not (stream.width and stream.height):
        hint = "convert it: ffmpeg -i FILE NEW.mp4"
        raise InputError(f"`{name}` does not say how large its pictures are", hint, "damaged-file")
    return stream


def _rate(stream: Any) -> float:
    """Frames a second; of a stream with changing times their mean."""
    return float(stream.average_rate or stream.guessed_rate or 25)


def read_clip(path: Path, limits: Limits, start: int = 0, count: int = 0, every: int = 1) -> Video:
    """A clip, or a part of it, with its sound.

    Args:
        start: the first frame, from 0.
        count: how many frames are taken; 0 takes all.
        every: 2 takes every second frame, at half of the rate.

    Raises:
        InputError: where the file is no clip, is damaged, or has more pixels than the limits.
    """
    import torch

    facts = probe_clip(path)
    held, taken, size = bytearray(), 0, (facts.height, facts.width)
    with _reading(path.name):
        for number, frame in enumerate(_frames(path)):
            if number < start or (number - start) % every:
                continue
            size = (frame.shape[0], frame.shape[1]) if taken == 0 else size
            check_pixels(size[1], size[0] * (taken + 1), 1, limits)
            held += frame.tobytes()
            taken += 1
            if taken == count:
                break
    if not taken:
        raise InputError(f"`{path.name}` has no frame from number {start} on", "start earlier", "out-of-range")
    frames = torch.frombuffer(held, dtype=torch.uint8).reshape(taken, *size, 3)
    return Video(frames, facts.rate / every, _sound(path, facts, start, taken * every))


def _frames(path: Path) -> Iterator[numpy.ndarray[Any, Any]]:
    """The frames of a file one by one, upright, as bytes `[height, width, 3]`."""
    import numpy

    if path.suffix.lower() in BY_PILLOW:
        import PIL.Image
        import PIL.ImageSequence

        with PIL.Image.open(path) as picture:
            for one in PIL.ImageSequence.Iterator(picture):
                yield numpy.asarray(one.convert("RGB"))
        return
    import av

    with av.open(str(path)) as container:
        stream = _pictures(container, path.name)
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            yield numpy.rot90(frame.to_ndarray(format="rgb24"), turns)


def _sound(path: Path, facts: ClipFacts, start: int, frames: int) -> Audio | None:
    """The sound of so many frames from one on; None where the file has none."""
    if not facts.sound:
        return None
    with _reading(path.name):
        whole = samples_of(path)
    first = round(start / facts.rate * whole.rate)
    part = whole.samples[:, first : first + round(frames / facts.rate * whole.rate)]
    return Audio(part.contiguous(), whole.rate) if part.shape[1] else None


def check_writable_as(format: ClipFormat, width: int, height: int, quality: ClipQuality) -> None:
    """Raise `InputError` where a format cannot hold frames of a size."""
    if format in CRF:
        needs_pyav(f"writing {format}")
        if quality != "lossless" and (width % 2 or height % 2):
            message = f"{format} holds colours at half of the size, so sides must be even; found {width} x {height}"
            raise InputError(message, "use ScaleVideo, or the quality `lossless`", "unwritable-picture")


def encode_clip(video: Video, format: ClipFormat, quality: ClipQuality) -> bytes:
    """A clip as the bytes of a file.

    Raises:
        InputError: where the format cannot hold it.
    """
    _, height, width, _ = video.frames.shape
    check_writable_as(format, width, height, quality)
    return _by_pyav(video, format, quality) if format in CRF else _by_pillow(video, format, quality)


def _by_pillow(video: Video, format: ClipFormat, quality: ClipQuality) -> bytes:
    import PIL.Image

    first, *rest = (PIL.Image.fromarray(frame.numpy()) for frame in video.frames)
    written = BytesIO()
    lossy: dict[str, Any] = {"lossless": True} if quality == "lossless" else {"quality": WEBP[quality]}
    own: dict[str, Any] = {"minimize_size": False, "allow_mixed": False, **lossy} if format == "webp" else {}
    shown: dict[str, Any] = {"duration": round(1000 / video.rate), "loop": 0}
    first.save(written, format.upper(), save_all=True, append_images=rest, **shown, **own)
    return written.getvalue()


def _by_pyav(video: Video, format: ClipFormat, quality: ClipQuality) -> bytes:
    import av

    written = BytesIO()
    with av.open(written, "w", format=format, container_options={"fflags": "+bitexact"}) as container:
        stream = _stream(container, video, format, quality)
        # The sound's stream has to be there before the head of the file is written, with the first frame.
        sound = encode_sound(container, format, video.audio) if video.audio else None
        for picture in video.frames:
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            container.mux([packet for packets in sound for packet in packets])
    return written.getvalue()


def _stream(container: Any, video: Video, format: ClipFormat, quality: ClipQuality) -> Any:
    """The stream of a clip's pictures in a file. One thread, so that equal clips give equal bytes on every machine."""
    exact = quality == "lossless"
    codec = ("libx264rgb" if exact else "libx264") if format == "mp4" else "libvpx-vp9"
    stream = container.add_stream(codec, rate=Fraction(video.rate).limit_denominator(1001))
    stream.width, stream.height = video.frames.shape[2], video.frames.shape[1]
    options = {"crf": CRF[format][quality], "threads": "1"}
    if format == "mp4":
        stream.pix_fmt = "rgb24" if exact else "yuv420p"
        # Macroblock trees differ from run to run, in the last bits of what they add up.
        options |= {"preset": "medium", "x264-params": "mbtree=0"}
    else:
        stream.pix_fmt = "gbrp" if exact else "yuv420p"
        options |= {"b:v": "0", "cpu-used": "4", **({"lossless": "1"} if exact else {})}
    stream.options = options
    if not exact:
        stream.codec_context.colorspace, stream.codec_context.color_range = BT601, 1
    return stream
