"""Axes have a few round ticks within their ends, and points with names are drawn where they lie."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageChops

from weft.engine.show.plots import LEFT, RIGHT, TICKS, WIDTH, PlotAxis, PlotLine, PlotMark, plot


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_inside(least: float, span: float) -> None:
    axis = PlotAxis("x", least, least + span)
    ticks = [*axis.ticks()]
    assert 1 <= len(ticks) <= 2 * TICKS + 2
    assert all(-1e-6 <= axis.share(one) <= 1 + 1e-6 for one in ticks)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps), rel=1e-3) if gaps else True


@pytest.mark.parametrize(
    ("least", "most", "ticks"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 999, [0, 200, 400, 600, 800]), (3, 3, [3])]
)
def test_ticks_are_round_numbers(least: float, most: float, ticks: list[float]) -> None:
    assert [*PlotAxis("x", least, most).ticks()][: len(ticks)] == pytest.approx(ticks)


@pytest.mark.parametrize("rises", [True, False])
def test_a_point_with_a_name_is_drawn_in_its_place(rises: bool) -> None:
    axis = PlotAxis("x", 0.0, 1.0)
    line = PlotLine([(0.0, 0.0), (1.0, 1.0)] if rises else [(0.0, 1.0), (1.0, 0.0)])
    plain, marked = (plot([line], axis, axis, marks=marks) for marks in ((), (PlotMark(0.5, 0.5, "half"),)))
    left, _, right, _ = ImageChops.difference(plain, marked).getbbox() or (0, 0, 0, 0)
    middle = (LEFT + WIDTH - RIGHT) // 2
    assert left < middle < right and (middle - left > 6) == rises and (right - middle > 6) != rises
