"""Checks of sizes and of counts before a run: pictures that a VAE encodes, masks of pictures, pictures for a batch.

They follow `weft.nodes.sizes` upwards: files, literals, lists of links. How many a folder gives, a list that a subgraph
makes or a node type without `SizeTraits` is known only in the run, which refuses the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.facts import CheckpointFacts, VAEFacts
from weft.nodes.sampling.traits import GuideTraits, PromptTraits
from weft.nodes.sizes import Size, batch_above, size_above
from weft.nodes.values import VAE


def check_sides(size: Size, factor: int) -> None:
    """Raise `InputError` where the sides of a picture are not multiples of a VAE's factor."""
    if size.width % factor or size.height % factor:
        nearest = f"{max(size.width // factor, 1) * factor} x {max(size.height // factor, 1) * factor}"
        raise InputError(
            f"the picture has {size} pixels, and its sides must be multiples of {factor}",
            f"put CropImage or ScaleImage with `multiple` {factor} before it, for {nearest}",
            "wrong-size",
        )


def image_fits_vae(node: Upstream, patch: int = 1) -> Iterator[NodeProblem]:
    """The sides of the picture at `image` must be multiples of the factor of the VAE.

    Args:
        patch: latent elements along each side of what the model reads as one.
    """
    size, factor = size_above(node, "image"), vae_factor(node)
    if size and factor:
        try:
            check_sides(size, factor * patch)
        except InputError as fault:
            yield NodeProblem.of(fault, "image")


def picture_is_as_large(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The picture of a guide, which the network sees next to its latents, must be as large as what is sampled."""
    picture, size = size_above(guide, "image"), size_above(sampler, "latent")
    if picture and size and picture != size:
        message = f"the picture of `{guide.call.id}` is {picture}, and the latents are for {size}"
        yield NodeProblem("guide", message, "start from the same picture, or scale one of them", "size-mismatch")


def vae_factor(node: Upstream) -> int | None:
    """The factor of the VAE that a node takes, as headers say it; None where they are not known."""
    loader = node.above_by_type(VAE)
    while loader and loader.source("source") is None:
        loader = loader.above_by_type(VAE)
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    vae = facts.vae if isinstance(facts, CheckpointFacts) else facts
    return vae.factor if isinstance(vae, VAEFacts) else None


def sizes_match(node: Upstream, input: str, other: str) -> Iterator[NodeProblem]:
    """What arrives at an input must be of the size of what arrives at another one."""
    found, wanted = size_above(node, input), size_above(node, other)
    if found and wanted and found != wanted:
        message = f"it is {found}, and `{other}` is {wanted}: they must be of one size"
        yield NodeProblem(input, message, "put ScaleImage or CropImage before one of them", "size-mismatch")


def not_for_each(batch: int, what: str, found: int, frames: int = 1) -> InputError:
    """The error where there are neither one for all items nor one for each.

    Args:
        what: there are so many of, such as `the picture of a ControlNet`.
        frames: of each item, which may have one each too.
    """
    clips, each = (f" of clips of {frames} frames", ", or one for each frame") if frames > 1 else ("", "")
    return InputError(
        f"the latents come in a batch of {batch}{clips}, and {what} in one of {found}",
        f"give one for all, or one for each{each}",
        "batch-mismatch",
    )


def items_fit(sampler: Upstream, behind: Iterable[Upstream]) -> Iterator[NodeProblem]:
    """Pictures and masks of prompts and guides must be one for all items of the latents, or one for each.

    Args:
        behind: the prompts and guides behind a sampler.
    """
    batch = batch_above(sampler, "latent")
    for node in behind if batch else ():
        for traits in (node.call.type.trait(PromptTraits), node.call.type.trait(GuideTraits)):
            for input in traits.for_items(node) if traits else ():
                found = batch_above(node, input)
                if batch and found not in (None, 1, batch):
                    problem = not_for_each(batch, f"`{input}` of `{node.call.id}`", found)
                    yield NodeProblem.of(problem, "guide")


def one_or_each(node: Upstream, input: str, other: str) -> Iterator[NodeProblem]:
    """What arrives at an input must be one, or as many as what arrives at another one."""
    found, wanted = batch_above(node, input), batch_above(node, other)
    if found and wanted and found not in (1, wanted):
        message = f"it has {found} items, and `{other}` has {wanted}"
        yield NodeProblem(input, message, "give one for all, or one for each", "batch-mismatch")


def go_together(node: Upstream, *inputs: str) -> Iterator[NodeProblem]:
    """What arrives at each of some inputs must be one, or as many as at any other; the last that is not is named."""
    counts = {input: count for input in inputs if (count := batch_above(node, input))}
    most = max(counts.values(), default=1)
    for input, count in [*counts.items()][::-1]:
        if count not in (1, most):
            message = f"it has {count} items, and others have {most}"
            yield NodeProblem(input, message, "give one for all, or one for each", "batch-mismatch")
            return
