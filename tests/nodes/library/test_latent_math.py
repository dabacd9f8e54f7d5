"""Blends and arithmetic of latents; latents of numbers and back; batches; channels as pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.pipelines.deprecated.audio_diffusion.pipeline_audio_diffusion import AudioDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    BatchLatents,
    BlendLatents,
    EmptyLatent,
    Latent,
    LatentChannels,
    LatentMath,
    LatentValues,
    ListLatents,
    MakeLatent,
    RepeatLatent,
    TakeLatents,
)


def noise(seed: int, batch: int = 1) -> Latent[Any]:
    return Latent(64, 64, batch, torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)))


def samples(latent: Latent[Any]) -> torch.Tensor:
    assert latent.samples is not None
    return latent.samples


@given(st.floats(0, 1), st.integers(0, 50))
def test_the_arc_is_that_of_diffusers(amount: float, seed: int) -> None:
    one, other = noise(seed), noise(seed + 100)
    ours = samples(BlendLatents(one, other, amount=amount))
    theirs = AudioDiffusionPipeline.slerp(samples(one), samples(other), amount)
    assert torch.allclose(ours, theirs, atol=1e-5)


@given(st.floats(0.05, 0.95))
def test_an_arc_keeps_the_strength_of_noise_and_a_line_does_not(amount: float) -> None:
    arc, line = (BlendLatents(noise(1), noise(2), amount=amount, method=one) for one in ("spherical", "linear"))
    assert float(samples(arc).std()) == pytest.approx(1, abs=0.1)
    assert float(samples(line).std()) < float(samples(arc).std())


def test_items_are_blended_alone_and_a_single_one_with_each() -> None:
    both = samples(BlendLatents(noise(1, batch=2), noise(9), amount=0.3))
    second = BlendLatents(TakeLatents(noise(1, batch=2), first=1), noise(9), amount=0.3)
    assert both.shape == (2, 4, 8, 8) and torch.allclose(both[1:], samples(second))


def test_latents_that_point_the_same_way_are_blended_on_a_line() -> None:
    one = noise(1)
    twice = LatentMath(one, 2.0, operation="multiply")
    assert torch.allclose(samples(BlendLatents(one, twice, amount=0.5)), samples(one) * 1.5)


def test_arithmetic() -> None:
    a, b = noise(1, batch=2), noise(2)
    assert torch.equal(samples(LatentMath(a, b)), samples(a) + samples(b))
    assert torch.equal(samples(LatentMath(a, b, operation="subtract")), samples(a) - samples(b))
    assert torch.equal(samples(LatentMath(a, 0.5, operation="multiply")), samples(a) * 0.5)
    assert LatentMath(b, a).batch_size == 2
    with refused("size-mismatch"):
        LatentMath(a, MakeLatent([0.0]))


def test_a_graph_takes_a_number_or_a_link() -> None:
    with Graph(outputs={"half": Link("latent_math"), "sum": Link("latent_math_2")}) as graph:
        made = MakeLatent([1.0, 2.0], channels=2)
        LatentMath(made, 0.5, operation="multiply")
        LatentMath(made, made)
    result = Engine(store=None).run(graph).outputs
    assert result["half"].samples.flatten().tolist() == [0.5, 1.0]
    assert result["sum"].samples.flatten().tolist() == [2.0, 4.0]


def test_numbers_become_latents_and_numbers_again() -> None:
    assert LatentValues(MakeLatent([0.863, -0.396], channels=2)) == pytest.approx([0.863, -0.396])
    assert LatentValues(MakeLatent([1.0, 2.0, 3.0, 4.0], channels=1, width=16, height=16)) == [1, 2, 3, 4]
    assert samples(MakeLatent([1.0], channels=4, width=16)).shape == (1, 4, 1, 2)
    with refused("batch-mismatch", 3, 8):
        MakeLatent([1.0, 2.0, 3.0], channels=4, width=16)
    with refused("out-of-range", "4,096"):
        LatentValues(Latent(1024, 1024, 1, torch.zeros(1, 4, 128, 128)))


def test_batches_are_joined_repeated_and_taken_apart() -> None:
    one, two = noise(1), noise(2, batch=2)
    joined = BatchLatents([one, two])
    assert joined.batch_size == 3 and torch.equal(samples(joined)[1:], samples(two))
    assert torch.equal(torch.cat(list(map(samples, ListLatents(joined)))), samples(joined))
    assert torch.equal(samples(TakeLatents(joined, first=1, count=2)), samples(two))
    assert samples(RepeatLatent(two, times=2)).shape == (4, 4, 8, 8)
    assert RepeatLatent(EmptyLatent(64, 64)).batch_size == 2
    with refused("out-of-range", 2):
        TakeLatents(joined, first=3)
    with refused("size-mismatch"):
        BatchLatents([one, MakeLatent([0.0])])


def test_channels_are_pictures_from_black_to_white() -> None:
    pixels = LatentChannels(noise(1, batch=2)).pixels
    assert pixels.shape == (8, 8, 8, 3)
    assert all(float(one.min()) == 0 and float(one.max()) == 1 for one in pixels)
    assert int(pixels[5, ..., 0].argmax()) == int(samples(noise(1, batch=2))[1, 1].argmax())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_in_place_of_latents_must_be_finite(number: float) -> None:
    with refused("not-a-number"):
        LatentMath(Latent(8, 8, 1, torch.ones(1, 4, 1, 1)), number)
