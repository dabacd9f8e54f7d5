"""Clips: LoadVideo, SaveVideo, to and from pictures, parts, joins, rates, sizes, contact strips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import (
    INJECTED,
    Artifact,
    Choices,
    Context,
    InputError,
    InputFile,
    Limits,
    NodeProblem,
    Range,
    check_pixels,
    media_type,
    name_fault,
    node,
)
from weft.nodes.media_values import Audio, Video
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import Image
from weft.nodes.video_files import (
    CRF,
    SUFFIXES,
    ClipFormat,
    ClipQuality,
    check_clip,
    encode_clip,
    needs_pyav,
    read_clip,
)

if TYPE_CHECKING:
    from torch import Tensor

MEDIA: Mapping[ClipFormat, str] = {
    "mp4": media_type("video/mp4", ".mp4"),
    "webm": media_type("video/webm", ".webm"),
    "webp": "image/webp",
    "gif": media_type("image/gif", ".gif"),
}
"""The media type of each format."""

FORMATS = Choices(
    {
        "mp4": "H.264, which everything plays; needs the extra `video`",
        "webm": "VP9, for web pages; slower to write; needs the extra `video`",
        "webp": "an animated picture, also without loss",
        "gif": "an animated picture of 256 colours",
    }
)

QUALITIES = Choices(
    {
        "lossless": "every colour as it is (GIF has 256 all the same); large, and some players show no lossless mp4",
        "high": "no difference is seen",
        "medium": "for showing",
        "small": "for previews",
    }
)

RateMethod = Literal["keep", "repeat", "blend"]


@node(category="video", lane="io")
def LoadVideo(
    path: Annotated[str, InputFile(SUFFIXES, check_clip)],
    *,
    start: Annotated[int, Range(0)] = 0,
    count: Annotated[int, Range(0)] = 0,
    every: Annotated[int, Range(1, 10_000)] = 1,
    context: Context = INJECTED,
) -> Video:
    """Read a clip with its sound: mp4, webm, mov, mkv, avi; GIF, animated WebP and APNG.

    The first ones need `pip install 'weft-engine[video]'`. Frames are turned upright. Of a file whose frames come at
    changing times each frame counts alike, at their mean rate.

    Args:
        path: looked up next to the graph, in the working directory and in the input folders.
        start: the first frame that is taken, counted from 0.
        count: how many frames are taken; 0 takes all.
        every: 2 takes every second frame, and halves the rate, so that the motion keeps its speed.
    """
    (file,) = context.found(path).resolved.files
    return read_clip(Path(file), context.limits, start, count, every)


def _check_saving(inputs: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
    """The name stays in the output folder; the format's package is there."""
    fault = name_fault(inputs["name"]) if "name" in inputs else None
    if fault:
        hint = "give a plain name, without folders above it and without an ending"
        yield NodeProblem("name", fault, hint, "malformed-path")
    if inputs.get("format") in CRF:
        try:
            needs_pyav(f"writing {inputs['format']}")
        except InputError as refusal:
            yield NodeProblem.of(refusal, "format")


@node(category="video", lane="io", check=_check_saving)
def SaveVideo(
    video: Video,
    name: str = "clip",
    *,
    format: Annotated[ClipFormat, FORMATS] = "mp4",
    quality: Annotated[ClipQuality, QUALITIES] = "high",
) -> Artifact:
    """Save a clip, with its sound where it has some and the format can hold it.

    For a file for each frame link SaveImage to SplitVideo.

    Args:
        video: the clip. mp4 and webm want even sides, unless they are lossless.
        name: of the file, without number and suffix.
        format: `mp4` for most uses.
        quality: of the pictures.
    """
    return Artifact(encode_clip(video, format, quality), MEDIA[format], name)


@node(category="video", lane="cpu", check=has_some("images", "picture"))
def MakeVideo(
    images: Image | list[Image],
    audio: Audio | None = None,
    *,
    rate: Annotated[float, Range(0.01, 1000.0)] = 8.0,
    context: Context = INJECTED,
) -> Video:
    """Make a clip of pictures.

    Args:
        images: a batch, or a list of them, all of one size; transparency is left out.
        audio: the sound that belongs to it.
        rate: frames a second.
    """
    import torch

    from weft.nodes.picture_files import to_levels

    batches = [images] if isinstance(images, Image) else images
    if not batches:
        raise empty_list("picture")
    _same_size([tuple(one.pixels.shape[1:3]) for one in batches])
    height, width = batches[0].pixels.shape[1:3]
    check_pixels(width, height * sum(len(one.pixels) for one in batches), 1, context.limits)
    frames = [torch.from_numpy(to_levels(one.pixels[..., :3])) for one in batches]
    return Video(frames[0] if len(frames) == 1 else torch.cat(frames), rate, audio)


def _same_size(sizes: Iterable[tuple[int, ...]]) -> None:
    """Raise `InputError` where there are several sizes."""
    found = dict.fromkeys(sizes)
    if len(found) > 1:
        shown = ", ".join(f"{width} x {height}" for height, width in found)
        raise InputError(f"frames of a clip have one size; found {shown}", "scale them first", "size-mismatch")


@node(category="video", lane="cpu")
def SplitVideo(video: Video, *, context: Context = INJECTED) -> Image:
    """Make a batch of pictures of a clip's frames.

    Args:
        video: the clip; its frames then take four times the memory, so take a part of a long one by TrimVideo.
    """
    count, height, width, _ = video.frames.shape
    check_pixels(width, height, count, context.limits)
    return video.images()


@node(category="video", lane="cpu")
def TrimVideo(
    video: Video, *, start: Annotated[int, Range(-(10**9), 10**9)] = 0, count: Annotated[int, Range(0)] = 0
) -> Video:
    """Take a part of a clip, with its sound.

    Args:
        video: the clip.
        start: the first frame, counted from 0; below 0 from the end: -8 takes the last eight.
        count: how many frames are taken; 0 takes all that follow.
    """
    first = start + len(video.frames) if start < 0 else start
    if not 0 <= first < len(video.frames):
        raise InputError(f"there is no frame {start} in a clip of {len(video.frames)}", "count from 0", "out-of-range")
    frames = video.frames[first : first + count if count else None].clone()
    return Video(frames, video.rate, _part_of_sound(video, first, len(frames)))


def _part_of_sound(video: Video, first: int, count: int) -> Audio | None:
    """The sound of so many frames."""
    if video.audio is None:
        return None
    rate = video.audio.rate / video.rate
    part = video.audio.samples[:, round(first * rate) : round((first + count) * rate)]
    return Audio(part.contiguous(), video.audio.rate) if part.shape[1] else None


@node(category="video", lane="cpu", check=has_some("videos", "clip"))
def JoinVideos(
    videos: list[Video], *, crossfade: Annotated[int, Range(0, 10_000)] = 0, context: Context = INJECTED
) -> Video:
    """Put clips one after another.

    Args:
        videos: all of one size and rate (ScaleVideo, SetFrameRate). Sound is kept where all have some, of one rate.
        crossfade: frames in which the end of one fades into the beginning of the next, which overlap; 0 cuts.
    """
    import torch

    if not videos:
        raise empty_list("clip")
    _same_size([tuple(one.frames.shape[1:3]) for one in videos])
    if len({one.rate for one in videos}) > 1:
        rates = ", ".join(f"{one.rate:g}" for one in videos)
        raise InputError(f"the clips have several rates: {rates}", "put SetFrameRate before each", "size-mismatch")
    if crossfade > min(len(one.frames) for one in videos) // 2 and len(videos) > 1:
        message = f"a crossfade of {crossfade} frames is over half of the shortest clip"
        raise InputError(message, "give fewer frames", "out-of-range")
    _, height, width, _ = videos[0].frames.shape
    check_pixels(width, height * sum(len(one.frames) for one in videos), 1, context.limits)
    parts = [videos[0].frames]
    for one in videos[1:]:
        if crossfade:
            faded = _faded(parts[-1][-crossfade:], one.frames[:crossfade])
            parts[-1:] = [parts[-1][:-crossfade], faded]
        parts.append(one.frames[crossfade:])
    return Video(torch.cat(parts), videos[0].rate, None if crossfade else _joined_sound(videos))


def _faded(end: Tensor, beginning: Tensor) -> Tensor:
    """Frames that go from those of one clip to those of another, frame by frame."""
    import torch

    shares = [(number + 1) / (len(end) + 1) for number in range(len(end))]
    return torch.stack([_mixed(a, b, share) for a, b, share in zip(end, beginning, shares, strict=True)])


def _mixed(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Two frames mixed, rounded to bytes."""
    return (one.float() * (1 - share) + other.float() * share).round_().byte()


def _joined_sound(videos: list[Video]) -> Audio | None:
    import torch

    sounds = [one.audio for one in videos if one.audio]
    forms = {(one.rate, len(one.samples)) for one in sounds}
    if len(sounds) < len(videos) or len(forms) > 1:
        return None
    return Audio(torch.cat([one.samples for one in sounds], 1), sounds[0].rate)


@node(category="video", lane="cpu")
def ReverseVideo(video: Video, *, back_and_forth: bool = False) -> Video:
    """Play a clip backwards, or forwards and then backwards, as a loop without a jump. Sound is left out.

    Args:
        video: the clip.
        back_and_forth: forwards first; the first and the last frame come once.
    """
    import torch

    backwards = video.frames.flip(0)
    frames = torch.cat([video.frames, backwards[1:-1]]) if back_and_forth else backwards
    return Video(frames.contiguous(), video.rate)


@node(category="video", lane="cpu")
def SetFrameRate(
    video: Video,
    rate: Annotated[float, Range(0.01, 1000.0)],
    *,
    method: Annotated[
        RateMethod,
        Choices(
            {
                "keep": "the same frames, faster or slower; sound is left out",
                "repeat": "the same length: frames are repeated or left out",
                "blend": "the same length: each frame is mixed of the two around its time",
            }
        ),
    ] = "keep",
    context: Context = INJECTED,
) -> Video:
    """Change how many frames a second a clip has.

    Args:
        video: the clip.
        rate: frames a second: 24 for film, 30 for most screens, 8 as many models make them.
        method: `keep` changes the speed, the others keep it. `blend` shows double contours where things move fast.
    """
    import torch

    if method == "keep":
        return Video(video.frames, rate)
    count, height, width, _ = video.frames.shape
    wanted = max(1, round(count * rate / video.rate))
    check_pixels(width, height * wanted, 1, context.limits)
    frames = torch.empty((wanted, height, width, 3), dtype=torch.uint8)
    for number in range(wanted):
        place = min(number * video.rate / rate, count - 1)
        before, share = int(place), place - int(place)
        after = min(before + 1, count - 1)
        blended = method == "blend" and share
        frames[number] = _mixed(video.frames[before], video.frames[after], share) if blended else video.frames[before]
    return Video(frames, rate, video.audio)


@node(category="video", lane="cpu")
def ScaleVideo(
    video: Video,
    width: Annotated[int, Range(1, 65536)],
    height: Annotated[int, Range(1, 65536)],
    *,
    context: Context = INJECTED,
) -> Video:
    """Scale the frames of a clip, by Lanczos' filter.

    Args:
        video: the clip.
        width: in pixels; even for mp4 and webm.
        height: in pixels; even for mp4 and webm.
    """
    import numpy
    import PIL.Image
    import torch

    check_pixels(width, height * len(video.frames), 1, context.limits)
    frames = torch.empty((len(video.frames), height, width, 3), dtype=torch.uint8)
    for number, frame in enumerate(video.frames):
        scaled = PIL.Image.fromarray(frame.numpy()).resize((width, height), PIL.Image.Resampling.LANCZOS)
        frames[number] = torch.from_numpy(numpy.asarray(scaled).copy())
        context.progress(number + 1, len(frames))
    return Video(frames, video.rate, video.audio)


@node(category="video", lane="cpu")
def DrawContactStrip(
    video: Video,
    *,
    count: Annotated[int, Range(1, 1000)] = 8,
    columns: Annotated[int, Range(0, 1000)] = 0,
    context: Context = INJECTED,
) -> Image:
    """Draw frames of a clip side by side, evenly spaced from the first to the last, to see its motion in one picture.

    Args:
        video: the clip.
        count: how many frames are drawn, as far as there are as many.
        columns: frames in a row; 0 puts all into one row.
    """
    import torch

    shown = min(count, len(video.frames))
    places = [round(number * (len(video.frames) - 1) / max(1, shown - 1)) for number in range(shown)]
    _, height, width, _ = video.frames.shape
    across = min(columns or shown, shown)
    down = -(-shown // across)
    check_pixels(across * width, down * height, 1, context.limits)
    strip = torch.ones((down * height, across * width, 3), dtype=torch.float32)
    for number, place in enumerate(places):
        top, left = number // across * height, number % across * width
        strip[top : top + height, left : left + width] = video.frames[place].float() / 255
    return Image(strip[None])
