"""Noise as a value: what is drawn is what a sampler draws, and a mixture is noise of the same strength."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.nodes import CFGGuide, DrawNoise, EmptyLatent, KSampler, Latent, LoadCheckpoint, MixNoise, Noise, TextEncode

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def guide(call: Call) -> Any:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    prompt = call(TextEncode, text_encoder=checkpoint.text_encoder, text="a lake")
    return call(CFGGuide, model=checkpoint.model, positive=prompt, scale=1.0)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "ddim"])
def test_drawn_noise_is_what_a_sampler_draws(call: Call, guide: Any, sampler: str) -> None:
    size = EmptyLatent(64, 64, 2)
    noise = call(DrawNoise, model=guide.model, latent=size, seed=5)
    given = call(KSampler, guide=guide, latent=size, noise=noise, seed=5, steps=2, sampler=sampler)
    drawn = call(KSampler, guide=guide, latent=size, seed=5, steps=2, sampler=sampler)
    assert torch.equal(given.samples, drawn.samples)
    assert torch.equal(noise.samples[1], torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(6)))


def test_a_picture_is_put_under_the_noise_that_is_given(call: Call, guide: Any) -> None:
    clean = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean, seed=3)
    settings = {"steps": 4, "denoise": 0.5, "sampler": "dpmpp_2m"}
    drawn = call(KSampler, guide=guide, latent=clean, seed=3, **settings)
    other = call(KSampler, guide=guide, latent=clean, noise=noise, seed=4, **settings)
    assert torch.equal(drawn.samples, other.samples)


@pytest.mark.parametrize("method", ["angle", "variance"])
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_a_mixture_has_unit_variance(method: str, amount: float) -> None:
    first, second = (torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(one)) for one in (1, 2))
    mixed = MixNoise(Noise(first), Noise(second), amount=amount, method=method).samples  # type: ignore[arg-type]
    assert float(mixed.std()) == pytest.approx(1, abs=0.02)
    cosine = float((mixed * second).mean() / second.square().mean().sqrt() / mixed.square().mean().sqrt())
    share = {"angle": torch.sin(torch.tensor(amount * torch.pi / 2)), "variance": torch.tensor(amount).sqrt()}[method]
    assert cosine == pytest.approx(float(share), abs=0.02)


def test_noise_of_another_shape_is_refused(call: Call, guide: Any) -> None:
    noise = Noise[Any](torch.randn(1, 4, 8, 8))
    with refused("size-mismatch"):
        call(KSampler, guide=guide, latent=EmptyLatent(64, 64, 2), noise=noise, steps=2)
    with refused("size-mismatch"):
        MixNoise(noise, Noise(torch.randn(1, 4, 8, 4)))
