"""Classifier-free guidance: CFGGuide."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from weft.engine import ADDED_LATER, INJECTED, Advice, Context, MemoryUse, Range, node
from weft.nodes.library.control import check_range
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.sampling.compatibility import true_scale_fits
from weft.nodes.sampling.scale_advice import scale_advice
from weft.nodes.sampling.traits import GuideTraits
from weft.nodes.sampling.workloads import guidance_memory
from weft.nodes.values import Conditioning, F, Guide, Model, Prompt


@node(
    category="guidance",
    lane="gpu",
    check=check_range,
    traits=(
        GuideTraits(extra_channels=0, check_sampler=true_scale_fits),
        Advice(scale_advice),
        MemoryUse(guidance_memory),
    ),
)
def CFGGuide(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None = None,
    *,
    scale: Annotated[float, Range(0.0, 100.0)] = 7.5,
    rescale: Annotated[float, Range(0.0, 1.0)] = 0.0,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    true_scale: Annotated[float, Range(1.0, 100.0), ADDED_LATER] = 1.0,
    off_below_1: Annotated[bool, ADDED_LATER] = False,
    normalise: Annotated[bool, ADDED_LATER] = True,
    context: Context = INJECTED,
) -> Guide[F]:
    """Classifier-free guidance (https://arxiv.org/abs/2207.12598).

    The prediction is negative + scale x (positive - negative), both computed in one batch. At scale 1 that is the
    positive prediction, and the negative prompt is not computed. Below 1 the formula holds too, where diffusers turns
    guidance off (`off_below_1`). A model that was distilled with guidance (FLUX.1, latent consistency models) reads the
    scale itself and ignores the negative prompt, unless `true_scale` says otherwise.

    Args:
        model: from LoadCheckpoint.
        positive: what the picture is to show.
        negative: what it is not to show; left out, the family's unconditional prompt (the empty prompt, or zeros), with
            the ControlNets of the positive one.
        scale: the strength of guidance; 1 leaves the negative prompt out. In diffusers it is `guidance_scale`, for
            Qwen-Image `true_cfg_scale`; Z-Image's `guidance_scale` there is 1 less than this scale.
        rescale: how far the standard deviation of a guided prediction is moved back to that of the positive one,
            against overexposed pictures (https://arxiv.org/abs/2305.08891, equations 15 and 16); 0.7 is usual. At scale
            1, and for models distilled with guidance, it only acts together with PerturbedAttention.
        start: the fraction of the steps at which guidance begins; before it only the positive prompt is used.
        end: the fraction of the steps at which guidance ends. A model that was distilled with guidance gets its scale
            as an input in every step.
        true_scale: for a model that was distilled with guidance, the scale of classifier-free guidance in addition to
            the one that the model reads; 1 turns it off. In diffusers it is `true_cfg_scale` of FluxPipeline, which
            guides only where a negative prompt is given; here the empty prompt stands for one that is left out.
        off_below_1: turn guidance off at scales below 1, as diffusers' `guidance_scale` does: 0, as the cards of Turbo
            models have it, then gives the positive prediction.
        normalise: for Qwen-Image, whether guided predictions are brought back to the length of the positive one, patch
            by patch, as its authors do; off, pictures are more contrasty, as in ComfyUI without CFGNorm. Other families
            have no such step.
    """
    guided = scale > 1 or (scale < 1 and not off_below_1) or true_scale > 1
    against = negative or _empty_prompt(positive, context) if guided else None
    guide = Guide(model, positive, against, scale, rescale=rescale, start=start, end=end, true_scale=true_scale)
    return guide if normalise else replace(guide, normalised=False)


def _empty_prompt(positive: Conditioning[F], context: Context) -> Conditioning[F]:
    first = positive.prompts[0]
    with context.weights(first.encoder, PromptEncoder) as encoder:
        empty = encoder.unprompted()
    prompt = Prompt(
        empty.embeddings,
        first.encoder,
        first.controls,
        empty.pooled,
        first.framing,
        attention_mask=empty.attention_mask,
        images=tuple(one.withheld() for one in first.images),
        grounding=first.grounding and first.grounding.withheld(),
        image_vector=None if first.image_vector is None else first.image_vector * 0,
    )
    return Conditioning((prompt,))
