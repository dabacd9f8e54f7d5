"""FindEdges: where edges are, and that they are those that the builtin ControlNet is trained on."""

from __future__ import annotations

from typing import Any

import torch

from tests.refusals import refused
from weft.nodes import FindEdges, Image
from weft.nodes.builtin.training.dataset import draw_scenes, to_tensor
from weft.nodes.builtin.training.edge_control_net import edges
from weft.nodes.builtin.training.render import render


def test_edges_are_white_on_black_round_a_square(call: Any) -> None:
    pixels = torch.zeros(2, 32, 32, 4)
    pixels[1, 8:24, 8:24, :3] = 1
    found = call(FindEdges, image=Image(pixels)).pixels
    assert found.shape == (2, 32, 32, 3) and set(found.unique().tolist()) == {0.0, 1.0}
    assert found[0].sum() == found[1, 16, 16].sum() == 0 and found[1, 16, 7:9].max() == 1


def test_a_higher_threshold_finds_fewer(call: Any) -> None:
    image = Image(torch.linspace(0, 1, 64).square().expand(1, 64, 64)[..., None].expand(-1, -1, -1, 3))
    counts = [float(call(FindEdges, image=image, threshold=share).pixels.sum()) for share in (0.0, 0.02, 0.7)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] == 0


def test_they_are_what_the_control_net_is_trained_on(call: Any) -> None:
    drawn = torch.stack([torch.from_numpy(render(scene).pixels) for scene in draw_scenes(4, seed=3)])
    found = call(FindEdges, image=Image(drawn / 255)).pixels
    assert torch.equal(found.permute(0, 3, 1, 2)[:, :1], edges(to_tensor(drawn.numpy())))


def test_a_threshold_has_bounds(call: Any) -> None:
    with refused("out-of-range", 0.9, 0.7):
        call(FindEdges, image=Image(torch.zeros(1, 8, 8, 3)), threshold=0.9)
