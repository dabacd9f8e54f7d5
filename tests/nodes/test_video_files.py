"""Files of clips as PyAV reads them; broken and odd ones in words; the memory of long ones."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy
import PIL.Image
import pytest
import torch

from tests.nodes.clips import clip, decoded, file_of
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    LoadVideo,
    SaveVideo,
)


@pytest.mark.parametrize("rate", [8.0, 23.976, 30.0])
@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_pyav_reads_a_saved_clip_back(tmp_path: Path, format: Any, rate: float) -> None:
    video = clip(rate=rate)
    frames, found, sound = decoded(file_of(SaveVideo(video, format=format, quality="lossless"), tmp_path))
    assert frames.shape == tuple(video.frames.shape) and found == pytest.approx(rate, rel=1e-4) and sound is None
    assert numpy.abs(frames.astype(int) - video.frames.numpy()).max() <= 3


@pytest.mark.parametrize("format", ["mp4", "webm", "gif", "webp"])
def test_a_lossy_clip_keeps_its_frames_its_rate_and_its_colours_nearly(tmp_path: Path, format: Any) -> None:
    video = clip(rate=10.0)
    path = file_of(SaveVideo(video, format=format), tmp_path)
    assert path.suffix == f".{format}"
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("clip", LoadVideo(path.name))
    read = engine.run(graph).outputs["clip"]
    assert read.frames.shape == video.frames.shape and read.rate == pytest.approx(10.0)
    assert (read.frames.float() - video.frames.float()).abs().mean() < 12


def test_animated_webp_without_loss_is_exact_and_plays_at_its_rate(tmp_path: Path) -> None:
    video = clip(rate=20.0)
    with PIL.Image.open(file_of(SaveVideo(video, format="webp", quality="lossless"), tmp_path)) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (9, 0)  # type: ignore[attr-defined]
        for number in range(9):
            picture.seek(number)
            assert numpy.array_equal(numpy.asarray(picture.convert("RGB")), video.frames[number].numpy())
            assert picture.info["duration"] == 50


def test_a_clip_of_odd_sides_is_refused_where_the_format_cannot_hold_it(tmp_path: Path) -> None:
    odd = clip(2, width=33, height=17)
    with refused("unwritable-picture", "33 x 17"):
        SaveVideo(odd)
    frames, _, _ = decoded(file_of(SaveVideo(odd, quality="lossless"), tmp_path))
    assert numpy.array_equal(frames, odd.frames.numpy())


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("text.mp4", b"no clip at all", "damaged-file"),
        ("empty.webm", b"", "damaged-file"),
        ("cut.gif", b"GIF89a\x10", "damaged-file"),
        ("clip.xyz", b"anything", "wrong-kind-of-file"),
    ],
)
def test_broken_files_are_refused_at_check(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("clip", LoadVideo(name))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.input) == (code, "path") and problem.hint


def test_sound_alone_is_no_clip_and_frames_that_are_not_there_are_named(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 1024), numpy.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    file_of(SaveVideo(clip(), format="gif"), tmp_path)
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine:
        for name, start, code in (("sound.mp4", 0, "wrong-kind-of-file"), ("clip.gif", 9, "out-of-range")):
            with Graph() as graph:
                graph.output("clip", LoadVideo(name, start=start))
            with refused(code):
                engine.run(graph)


def test_a_cut_file_gives_an_error_or_the_frames_that_are_whole(tmp_path: Path) -> None:
    whole = SaveVideo(clip(30), format="webm").data
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) * 2 // 3])
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("clip", LoadVideo("cut.webm"))
    result = engine.run(graph)
    read = result.outputs.get("clip")
    assert (read is not None and 0 < len(read.frames) < 30) or result.status == "failed"


def test_every_second_frame_has_half_the_rate(tmp_path: Path) -> None:
    video = clip(rate=10.0)
    path = file_of(SaveVideo(video, format="webp", quality="lossless"), tmp_path)
    with Engine(store=None, device="cpu", inputs=[tmp_path]) as engine, Graph() as graph:
        graph.output("clip", LoadVideo(path.name, start=1, count=3, every=2))
    read = engine.run(graph).outputs["clip"]
    assert torch.equal(read.frames, video.frames[1:7:2]) and read.rate == pytest.approx(5.0)


def test_equal_clips_give_equal_bytes() -> None:
    assert SaveVideo(clip(), format="mp4") == SaveVideo(clip(), format="mp4")
    with PIL.Image.open(BytesIO(SaveVideo(clip(), format="gif").data)) as picture:
        assert picture.is_animated  # type: ignore[attr-defined]


PEAK = """
import resource, sys, torch
from pathlib import Path
from weft.engine import Limits
from weft.nodes.media_values import Video
from weft.nodes.video_files import encode_clip, read_clip
count, folder = int(sys.argv[1]), Path(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = torch.empty((count, 256, 256, 3), dtype=torch.uint8)
for number in range(count):
    frames[number] = number
(folder / "clip.mp4").write_bytes(encode_clip(Video(frames, 24.0), "mp4", "high"))
del frames
read = read_clip(folder / "clip.mp4", Limits())
assert len(read.frames) == count
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_a_long_clip_takes_the_memory_of_its_bytes(tmp_path: Path) -> None:
    """Run it by `pytest -m slow tests/nodes/test_video_files.py`."""
    peaks = [
        int(subprocess.run([sys.executable, "-c", PEAK, str(n), str(tmp_path)], capture_output=True, check=True).stdout)
        for n in (25, 241)
    ]
    assert peaks[1] <= 1.2 * peaks[0] + 241 * 256 * 256 * 3, peaks
