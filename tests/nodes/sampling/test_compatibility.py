"""Guides and latents of another library are checked as ours are: by what their node types declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from weft.engine import Engine, Graph, NodeProblem, NodeType, Upstream, node
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    Guide,
    GuideTraits,
    KSampler,
    Latent,
    LatentTraits,
    LoadCheckpoint,
    PerturbedAttention,
    SaveImage,
    TextEncode,
    VAEDecode,
    guide_fits,
)
from weft.nodes.values import F


def _long_enough(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    if sampler.literals["steps"] < guide.literals["least"]:
        yield NodeProblem("steps", f"`{guide.call.id}` needs more steps", "take more")


@node(traits=(GuideTraits(check_sampler=_long_enough),))
def Patient(inner: Guide[F], *, least: int = 10) -> Guide[F]:
    """A guide that needs some steps; its guide has a name of its own."""
    return inner


@node(traits=(GuideTraits(extra_channels=3),))
def Depth(inner: Guide[F]) -> Guide[F]:
    """A guide for models that read three more channels."""
    return inner


@node
def Silent(inner: Guide[F]) -> Guide[F]:
    """A guide that declares nothing."""
    return inner


@node(traits=(LatentTraits(empty=True),))
def Square(side: int = 64) -> Latent[Any]:
    """A size alone."""
    return Latent(side, side, 1)


@node(fits=guide_fits)
def Walk(lead: Guide[F], latent: Latent[F], *, steps: int = 4) -> Latent[F]:
    """A sampler of another library."""
    return replace(latent)


def problems(*around: Any, latent: Any = None, sampler: Any = KSampler, **sampling: Any) -> list[str]:
    """Each problem of a graph whose guide is put into others, as `node.input`."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        guide: Any = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"))
        for wrap in around:
            guide = wrap(guide)
        samples = sampler(guide, EmptyLatent(64, 64) if latent is None else latent(), **sampling)
        SaveImage(VAEDecode(checkpoint.vae, samples))
    return [f"{one.node}.{one.input}" for one in Engine(store=None).check(graph).problems]


@pytest.mark.parametrize("around", [(Patient,), (Patient, PerturbedAttention), (Silent, Patient, Silent)])
def test_a_guide_checks_the_sampler_that_uses_it(around: tuple[Any, ...]) -> None:
    assert problems(*around, steps=4) == ["k_sampler.steps"]
    assert problems(*around, steps=10) == []


def test_a_guide_checks_the_samplers_of_other_libraries_too() -> None:
    assert problems(Patient, sampler=Walk, steps=4) == ["walk.steps"]
    assert problems(Patient, sampler=Walk, steps=10) == []


@pytest.mark.parametrize("around", [(Depth,), (Depth, PerturbedAttention), (Depth, Patient)])
def test_a_guide_must_give_the_channels_that_the_model_reads(around: tuple[Any, ...]) -> None:
    assert problems(*around) == ["k_sampler.guide"]


def test_a_guide_that_declares_nothing_is_checked_when_it_runs() -> None:
    assert problems(Silent) == [] and problems(Depth, Silent) == []


def test_latents_that_are_a_size_alone_are_sampled_from_noise() -> None:
    assert problems(latent=Square) == []
    assert problems(latent=Square, denoise=0.5, add_noise=False) == [
        "k_sampler.denoise",
        "k_sampler.add_noise",
    ]


def test_a_trait_is_found_by_its_class() -> None:
    depth: NodeType = Depth  # type: ignore[assignment]
    assert depth.trait(GuideTraits) == GuideTraits(extra_channels=3)
    assert depth.trait(LatentTraits) is None
