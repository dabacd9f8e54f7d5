"""Latents into batches and out of them: RepeatLatent, BatchLatents, ListLatents, TakeLatents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, check_pixels, node
from weft.nodes.library.latent_parts import have_samples, samples_of, with_items
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import F, Latent


def _check_repeat(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The batch must be within the engine's limits."""
    try:
        check_pixels(1, 1, inputs.get("times", 1), limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "times")


def _repeated(node: Upstream, count: int) -> int:
    return count * int(node.literals.get("times", 1))


@node(category="latent", check=_check_repeat, traits=(SizeTraits(same_size, of="latent", batch=_repeated),))
def RepeatLatent(
    latent: Latent[F], *, times: Annotated[int, Range(1, 2**20)] = 2, context: Context = INJECTED
) -> Latent[F]:
    """Repeat a batch of latents: a sampler gives each item other noise, and so makes variants of it.

    Args:
        latent: latents, or only a size.
        times: how often the whole batch follows itself.
    """
    count = latent.batch_size * times
    check_pixels(latent.width, latent.height, count, context.limits)
    return with_items(latent, count, lambda rows: rows.repeat(times, *[1] * (rows.ndim - 1)))


@node(category="latent", check=has_some("latents", "latent"), fits=have_samples)
def BatchLatents(latents: list[Latent[F]], *, context: Context = INJECTED) -> Latent[F]:
    """Join latents into one batch, to decode or sample them together.

    Args:
        latents: of one size and one model, in order; each may be a batch.
    """
    import torch

    if not latents:
        raise empty_list("latent")
    given = [samples_of(latent) for latent in latents]
    shapes = list(dict.fromkeys(str(list(one.shape[1:])) for one in given))
    if len(shapes) > 1:
        raise InputError(
            f"items of the latents have several shapes: {', '.join(shapes)}",
            "give latents of one size and one model (ScaleLatent, CropLatent)",
            "size-mismatch",
        )
    count = sum(map(len, given))
    check_pixels(latents[0].width, latents[0].height, count, context.limits)
    if any(one.mask or one.deviation is not None for one in latents):
        raise InputError(
            "latents with a noise mask, or of a distribution that a sampler draws from, cannot be joined",
            "join them first, and use SetNoiseMask after it; or join their pictures before VAEEncode",
            "conflicting-inputs",
        )
    return replace(latents[0], batch_size=count, samples=torch.cat(given))


@node(category="latent", fits=have_samples)
def ListLatents(latent: Latent[F]) -> list[Latent[F]]:
    """The items of a batch as a list, for a subgraph that goes over them (`map:`).

    Args:
        latent: a batch.
    """
    return [_part(latent, item, 1) for item in range(latent.batch_size)]


@node(category="latent", fits=have_samples)
def TakeLatents(
    latent: Latent[F], *, first: Annotated[int, Range(0, 2**20)] = 0, count: Annotated[int, Range(1, 2**20)] = 1
) -> Latent[F]:
    """Some items of a batch.

    Args:
        latent: a batch.
        first: the first item, counted from 0.
        count: how many follow each other.
    """
    if first + count > latent.batch_size:
        raise InputError(
            f"items {first} to {first + count - 1} of a batch of {latent.batch_size}",
            f"the last one is {latent.batch_size - 1}",
            "out-of-range",
        )
    return _part(latent, first, count)


def _part(latent: Latent[F], first: int, count: int) -> Latent[F]:
    samples_of(latent)
    return with_items(latent, count, lambda rows: rows[first : first + count].clone())
