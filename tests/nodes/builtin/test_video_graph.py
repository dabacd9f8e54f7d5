"""What the graph `video` that ships makes of 40 captions: things move, the shore stays, the caption says when it is.

It takes some ten minutes of two cores: `pytest -m slow -s tests/nodes/builtin/test_video_graph.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.imports import ROOT
from weft.engine import Engine, Graph, Link
from weft.nodes.builtin.training.motion_measures import draw_measured_scenes, movement_in, time_in

COUNTS = [1, pytest.param(40, marks=pytest.mark.slow)]
STEPS = {1: 3, 40: 20}
"""By the number of clips."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(store=None, device="cpu", history=False, output=tmp_path)


@pytest.mark.parametrize("count", COUNTS)
def test_sun_clouds_and_boat_move_and_the_shore_stays(engine: Engine, count: int) -> None:
    """Each in nine of ten clips; of one clip in three steps no more is asked than its size."""
    shipped: Any = Graph.load(ROOT / "graphs/video.json")
    graph = replace(shipped, outputs={"clip": Link("decode")})
    seen: Counter[str] = Counter()
    shores = []
    for seed, (scene, caption) in enumerate(draw_measured_scenes(count, 99)):
        given = {"prompt": caption, "seed": seed, "steps": STEPS[count]}
        frames = np.asarray(engine.run(graph.replace(**given), only=["decode"]).outputs["clip"].frames)
        assert frames.shape == (16, 128, 128, 3)
        found = movement_in(frames, scene.time)
        seen.update(name for name, moves in found.moves.items() if moves)
        seen["time"] += time_in(frames[len(frames) // 2]) == scene.time
        shores.append(found.shore)
    print(f"of {count}: {dict(seen)}, shore {np.mean(shores):.3f}")
    if count > 1:
        assert min(seen[name] for name in ("sun", "clouds", "boat", "shore")) >= 0.9 * count
        assert seen["time"] >= 0.95 * count and min(shores) > 0.9
