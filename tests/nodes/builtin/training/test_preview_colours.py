"""What the builtin's latents look like: near their pictures with the tiny autoencoder, and something without it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from weft.nodes.builtin import path
from weft.nodes.builtin.training.preview_colours import colour_psnr, encode_renders
from weft.nodes.families import family
from weft.nodes.models.latent_preview import LatentRGBFactors, latent_rgb_factors_of

COUNT = 6


@pytest.fixture(scope="module")
def own() -> LatentRGBFactors:
    """What landscapes says of itself."""
    return latent_rgb_factors_of(path("landscapes"), family("SD1").latent_rgb_factors)


def test_the_builtin_is_seen_through_its_tiny_autoencoder(own: LatentRGBFactors) -> None:
    latents, pictures = encode_renders(path("landscapes"), COUNT, seed=5)
    others = (replace(own, decoder=""), family("SD1").latent_rgb_factors)
    seen = [colour_psnr(colours, latents, pictures) for colours in (own, *others)]
    assert seen == sorted(seen, reverse=True) and seen[0] > 32
    assert Image.open(io.BytesIO(own.png(latents))).size == (128, 128)
