"""The rate in the progress bar is that of the steps that a node has reported, from the first on."""

from __future__ import annotations

import pytest

from weft.engine.cli.progress_bar import StepRate


@pytest.mark.parametrize("first", [0, 1, 7])
def test_the_first_report_has_no_rate_and_later_ones_have_that_since(first: int) -> None:
    rate = StepRate()
    assert rate.after("a", first, 100.0) == ""
    assert rate.after("a", first + 1, 100.5) == "2.00 it/s"
    assert rate.after("a", first + 3, 101.0) == "3.00 it/s"


def test_a_step_at_the_same_time_or_the_same_step_again_has_no_rate() -> None:
    rate = StepRate()
    assert [rate.after("a", step, 100.0) for step in (1, 2, 3)] == ["", "", ""]
    assert rate.after("a", 1, 101.0) == ""


def test_each_node_and_each_pass_of_a_node_has_a_rate_of_its_own() -> None:
    rate = StepRate()
    rate.after("a", 5, 100.0)
    assert rate.after("a", 6, 101.0) == "1.00 it/s"
    assert rate.after("a", 1, 102.0) == ""
    assert rate.after("a", 2, 102.5) == "2.00 it/s"
    assert rate.after("b", 3, 110.0) == ""
    assert rate.after("b", 5, 111.0) == "2.00 it/s"
