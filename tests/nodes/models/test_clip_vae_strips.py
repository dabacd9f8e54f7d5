"""VAEs of clips go over one picture in strips: the same pictures and latents, in a third of the memory.

All: `pytest -m "slow or not slow" tests/nodes/models/test_clip_vae_strips.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.library.test_latent import LargestAmount
from tests.nodes.oracle import diffusers
from weft.nodes.models.autoencoder import VideoAutoencoder
from weft.nodes.models.clip_vae_strips import can_strip

NETWORKS: dict[str, Callable[[], Any]] = {
    "Qwen-Image": lambda: diffusers.AutoencoderKLQwenImage(base_dim=8),
    "Wan 2.1": lambda: diffusers.AutoencoderKLWan(base_dim=8),
}


def vae(name: str) -> VideoAutoencoder:
    torch.manual_seed(0)
    return VideoAutoencoder(NETWORKS[name]().eval().requires_grad_(False), 16, 8, 4)


@pytest.mark.parametrize("name", ["Qwen-Image", pytest.param("Wan 2.1", marks=pytest.mark.slow)])
def test_a_picture_in_strips_is_the_same(name: str) -> None:
    own = vae(name)
    latents, pictures = torch.randn(1, 16, 37, 5), torch.rand(1, 296, 40, 3)
    whole, distribution = own.decode(latents), own.distribution(pictures)
    undo = own.in_tiles(64)
    assert torch.allclose(own.decode(latents), whole, atol=1e-5) and own.strip
    found = own.distribution(pictures)
    assert torch.allclose(found.mean, distribution.mean, atol=1e-5)
    assert found.deviation is not None and distribution.deviation is not None
    assert torch.allclose(found.deviation, distribution.deviation, atol=1e-5)
    undo()
    assert torch.equal(own.decode(latents), whole) and not own.network.use_tiling


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_it_takes_a_third_of_the_memory(name: str) -> None:
    own, latents, peaks = vae(name), torch.randn(1, 16, 192, 4), []
    for _ in range(2):
        with LargestAmount() as amount:
            own.decode(latents)
        peaks.append(amount.peak)
        own.in_exact_tiles(64)
    assert peaks[1] < peaks[0] / 3


def test_clips_have_tiles_and_no_strips() -> None:
    """And a network of other blocks (Wan 2.2) has tiles alone."""
    own = vae("Wan 2.1")
    clip = torch.randn(1, 16, 2, 8, 8)
    whole = own.decode(clip)
    own.in_tiles(64)
    assert torch.equal(own.decode(clip), whole)
    sizes = {"base_dim": 8, "decoder_base_dim": 8, "in_channels": 12, "out_channels": 12}
    later = diffusers.AutoencoderKLWan(**sizes, is_residual=True, patch_size=2)
    assert can_strip(own.network) and not can_strip(later)
