"""Latents: sizes, encoding and decoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as untyped
import pytest
import torch

from tests.refusals import refused
from weft.engine import Engine, Graph, Limits
from weft.nodes import EmptyLatent, Image, Latent, LoadCheckpoint, SaveImage, VAEDecode, VAEEncode

diffusers: Any = untyped

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def vae(call: Call) -> Any:
    return call(LoadCheckpoint, source="epsilon").vae


def test_encoding_is_the_mean_and_decoding_is_one_item_at_a_time(call: Call, vae: Any) -> None:
    pixels = torch.rand(2, 32, 48, 3)
    latent = call(VAEEncode, vae=vae, image=Image(pixels))
    both = call(VAEDecode, vae=vae, latent=latent).pixels
    second = call(VAEDecode, vae=vae, latent=Latent(48, 32, 1, latent.samples[1:])).pixels
    assert latent.samples.shape == (2, 4, 4, 6) and (latent.width, latent.height, latent.batch_size) == (48, 32, 2)
    assert both.shape == (2, 32, 48, 3) and torch.equal(both[1:], second)


def test_tiles_are_those_of_diffusers_and_end_with_the_call(call: Call, vae: Any, models: Path) -> None:
    latent = Latent[Any](128, 96, 1, torch.randn(1, 4, 12, 16))
    whole = call(VAEDecode, vae=vae, latent=latent).pixels
    tiled = call(VAEDecode, vae=vae, latent=latent, tile=64).pixels
    oracle = diffusers.AutoencoderKL.from_pretrained(models / "epsilon" / "vae")
    oracle.enable_tiling()
    oracle.tile_sample_min_size, oracle.tile_latent_min_size = 64, 8
    expected = oracle.decode(latent.samples / oracle.config.scaling_factor).sample.detach().permute(0, 2, 3, 1)
    assert torch.allclose(tiled, (expected / 2 + 0.5).clamp(0, 1), atol=1e-5) and not torch.equal(tiled, whole)
    assert torch.equal(call(VAEDecode, vae=vae, latent=latent).pixels, whole)


def test_the_frames_of_clips_are_decoded_one_after_the_other(call: Call, vae: Any) -> None:
    clips = torch.randn(2, 4, 3, 4, 6)
    latent = Latent[Any](48, 32, 2, clips)
    decoded = call(VAEDecode, vae=vae, latent=latent).pixels
    frames = Latent[Any](48, 32, 6, clips.transpose(1, 2).flatten(0, 1).contiguous())
    assert latent.frames == 3 and frames.frames is None
    assert decoded.shape == (6, 32, 48, 3)
    assert torch.allclose(decoded, call(VAEDecode, vae=vae, latent=frames).pixels, atol=1e-5)


def test_alpha_is_left_out(call: Call, vae: Any) -> None:
    pixels = torch.rand(1, 16, 16, 4)
    one = call(VAEEncode, vae=vae, image=Image(pixels))
    other = call(VAEEncode, vae=vae, image=Image(pixels[..., :3].clone()))
    assert torch.equal(one.samples, other.samples)


def test_a_picture_that_does_not_fit_is_refused(call: Call, vae: Any) -> None:
    with refused("wrong-size", "50 x 33", 8, "48 x 32"):
        call(VAEEncode, vae=vae, image=Image(torch.rand(1, 33, 50, 3)))


def test_a_size_cannot_be_decoded(call: Call, vae: Any) -> None:
    with refused("empty-latent"):
        call(VAEDecode, vae=vae, latent=EmptyLatent(16, 16))


def test_a_picture_of_no_numbers_is_refused(call: Call, vae: Any) -> None:
    broken = Latent[Any](16, 16, 1, torch.full((1, 4, 2, 2), float("nan")))
    with refused("not-finite", "float32"):
        call(VAEDecode, vae=vae, latent=broken)


@pytest.mark.parametrize(
    ("width", "batch", "input", "code"),
    [(10**9, 1, "width", "too-many-pixels"), (64, 5000, "batch_size", "batch-too-large")],
)
def test_a_size_beyond_the_limits_is_a_problem_of_the_graph(
    models: Path, width: int, batch: int, input: str, code: str
) -> None:
    with Graph() as graph:
        SaveImage(VAEDecode(LoadCheckpoint("epsilon").vae, EmptyLatent(width, 64, batch)))
    (problem,) = Engine(store=None, models=[models], limits=Limits()).check(graph).problems
    assert (problem.code, problem.node, problem.input) == (code, "empty_latent", input) and problem.hint
