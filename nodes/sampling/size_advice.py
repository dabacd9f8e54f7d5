"""A warning before a run: pictures of another size than a model was trained on. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import NodeProblem, Upstream
from weft.nodes.families.model_details import native_size
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sizes import size_above

FEW, MANY = 0.4, 2.6
"""Shares of the pixels of the training between which pictures are usually good."""


def size_advice(sampler: Upstream) -> Iterator[NodeProblem]:
    """Whether pictures that a sampler makes of noise alone have far fewer or more pixels than those of the training."""
    model, size = model_behind(sampler), size_above(sampler, "latent")
    native = native_size(model.facts) if model else None
    latent = sampler.above("latent")
    empty = latent.call.type.trait(LatentTraits) if latent else None
    if size is None or native is None or empty is None or not empty.empty:
        return
    share = size.width * size.height / (native.width * native.height)
    if not FEW < share < MANY:
        yield NodeProblem(
            "latent",
            f"the model was trained on pictures of {native}, and {size} are {share:.2g} times as many pixels",
            f"sample about as many pixels as {native} have, then enlarge or shrink the picture",
            "unusual-size",
        )
