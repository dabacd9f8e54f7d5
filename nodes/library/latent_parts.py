"""What the nodes over latents share: samples that are there, sizes in whole elements, batches that go together.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.values import Latent

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
