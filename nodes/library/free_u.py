"""FreeU: the weights of a UNet's skip connections, `weft.nodes.models.skip_weights`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from weft.engine import ADDED_LATER, NodeProblem, Range, Upstream, node
from weft.nodes.models.skip_weights import SkipWeights, WidthWeights
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import F, Model

Factor = Annotated[float, Range(0.01, 10.0)]

FeaturesBy = Literal["block", "width", "width and mean"]


def _has_skips(free: Upstream) -> Iterator[NodeProblem]:
    """The model must be a UNet."""
    loader = loader_above(free, Model)
    model = loaded(loader) if loader else None
    if model and not model.family.denoiser.has_skips:
        message = f"the network of {model.family.name} has no skip connections that FreeU weighs; {model}"
        yield NodeProblem("model", message, "leave FreeU out", "unsupported-by-model")


def _unmergeable(free: Upstream) -> str:
    return "it is no change of weights"


@node(category="models", lane="cpu", fits=_has_skips, traits=(ModelTraits(_unmergeable),))
def FreeU(
    model: Model[F],
    *,
    b1: Factor = 1.3,
    b2: Factor = 1.4,
    s1: Factor = 0.9,
    s2: Factor = 0.2,
    by: Annotated[FeaturesBy, ADDED_LATER] = "block",
) -> Model[F]:
    """Weigh what the upward blocks of a UNet read (FreeU, https://arxiv.org/abs/2309.11497).

    Hidden features remove noise, skip connections bring in details: more of the first and less of the low frequencies
    of the second make pictures cleaner, without training and at no cost. For SD 1, SD 2 and SDXL, as in diffusers
    (`enable_freeu`). Where several of these nodes follow each other by blocks, the last one counts.

    Args:
        model: from LoadCheckpoint or LoadDiffusionModel.
        b1: the factor of half of the channels of hidden features in the first upward block; 1 changes nothing. The
            authors of FreeU take 1.5 for SD 1.5, 1.4 for SD 2.1 and 1.3 for SDXL.
        b2: the same in the second upward block; 1.6 for SD 1.5 and SD 2.1, 1.4 for SDXL.
        s1: the factor of the low frequencies of skip connections in the first upward block; 1 changes nothing.
        s2: the same in the second upward block; less smooths more.
        by: `block` is as above. `width` is the authors' own code: b1 and s1 act wherever hidden features are four times
            as wide as in the first block of the network, b2 and s2 where they are twice as wide; `width and mean` is
            their second version, where b1 and b2 count most where the mean of the features is greatest. These two are
            FreeU and FreeU_V2 of ComfyUI.
    """
    if by == "block":
        return replace(model, changes=(*model.changes, SkipWeights(s1, s2, b1, b2)))
    weights = WidthWeights(s1, s2, b1, b2, adaptive=by == "width and mean")
    return replace(model, changes=(*model.changes, weights))
