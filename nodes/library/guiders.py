"""Additions to guidance: PerturbedAttention, MiddlePromptGuide, ProjectedGuidance.

`weft.nodes.sampling.guidance_math` combines the predictions, `weft.nodes.sampling.pag` perturbs attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import InputError, NodeProblem, Range, Upstream, listed, node
from weft.nodes.models.network_blocks import lies_in
from weft.nodes.sampling.lora_compatibility import shapes_of
from weft.nodes.sampling.model_links import guides_of, model_behind, model_loader_behind
from weft.nodes.sampling.traits import GuideTraits, nothing_between, nothing_to_project, two_directions
from weft.nodes.values import Conditioning, F, Guide, Perturbation, Projection


def _perturbed_fits(guider: Upstream) -> Iterator[NodeProblem]:
    """The model must have attention that can be perturbed."""
    model = model_behind(guider)
    if model and not model.family.denoiser.perturbable:
        message = f"the network of {model.family.name} has no self-attention that can be perturbed; {model}"
        yield NodeProblem("guide", message, "leave PerturbedAttention out", "unsupported-by-model")
        return
    loader = model_loader_behind(guider)
    shapes = shapes_of(loader) if guider.literals.get("layers") else {}
    ending, cross = ".to_q.weight", ".attn2" if model and model.family.denoiser.has_skips else " "
    attentions = [name.removesuffix(ending) for name in shapes if name.endswith(ending)]
    own = [name for name in attentions if not name.endswith(cross)]
    for layer in guider.literals.get("layers") or () if own else ():
        if not any(lies_in(name, layer) for name in own):
            message = f"the network has no self-attention in `{layer}`; {model}"
            yield NodeProblem("layers", message, f"name parts of these: {listed(own[:20])}", "unknown-layer")


@node(category="guidance", lane="cpu", fits=_perturbed_fits, traits=(GuideTraits(),))
def PerturbedAttention(
    guide: Guide[F], *, scale: Annotated[float, Range(0.0, 100.0)] = 3.0, layers: list[str] | None = None
) -> Guide[F]:
    """Perturbed-attention guidance (https://arxiv.org/abs/2403.17377).

    The denoiser is called once more with the positive prompt, with self-attention replaced by the identity (in SD 3,
    each element attends to itself and to the text), and scale x (positive - perturbed) is added. It needs no negative
    prompt and no text, and works on distilled models too. CFGGuide's start and end apply to it, and its rescale to the
    sum.

    Args:
        guide: from CFGGuide, EditGuide or InpaintGuide.
        scale: its strength; 0 turns it off.
        layers: the blocks whose self-attention is perturbed, by diffusers' names: `mid_block`, `down_blocks.1`,
            `transformer_blocks.13`. Left out: the `mid_block` of a UNet, the middle block of a transformer.
    """
    return replace(guide, perturbation=Perturbation(scale, tuple(layers or ())) if scale else None)


def _has_a_middle(led: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The model must see the negative prompt and the middle one."""
    model = model_behind(sampler)
    if model and not model.family.denoiser.guided(model.facts.network.config):
        yield NodeProblem.of(nothing_between(), "guide", after=f"; `{led.call.id}`, and {model}")


@node(category="guidance", lane="cpu", traits=(GuideTraits(edits=True, check_sampler=_has_a_middle),))
def MiddlePromptGuide(
    guide: Guide[F], prompt: Conditioning[F], *, scale: Annotated[float, Range(0.0, 100.0)] = 4.0
) -> Guide[F]:
    """Guidance by two prompts with a scale each, from the negative prompt by a middle one to the positive one.

    negative + scale x (middle - negative) + CFGGuide's scale x (positive - middle), the form of InstructPix2Pix
    (https://arxiv.org/abs/2211.09800, eq. 3) with a prompt in place of its picture: the middle prompt says what the
    picture is of, and the positive one what it is to have beyond that. In ComfyUI it is DualCFGGuider.

    Args:
        guide: from CFGGuide, with a negative prompt; its scale is that from the middle prompt to the positive one.
        prompt: the middle prompt, encoded by the text encoder of the same model.
        scale: from the negative prompt to the middle one; where both scales are equal the middle prompt cancels out.
    """
    if guide.negative is None or guide.image_scale is not None or guide.true_scale != 1:
        message = "a middle prompt needs a guide with a negative prompt and one scale, and none to edit pictures"
        raise InputError(message, "give CFGGuide `negative` and a scale above 1", "wrong-guide")
    return replace(guide, middle=prompt, middle_scale=scale)


def _can_be_projected(projected: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """There must be guidance to project, in one direction."""
    guides, model = [*guides_of(sampler)], model_behind(sampler)
    edits = next((one for one in guides if (traits := one.call.type.trait(GuideTraits)) and traits.edits), None)
    if edits:
        yield NodeProblem.of(two_directions(), "guide", after=f"; `{projected.call.id}` and `{edits.call.id}`")
    has_own_scale = any(one.call.inputs.get("true_scale", 1.0) != 1.0 for one in guides)
    if model and not has_own_scale and not model.family.denoiser.guided(model.facts.network.config):
        yield NodeProblem.of(nothing_to_project(), "guide", after=f"; `{projected.call.id}`, and {model}")


@node(category="guidance", lane="cpu", traits=(GuideTraits(check_sampler=_can_be_projected),))
def ProjectedGuidance(
    guide: Guide[F],
    *,
    eta: Annotated[float, Range(0.0, 1.0)] = 0.0,
    norm_threshold: Annotated[float, Range(0.0, 10_000.0)] = 15.0,
    momentum: Annotated[float, Range(-1.0, 1.0)] = -0.5,
) -> Guide[F]:
    """Adaptive projected guidance, against oversaturation at high scales (https://arxiv.org/abs/2410.02416).

    The difference positive - negative is split into a part parallel to the positive prediction, which saturates colours
    and is scaled by `eta`, and an orthogonal part; its norm is limited. At scale 1 it has no effect. It is refused for
    models distilled with guidance, which have no difference to project, and with EditGuide, which has two.

    Args:
        guide: from CFGGuide; its scale may be larger than without this node.
        eta: the factor of the parallel part; 1 is plain guidance.
        norm_threshold: the greatest norm of the difference, over all elements of an item's latents: 15 suits SDXL, 2.5
            to 7.5 smaller latents; 0 sets no limit.
        momentum: the weight of the running sum of earlier differences; usually negative, which moves away from them.
    """
    return replace(guide, projection=Projection(eta, norm_threshold, momentum))
