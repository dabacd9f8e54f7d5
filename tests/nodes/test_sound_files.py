"""Files of sound, alone and in clips, as they are read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nodes.clips import clip, decoded, file_of, tone
from weft.engine import Engine, Graph
from weft.nodes import (
    LoadAudio,
    LoadVideo,
    SaveAudio,
    SaveVideo,
    SetAudio,
    TakeAudio,
)


@pytest.mark.parametrize(("format", "channels"), [("mp4", 1), ("mp4", 2), ("webm", 1), ("webm", 2)])
def test_sound_goes_into_a_clip_and_comes_out_of_it(tmp_path: Path, format: Any, channels: int) -> None:
    sounding = SetAudio(clip(), tone(5.0, channels=channels))
    assert sounding.audio and sounding.audio.seconds == pytest.approx(0.75)
    frames, _, sound = decoded(file_of(SaveVideo(sounding, format=format), tmp_path))
    assert len(frames) == 9 and sound.shape[0] == channels
    path = next(tmp_path.iterdir())
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("sound", TakeAudio(LoadVideo(path.name)))
    read = engine.run(graph).outputs["sound"]
    assert read.seconds == pytest.approx(0.75, abs=0.08)
    spectrum = torch.fft.rfft(read.samples[0]).abs()
    assert float(spectrum.argmax()) / read.seconds == pytest.approx(440, abs=3)


@pytest.mark.parametrize(("format", "steps"), [("wav", 2**15), ("flac", 2**23)])
def test_saved_sound_is_what_it_was(tmp_path: Path, format: Any, steps: int) -> None:
    sound = tone(channels=2)
    path = file_of(SaveAudio(sound, format=format), tmp_path)
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("sound", LoadAudio(path.name))
    read = engine.run(graph).outputs["sound"]
    assert read.rate == 16_000 and (read.samples - sound.samples).abs().max() <= 1.5 / steps
