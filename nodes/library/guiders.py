"""What else leads a guided model: PerturbedAttention, ProjectedGuidance.

What becomes of predictions is in `weft.nodes.sampling.guidance_math`, how attention is perturbed in
`weft.nodes.sampling.pag`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import NodeProblem, Range, Upstream, node
from weft.nodes.sampling.compatibility import model_behind
from weft.nodes.sampling.traits import GuideTraits
from weft.nodes.values import F, Guide, Perturbation, Projection


def _perturbed_fits(guider: Upstream) -> Iterator[NodeProblem]:
    """The model must have attention that can be perturbed."""
    model = model_behind(guider)
    if model and not model.family.perturbable:
        message = f"the network of {model.family.name} has no self-attention that can be perturbed; {model}"
        yield NodeProblem("guide", message, "leave PerturbedAttention out")


@node(category="guidance", lane="cpu", fits=_perturbed_fits, traits=(GuideTraits(),))
def PerturbedAttention(
    guide: Guide[F], *, scale: Annotated[float, Range(0.0, 100.0)] = 3.0, layers: list[str] | None = None
) -> Guide[F]:
    """Lead a model away from what it predicts without seeing the picture as a whole (https://arxiv.org/abs/2403.17377).

    The positive prompt is asked once more with self-attention in which each element of the picture sees itself alone
    (in SD 3, itself and the text), and scale x (positive - perturbed) is added. It needs no negative prompt and no
    text, and acts on distilled models too. CFGGuide's start and end hold for it, its rescale for the sum.

    Args:
        guide: from CFGGuide, EditGuide or InpaintGuide.
        scale: how strongly it leads; 0 leaves it out.
        layers: the parts of the network whose self-attention is perturbed, by the names that diffusers gives them:
            `mid_block`, `down_blocks.1`, `transformer_blocks.13`. Left out: a UNet's `mid_block`, a transformer's
            middle one.
    """
    return replace(guide, perturbation=Perturbation(scale, tuple(layers or ())) if scale else None)


@node(category="guidance", lane="cpu", traits=(GuideTraits(),))
def ProjectedGuidance(
    guide: Guide[F],
    *,
    eta: Annotated[float, Range(0.0, 1.0)] = 0.0,
    norm_threshold: Annotated[float, Range(0.0, 10_000.0)] = 15.0,
    momentum: Annotated[float, Range(-1.0, 1.0)] = -0.5,
) -> Guide[F]:
    """Let strong guidance burn less: adaptive projected guidance (https://arxiv.org/abs/2410.02416).

    Of what leads from the negative prediction to the positive one, the share along the positive one, which saturates
    colours, is turned down, and the rest is kept short. At scale 1 there is nothing to project. Refused for models that
    were distilled with guidance, which do it inside, and with EditGuide, which leads in two directions.

    Args:
        guide: from CFGGuide; its scale may be larger than without.
        eta: what is left of the share along the positive prediction; 1 keeps it, as plain guidance does.
        norm_threshold: the longest that the direction may be, as the norm over all elements of an item's latents: 15
            suits SDXL, 2.5 to 7.5 smaller latents; 0 sets no limit.
        momentum: what is added of the directions of the steps before; below 0, as is usual, it leads away from them.
    """
    return replace(guide, projection=Projection(eta, norm_threshold, momentum))
