"""Sound as files: WAV by Python itself, FLAC and others by soundfile or PyAV. Imports nothing heavy."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from weft.engine import InputError
from weft.nodes.media_values import Audio

SoundFormat = Literal["wav", "flac"]

SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aac", ".opus", ".mp4", ".webm", ".mov", ".mkv")
"""The endings of files that LoadAudio takes."""

FULL = 32767
"""The greatest number in samples of 16 bits."""

PACKET = 1024
"""Samples that are encoded at once."""


def read_sound(path: Path) -> Audio:
    """The sound of a file.

    Raises:
        InputError: where there is none, it is damaged, or it needs a package that is not installed.
    """
    try:
        return _wav(path) if path.suffix.lower() == ".wav" else samples_of(path)
    except InputError:
        raise
    except Exception as fault:  # libraries have many classes of errors
        message = f"`{path.name}` cannot be read as sound ({type(fault).__name__}: {str(fault)[:120]})"
        raise InputError(message, "convert it: ffmpeg -i FILE NEW.wav", "damaged-file") from fault


def _wav(path: Path) -> Audio:
    """A WAV of 16 bits by Python itself, others by libraries."""
    import torch

    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                return samples_of(path)
            content, channels, rate = file.readframes(file.getnframes()), file.getnchannels(), file.getframerate()
    except wave.Error:
        return samples_of(path)
    if not content:
        raise InputError(f"`{path.name}` has no samples", "give another file", "damaged-file")
    numbers = torch.frombuffer(bytearray(content), dtype=torch.int16).float() / (FULL + 1)
    return Audio(numbers.reshape(-1, channels).T.contiguous(), rate)


def samples_of(path: Path) -> Audio:
    """The sound in a file of any kind that PyAV reads.

    Raises:
        InputError: where there is none, or PyAV is not installed.
    """
    import numpy
    import torch

    if find_spec("av") is None:
        message = f"reading the sound of `{path.name}` needs the package av"
        raise InputError(message, "pip install 'weft-engine[video]'", "missing-package")
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise InputError(f"`{path.name}` has no sound", "give a file that has some", "wrong-kind-of-file")
        stream = container.streams.audio[0]
        rate, layout = stream.rate, stream.layout.name
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        decoded: Sequence[Any] = [one for frame in container.decode(stream) for one in resampler.resample(frame)]
    if not decoded:
        raise InputError(f"`{path.name}` has no samples", "give another file", "damaged-file")
    return Audio(torch.from_numpy(numpy.concatenate([one.to_ndarray() for one in decoded], 1)), rate)


def sound_file(audio: Audio, format: SoundFormat) -> bytes:
    """Sound as the bytes of a file, in 16 bits (WAV) or 24 (FLAC); what lies beyond -1..1 is clamped.

    Raises:
        InputError: where FLAC's package is not installed.
    """
    written = BytesIO()
    clamped = audio.samples.clamp(-1, 1)
    if format == "wav":
        with wave.open(written, "wb") as file:
            file.setnchannels(clamped.shape[0])
            file.setsampwidth(2)
            file.setframerate(audio.rate)
            file.writeframes((clamped * FULL).round().short().T.contiguous().numpy().tobytes())
        return written.getvalue()
    if find_spec("soundfile") is None:
        message = "writing FLAC needs the package soundfile"
        raise InputError(message, "pip install 'weft-engine[video]', or choose wav", "missing-package")
    import soundfile

    soundfile.write(written, clamped.T.numpy(), audio.rate, format="FLAC", subtype="PCM_24")
    return written.getvalue()


def encode_sound(container: Any, format: str, audio: Audio) -> Iterator[list[Any]]:
    """The packets of a clip's sound, as they are encoded; its stream is added to the file at once."""
    mono = audio.samples.shape[0] == 1
    rate = audio.rate if format == "mp4" else 48_000
    stream = container.add_stream("aac" if format == "mp4" else "libopus", rate=rate)
    stream.layout = "mono" if mono else "stereo"
    return _packets(stream, audio, rate)


def _packets(stream: Any, audio: Audio, rate: int) -> Iterator[list[Any]]:
    import av

    layout = "mono" if audio.samples.shape[0] == 1 else "stereo"
    resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
    samples = audio.samples[:2].clamp(-1, 1).contiguous().numpy()
    for first in range(0, samples.shape[1], PACKET):
        frame = av.AudioFrame.from_ndarray(samples[:, first : first + PACKET].copy(), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = audio.rate, first, Fraction(1, audio.rate)
        for one in resampler.resample(frame):
            yield stream.encode(one)
    for one in resampler.resample(None):
        yield stream.encode(one)
    yield stream.encode(None)
