"""What the nodes over latents share: samples that are there, sizes in whole elements, batches that go together.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sizes import Size
from weft.nodes.values import F, Latent, NoiseMask

if TYPE_CHECKING:
    from torch import Tensor

EMPTY_HINT = "give latents with samples (VAEEncode, KSampler)"


def have_samples(node: Upstream) -> Iterator[NodeProblem]:
    """The latents that a node is linked to must be more than a size. For its `fits`."""
    for name, link in node.call.links:
        above = node.calls.get(link.node)
        traits = above.type.trait(LatentTraits) if above else None
        if above and traits and traits.empty:
            message = f"`{above.id}` is only a size, without samples"
            yield NodeProblem(name, message, EMPTY_HINT, "empty-latent")


def samples_of(latent: Latent[Any]) -> Tensor:
    """The samples of a latent.

    Raises:
        InputError: where it is only a size.
    """
    if latent.samples is None:
        raise InputError("the latent is only a size, without samples", EMPTY_HINT, "empty-latent")
    return latent.samples


def reshaped(
    latent: Latent[F], size: Size, elements: Callable[[Tensor], Tensor], pixels: Callable[[Tensor], Tensor]
) -> Latent[F]:
    """Latents in another form, with what belongs to their samples: the deviation of a distribution and a noise mask.

    Args:
        size: of the result.
        elements: changes samples, and what has their form.
        pixels: changes a mask `[batch, height, width]` of the picture in the same way.
    """
    mask = latent.mask and changed_mask(latent.mask, pixels, elements)
    deviation = None if latent.deviation is None else elements(latent.deviation)
    samples = elements(samples_of(latent))
    return replace(latent, width=size.width, height=size.height, samples=samples, mask=mask, deviation=deviation)


def with_items(latent: Latent[F], count: int, change: Callable[[Tensor], Tensor]) -> Latent[F]:
    """Latents with other items of their batch, with what belongs to their samples.

    Args:
        count: items of the result.
        change: takes a tensor with a row for each item, and returns that of the result.
    """

    def shared(one: Tensor) -> Tensor:
        return change(one) if len(one) > 1 else one  # one row serves every item

    mask = latent.mask and changed_mask(latent.mask, shared, change)
    deviation = None if latent.deviation is None else shared(latent.deviation)
    samples = None if latent.samples is None else change(latent.samples)
    return replace(latent, batch_size=count, samples=samples, mask=mask, deviation=deviation)


def changed_mask(
    mask: NoiseMask, pixels: Callable[[Tensor], Tensor], elements: Callable[[Tensor], Tensor]
) -> NoiseMask:
    """A noise mask with its coverage changed, and what it has in the form of samples."""
    source, noise = (None if one is None else elements(one) for one in (mask.source, mask.noise))
    return replace(mask, coverage=pixels(mask.coverage), source=source, noise=noise)


def elements(what: str, pixels: int, factor: int) -> int:
    """Pixels as latent elements.

    Args:
        what: as a message names it: `x`, `width`.
        factor: pixels to an element.

    Raises:
        InputError: where they are no whole number of elements.
    """
    if pixels % factor:
        raise InputError(
            f"`{what}` is {pixels} pixels, and an element of these latents covers {factor}",
            f"give a multiple of {factor}: {pixels // factor * factor or factor}",
            "wrong-size",
        )
    return pixels // factor


def matched(first: Latent[Any], second: Latent[Any]) -> tuple[Tensor, Tensor]:
    """The samples of two latents of one shape, a latent of one item repeated for each of the other's.

    Raises:
        InputError: where their shapes differ, or one is only a size.
    """
    one, other = samples_of(first), samples_of(second)
    if one.shape[1:] != other.shape[1:]:
        shapes = " and ".join(str(list(each.shape[1:])) for each in (one, other))
        raise InputError(
            f"items of the latents have the shapes {shapes}",
            "give latents of one size and one model (ScaleLatent, CropLatent)",
            "size-mismatch",
        )
    count = max(len(one), len(other))
    if not {len(one), len(other)} <= {1, count}:
        raise InputError(
            f"the latents come in batches of {len(one)} and {len(other)}",
            "give batches of one size, or one of a single item",
            "batch-mismatch",
        )
    return one.expand(count, *one.shape[1:]), other.expand(count, *other.shape[1:])


def planes(samples: Tensor) -> Tensor:
    """Samples as pictures `[picture, channel, height, width]`; the frames of clips one after the other."""
    return samples if samples.ndim == 4 else samples.transpose(1, 2).flatten(0, 1)


def like(pictures: Tensor, samples: Tensor) -> Tensor:
    """Pictures as `planes` makes them, in the form of the samples that they come from."""
    if samples.ndim == 4:
        return pictures.contiguous()
    return pictures.reshape(len(samples), -1, *pictures.shape[1:]).transpose(1, 2).contiguous()
