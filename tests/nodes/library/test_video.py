"""Clips from and to pictures, parts, joins, rates, sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.nodes.clips import clip, file_of, tone
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    DrawContactStrip,
    Image,
    JoinVideos,
    LoadVideo,
    MakeVideo,
    ReverseVideo,
    SaveVideo,
    ScaleVideo,
    SetAudio,
    SetFrameRate,
    SplitVideo,
    TrimAudio,
    TrimVideo,
    Video,
)


def test_artifacts_of_clips_are_delivered_once(tmp_path: Path) -> None:
    file_of(SaveVideo(clip(), format="gif"), tmp_path)
    with Graph() as graph:
        graph.output("saved", SaveVideo(TrimVideo(LoadVideo("clip.gif"), count=2), "made/clip", format="gif"))
    with Engine(store=tmp_path / "store", device="cpu", output=tmp_path / "out", inputs=[tmp_path]) as engine:
        first, second = engine.run(graph), engine.run(graph)
        assert [Path(one).suffix for one in first.paths] == [".gif"] and second.ran == ()
        assert [*(tmp_path / "out" / "made").iterdir()] == [Path(first.paths[0])]


def test_pictures_become_a_clip_and_a_clip_pictures() -> None:
    pictures = Image(torch.rand(4, 16, 24, 3))
    video = MakeVideo([pictures, pictures], rate=8.0)
    assert video.frames.shape == (8, 16, 24, 3) and video.seconds == 1
    assert (SplitVideo(video).pixels[:4] - pictures.pixels).abs().max() <= 0.5 / 255 + 1e-6
    with refused("size-mismatch", "24 x 16"):
        MakeVideo([pictures, Image(torch.rand(1, 8, 8, 3))])
    with refused("empty-list"):
        MakeVideo([])


def test_parts_of_clips() -> None:
    video = SetAudio(clip(), tone())
    part = TrimVideo(video, start=-3, count=2)
    assert torch.equal(part.frames, video.frames[6:8])
    assert part.audio and part.audio.seconds == pytest.approx(2 / 12, abs=1e-3)
    with refused("out-of-range", 9):
        TrimVideo(video, start=9)
    assert torch.equal(ReverseVideo(video).frames, video.frames.flip(0))
    assert len(ReverseVideo(video, back_and_forth=True).frames) == 16
    joined = JoinVideos([video, video])
    assert len(joined.frames) == 18 and joined.audio and joined.audio.seconds == pytest.approx(1.5)
    assert TrimAudio(tone(), start=0.25).seconds == pytest.approx(0.5)


def test_a_crossfade_overlaps_and_mixes() -> None:
    black, white = (Video(torch.full((8, 4, 4, 3), level, dtype=torch.uint8), 8.0) for level in (0, 255))
    faded = JoinVideos([black, white], crossfade=3)
    assert faded.frames[:, 0, 0, 0].tolist() == [0] * 5 + [64, 128, 191] + [255] * 5
    with refused("out-of-range", 5):
        JoinVideos([black, white], crossfade=5)
    with refused("size-mismatch"):
        JoinVideos([black, SetFrameRate(white, 4.0)])


def test_frame_rates() -> None:
    video = clip(8, rate=8.0)
    assert SetFrameRate(video, 16.0).seconds == 0.5
    doubled = SetFrameRate(video, 16.0, method="repeat")
    assert len(doubled.frames) == 16 and torch.equal(doubled.frames[::2], video.frames)
    blended = SetFrameRate(video, 16.0, method="blend")
    middle = (video.frames[0].float() + video.frames[1].float()) / 2
    assert (blended.frames[1].float() - middle).abs().max() <= 0.5
    assert len(SetFrameRate(video, 4.0, method="repeat").frames) == 4


def test_sizes_and_contact_strips() -> None:
    video = clip()
    assert ScaleVideo(video, 24, 16).frames.shape == (9, 16, 24, 3)
    strip = DrawContactStrip(video, count=3).pixels
    assert strip.shape == (1, 32, 3 * 48, 3)
    assert torch.equal((strip[0, :, 96:] * 255).round().byte(), video.frames[8])
    assert DrawContactStrip(video, count=4, columns=2).pixels.shape == (1, 64, 96, 3)
