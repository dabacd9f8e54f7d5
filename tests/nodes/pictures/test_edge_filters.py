"""Edges by filters: Canny's against a slow implementation of its steps, the others by what they must find."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    DrawLineArt,
    DrawScribble,
    FindCannyEdges,
    FindSoftEdges,
    Image,
    MaskToImage,
    SaveImage,
    ShapeMask,
)
from weft.nodes.pictures.edge_filters import canny

Plane = numpy.ndarray[Any, Any]


def slow_canny(levels: Plane, low: float, high: float) -> Plane:
    """Pixel by pixel, as OpenCV's documentation and its integer arithmetic have it."""
    height, width, channels = levels.shape
    padded = numpy.pad(levels.astype(int), ((1, 1), (1, 1), (0, 0)), mode="edge")
    dx, dy = numpy.zeros((height, width), int), numpy.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            best = -1
            for c in range(channels):
                near = padded[y : y + 3, x : x + 3, c]
                across = (near[:, 2] - near[:, 0]) @ [1, 2, 1]
                down = (near[2] - near[0]) @ [1, 2, 1]
                if abs(across) + abs(down) > best:
                    best, dx[y, x], dy[y, x] = abs(across) + abs(down), across, down
    strength = abs(dx) + abs(dy)
    around = numpy.pad(strength, 1)
    candidates = set()
    for y in range(height):
        for x in range(width):
            m, row, column = strength[y, x], y + 1, x + 1
            tangent = abs(dx[y, x]) * 13573
            if abs(dy[y, x]) << 15 < tangent:
                peak = m > around[row, column - 1] and m >= around[row, column + 1]
            elif abs(dy[y, x]) << 15 > tangent + (abs(dx[y, x]) << 16):
                peak = m > around[row - 1, column] and m >= around[row + 1, column]
            else:
                side = -1 if (dx[y, x] ^ dy[y, x]) < 0 else 1
                peak = m > around[row - 1, column - side] and m > around[row + 1, column + side]
            if m > low and peak:
                candidates.add((y, x))
    edges, waiting = numpy.zeros((height, width), bool), [one for one in candidates if strength[one] > high]
    while waiting:
        y, x = waiting.pop()
        if not edges[y, x]:
            edges[y, x] = True
            near_by = ((y + down, x + across) for down in (-1, 0, 1) for across in (-1, 0, 1))
            waiting += [one for one in near_by if one in candidates and not edges[one]]
    return edges


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.integers(0, 400), st.integers(0, 400))
def test_canny_is_that_of_its_steps(seed: int, height: int, width: int, low: int, more: int) -> None:
    levels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3))
    assert numpy.array_equal(canny(levels, low, low + more), slow_canny(levels, low, low + more))


def test_an_edge_is_one_pixel_wide_and_weak_ones_count_where_they_join_strong_ones() -> None:
    pixels = torch.zeros(1, 20, 20, 3)
    pixels[:, :, 10:] = torch.linspace(0.2, 1, 20)[None, :, None, None]
    edges = FindCannyEdges(Image(pixels), 150, 900).pixels[0, :, :, 0]
    assert edges.sum(1).max() == 1 and edges[10, 9:11].sum() == 1 and {*edges.flatten().tolist()} == {0, 1}
    assert not FindCannyEdges(Image(pixels[:, :10]), 150, 900).pixels.any()


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with Graph() as graph:
        SaveImage(FindCannyEdges(MaskToImage(ShapeMask()), 200, 100))
    with refused("empty-interval", node="find_canny_edges"):
        Engine(store=None, device="cpu").plan(graph)


@pytest.mark.parametrize("node", [FindCannyEdges, FindSoftEdges, DrawScribble, DrawLineArt])
def test_lines_lie_at_the_edge_of_a_thing_and_nowhere_else(node: Any) -> None:
    pixels = torch.full((2, 64, 64, 4), 0.9)
    pixels[0, :, 32:] = 0.2
    drawn = node(Image(pixels)).pixels
    assert drawn.shape == (2, 64, 64, 3) and 0 <= drawn.min() <= drawn.max() <= 1
    assert drawn[0, 32, 28:37].max() > 0.9 and not (drawn[0, :, :8] > 0.01).any() and not drawn[1].any()
    assert torch.equal(drawn[..., 0], drawn[..., 2])
