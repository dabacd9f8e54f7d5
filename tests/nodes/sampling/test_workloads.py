"""Amounts of work of samplers and VAEs: steps, sizes, batches, and what makes a prediction cost more."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest

from weft.engine import Engine, Graph, Workload
from weft.engine.spec.upstream import Upstream
from weft.engine.spec.workload import workload
from weft.nodes.sampling.samplers import SAMPLERS, SIGMAS_ALONE, TWO_PREDICTIONS


def work_of(engine: Engine, node: str, **parameters: Any) -> Workload:
    """The workload of a node of the shipped graph."""
    graph = Graph.load("graphs/text_to_image.json")
    for path, given in parameters.items():
        graph = graph.set(path.replace("__", "."), given)
    calls = engine.check(graph).calls
    return workload(Upstream(calls[node], calls))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(store=None, device="cpu")


def test_work_grows_with_steps_pixels_and_batch(engine: Engine) -> None:
    (pixels, steps), kind = work_of(engine, "sampler", sampler__steps=10, latent__width=64, latent__height=128)
    assert (pixels, steps) == (10 * 64 * 128, 10)
    more = work_of(engine, "sampler", sampler__steps=30, latent__width=64, latent__height=128, latent__batch_size=3)
    assert more == ((9 * pixels, 3 * steps), kind)
    assert work_of(engine, "decode", latent__width=64, latent__height=128, latent__batch_size=3).amounts[0] == 3 * 8192


def test_a_part_of_the_steps_is_a_part_of_the_work(engine: Engine) -> None:
    assert work_of(engine, "sampler", sampler__steps=40, sampler__end_step=10, sampler__start_step=4).amounts[1] == 6


def test_guidance_that_is_off_is_another_kind_of_work(engine: Engine) -> None:
    kinds = {work_of(engine, "sampler", guide__scale=scale).kind for scale in (1, 1.0, 5, 7.5)}
    assert len(kinds) == 2


def test_samplers_that_predict_twice_a_step_do_twice_the_work(engine: Engine) -> None:
    once, twice = (work_of(engine, "sampler", sampler__sampler=name).amounts for name in ("euler", "heun"))
    assert twice == tuple(2 * amount for amount in once)
    orders = {name: getattr(diffusers, row.scheduler).order for name, row in SAMPLERS.items() if row.scheduler}
    assert {name for name, order in orders.items() if order == 2} == TWO_PREDICTIONS - SIGMAS_ALONE
