"""Classifier-free guidance: CFGGuide."""

from __future__ import annotations

from typing import Annotated

from weft.engine import INJECTED, Context, Range, node
from weft.nodes.library.control import check_range
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.sampling.traits import GuideTraits
from weft.nodes.values import Conditioning, F, Guide, Model, Prompt


@node(category="guidance", lane="gpu", check=check_range, traits=(GuideTraits(extra_channels=0),))
def CFGGuide(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None = None,
    *,
    scale: Annotated[float, Range(0.0, 100.0)] = 7.5,
    rescale: Annotated[float, Range(0.0, 1.0)] = 0.0,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    context: Context = INJECTED,
) -> Guide[F]:
    """Classifier-free guidance (https://arxiv.org/abs/2207.12598).

    The prediction is negative + scale x (positive - negative), both computed in one batch. At scale 1 that is the
    positive prediction, and the negative prompt is not computed.

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
    """
    against = None if scale == 1 else negative or _empty_prompt(positive, context)
    return Guide(model, positive, against, scale, rescale=rescale, start=start, end=end)


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
    )
    return Conditioning((prompt,))
