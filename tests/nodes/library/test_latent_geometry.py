"""Latents scaled, cropped, rotated, flipped and placed on one another, as torch and slices of tensors have it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate

from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    CompositeLatents,
    CropLatent,
    EmptyLatent,
    FlipLatent,
    Latent,
    Mask,
    RotateLatent,
    ScaleLatent,
)
from weft.nodes.pictures.resampling import ALIASED


def latent(height: int = 6, width: int = 8, batch: int = 1, channels: int = 4) -> Latent[Any]:
    samples = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(height * width))
    return Latent(width * 8, height * 8, batch, samples)


def test_scaling_is_that_of_torch() -> None:
    given = latent(batch=2)
    assert given.samples is not None
    modes = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic", "area": "area", **ALIASED}
    for method, mode in modes.items():
        options = {"antialias": True} if method in ("bilinear", "bicubic") else {}
        for factor, size in ((1.5, (9, 12)), (0.5, (3, 4))):
            scaled = ScaleLatent(given, factor=factor, method=method)  # type: ignore[arg-type]
            assert scaled.samples is not None and scaled.samples.shape[2:] == size
            assert torch.equal(scaled.samples, interpolate(given.samples, size, mode=mode, **options))


def test_a_size_is_scaled_without_samples_and_one_side_follows_the_other() -> None:
    size = ScaleLatent(EmptyLatent(64, 96), factor=2.0)
    assert (size.width, size.height, size.batch_size, size.samples) == (128, 192, 1, None)
    scaled = ScaleLatent(latent(), width=128)
    assert (scaled.width, scaled.height) == (128, 96) and scaled.samples is not None
    assert scaled.samples.shape == (1, 4, 12, 16)


def test_frames_of_clips_are_scaled_as_pictures_are() -> None:
    clip = Latent[Any](64, 48, 2, torch.randn(2, 4, 3, 6, 8))
    assert clip.samples is not None
    scaled = ScaleLatent(clip, factor=2.0).samples
    frame = ScaleLatent(Latent(64, 48, 2, clip.samples[:, :, 1].contiguous()), factor=2.0).samples
    assert scaled is not None and frame is not None and torch.equal(scaled[:, :, 1], frame)


def test_a_size_and_a_factor_conflict_at_the_check() -> None:
    with Graph(outputs={"latent": Link("scale_latent")}) as graph:
        ScaleLatent(EmptyLatent(64, 64), width=128, factor=2.0)
    (problem,) = Engine(store=None).check(graph).problems
    assert (problem.code, problem.input) == ("conflicting-inputs", "factor")


def test_a_part_is_cut_out() -> None:
    given = latent()
    assert given.samples is not None
    part = CropLatent(given, x=16, y=8, width=24, height=32)
    assert (part.width, part.height) == (24, 32) and part.samples is not None
    assert torch.equal(part.samples, given.samples[..., 1:5, 2:5])
    with refused("out-of-range", "72", "48"):
        CropLatent(given, x=48, y=0, width=24, height=8)


def test_rotations_and_mirrors_are_those_of_pictures() -> None:
    given = latent()
    assert given.samples is not None
    once = RotateLatent(given, degrees="90")
    assert (once.width, once.height) == (48, 64) and once.samples is not None
    assert torch.equal(once.samples[0, 0, 0], given.samples[0, 0, :, 0].flip(0))
    assert torch.equal(RotateLatent(once, degrees="270").samples, given.samples)  # type: ignore[arg-type]
    half = RotateLatent(given, degrees="180").samples
    both = FlipLatent(FlipLatent(given), direction="vertical").samples
    assert half is not None and both is not None and torch.equal(half, both)


def test_an_overlay_is_placed_and_cut_at_the_edges() -> None:
    below, above = latent(6, 8, batch=2), latent(4, 4)
    assert below.samples is not None and above.samples is not None
    placed = CompositeLatents(below, above, x=48, y=-8).samples
    expected = below.samples.clone()
    expected[..., :3, 6:] = above.samples[..., 1:, :2]
    assert placed is not None and torch.equal(placed, expected)
    with refused("out-of-range", "64"):
        CompositeLatents(below, above, x=64)


def test_a_mask_and_a_feather_weigh_the_overlay() -> None:
    below, above = latent(6, 8), latent(6, 8, channels=4)
    ones = Latent[Any](64, 48, 1, torch.ones(1, 4, 6, 8))
    zeros = Latent[Any](64, 48, 1, torch.zeros(1, 4, 6, 8))
    half = CompositeLatents(below, above, Mask(torch.full((1, 96, 128), 0.5))).samples
    assert half is not None and below.samples is not None and above.samples is not None
    assert torch.allclose(half, (below.samples + above.samples) / 2)
    faded = CompositeLatents(zeros, ones, x=32, feather=16).samples
    assert faded is not None
    assert faded[0, 0, 0].tolist() == [0, 0, 0, 0, 0.25, 0.75, 1, 1]


def test_latents_of_other_models_are_refused() -> None:
    with refused("size-mismatch"):
        CompositeLatents(latent(), latent(channels=16))


def test_a_size_is_refused_at_the_check() -> None:
    with Graph(outputs={"latent": Link("flip_latent")}) as graph:
        FlipLatent(EmptyLatent(64, 64))
    (problem,) = Engine(store=None).check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("empty-latent", "flip_latent", "latent")
