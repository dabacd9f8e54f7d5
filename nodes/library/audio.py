"""Sound: LoadAudio, SaveAudio, into a clip and out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any

from weft.engine import (
    INJECTED,
    Artifact,
    Context,
    InputError,
    InputFile,
    Limits,
    NodeProblem,
    Range,
    media_type,
    name_fault,
    node,
)
from weft.nodes.media_values import Audio, Video
from weft.nodes.sound_files import SOUNDS, SoundFormat, read_sound, sound_file

MEDIA: Mapping[SoundFormat, str] = {
    "wav": media_type("audio/wav", ".wav"),
    "flac": media_type("audio/flac", ".flac"),
}
"""The media type of each format."""


@node(category="audio", lane="io")
def LoadAudio(path: Annotated[str, InputFile(SOUNDS)], *, context: Context = INJECTED) -> Audio:
    """Read sound: WAV, and by the extra `video` FLAC, MP3, Ogg, M4A and the sound of clips.

    Args:
        path: looked up next to the graph, in the working directory and in the input folders.
    """
    (file,) = context.found(path).resolved.files
    return read_sound(file)


def _check_saving(inputs: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
    """The name stays in the output folder; FLAC's package is there."""
    fault = name_fault(inputs["name"]) if "name" in inputs else None
    if fault:
        hint = "give a plain name, without folders above it and without an ending"
        yield NodeProblem("name", fault, hint, "malformed-path")
    if inputs.get("format") == "flac" and find_spec("soundfile") is None:
        hint = "pip install 'weft-engine[video]', or choose wav"
        yield NodeProblem("format", "writing FLAC needs the package soundfile", hint, "missing-package")


@node(category="audio", lane="io", check=_check_saving)
def SaveAudio(audio: Audio, name: str = "sound", *, format: SoundFormat = "wav") -> Artifact:
    """Save sound; what lies beyond -1..1 is clamped.

    Args:
        audio: the sound.
        name: of the file, without number and suffix.
        format: `wav` has 16 bits and needs nothing; `flac` has 24 and half of the size, and needs the extra `video`.
    """
    return Artifact(sound_file(audio, format), MEDIA[format], name)


@node(category="audio", lane="cpu")
def TrimAudio(
    audio: Audio, *, start: Annotated[float, Range(0.0)] = 0.0, seconds: Annotated[float, Range(0.0)] = 0.0
) -> Audio:
    """Take a part of sound.

    Args:
        audio: the sound.
        start: where the part begins, in seconds.
        seconds: how long it is; 0 takes all that follows.
    """
    first = round(start * audio.rate)
    last = first + round(seconds * audio.rate) if seconds else None
    part = audio.samples[:, first:last].clone()
    if not part.shape[1]:
        message = f"there is nothing at {start:g} s in sound of {audio.seconds:.2f} s"
        raise InputError(message, "start earlier", "out-of-range")
    return Audio(part, audio.rate)


@node(category="audio", lane="cpu")
def SetAudio(video: Video, audio: Audio) -> Video:
    """Give a clip sound, in place of any that it has. Where it is longer than the clip, its end is cut.

    Args:
        video: the clip.
        audio: the sound.
    """
    samples = audio.samples[:, : round(video.seconds * audio.rate)]
    return replace(video, audio=Audio(samples.contiguous(), audio.rate))


@node(category="audio", lane="cpu")
def TakeAudio(video: Video) -> Audio:
    """Take the sound out of a clip.

    Args:
        video: a clip with sound.
    """
    if video.audio is None:
        raise InputError("the clip has no sound", "give another one", "missing-input")
    return video.audio
