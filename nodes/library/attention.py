"""Where the words of a prompt act: KSamplerAttention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, node
from weft.nodes.library.sampler import check_sampling
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import PLAIN
from weft.nodes.sampling.compatibility import sampling_fits
from weft.nodes.sampling.model_links import guides_of, model_behind, motion_behind
from weft.nodes.sampling.sampler_choices import SamplerInput, ScheduleInput
from weft.nodes.sampling.workloads import SAMPLING_MEMORY
from weft.nodes.values import F, Guide, Image, Latent, Mask, Prompt, TextEncoder

if TYPE_CHECKING:
    from torch import Tensor


class AttentionShown(NamedTuple, Generic[F]):
    """The outputs of KSamplerAttention."""

    latent: Latent[F]
    masks: list[Mask]
    image: Image


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """There are words, and steps in which they are looked at."""
    yield from check_sampling({**inputs, "sigmas": None}, limits)
    words, start, end = inputs.get("words"), inputs.get("start", 0.0), inputs.get("end", 1.0)
    if words is not None and not [word for word in words if word.strip()]:
        yield NodeProblem("words", "there are no words", "name one at least", "empty-list")
    if start >= end:
        yield NodeProblem(
            "end", f"the end, {end:g}, does not lie after the start, {start:g}", "end later", "empty-interval"
        )


def _fits(sampler: Upstream) -> Iterator[NodeProblem]:
    yield from sampling_fits(sampler)
    model = model_behind(sampler)
    if model and not model.family.denoiser.has_cross_attention:
        message = f"the network has no cross-attention, whose words could be shown; {model}"
        yield NodeProblem("guide", message, "use a model of SD 1, SD 2 or SDXL", "unsupported-by-model")
    if next(motion_behind(sampler), None) is not None:
        message = "the model makes clips, and words are shown in pictures"
        yield NodeProblem("guide", message, "leave ApplyMotionAdapter out", "unsupported-by-model")
    yield from _says_the_prompt(sampler)


def _says_the_prompt(sampler: Upstream) -> Iterator[NodeProblem]:
    """`text` must be what the positive prompt of the guide was encoded from, where that is linked to it directly."""
    guide = [*guides_of(sampler)][-1:]
    prompt = guide[0].above("positive") if guide else None
    if prompt is None or not prompt.above_by_type(TextEncoder):
        return
    encoded, given = prompt.literals.get("text"), sampler.literals.get("text")
    if isinstance(encoded, str) and isinstance(given, str) and encoded != given:
        message = f"`text` is not that of the prompt, which `{prompt.call.id}` encodes: words would be sought elsewhere"
        yield NodeProblem("text", message, "give the same text to both, by one Text node", "wrong-prompt")


@node(category="sampling", lane="gpu", check=_check, fits=_fits, traits=(SAMPLING_MEMORY,))
def KSamplerAttention(
    guide: Guide[F],
    latent: Latent[F],
    text: str,
    words: list[str],
    *,
    seed: Annotated[int | list[int], Range(0, 2**64 - 1)] = 0,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    sampler: SamplerInput = "dpmpp_2m",
    schedule: ScheduleInput = "model",
    denoise: Annotated[float, Range(0.0, 1.0)] = 1.0,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    context: Context = INJECTED,
) -> AttentionShown[F]:
    """Sample as KSampler does, and show which word of the prompt acts where.

    As in "What the DAAM" (https://arxiv.org/abs/2210.04885): how much each place attends to a word, summed over the
    heads and layers of cross-attention and over steps. For the UNets of SD 1, SD 2 and SDXL. It takes longer and more
    memory than KSampler, since attention is computed twice.

    `masks` has one for each word, with a mask of the picture's size for each item of the batch, whose greatest value is
    1. `image` has the same as grey pictures, word by word.

    Args:
        guide: from CFGGuide, with one positive prompt.
        latent: a size (EmptyLatent), or latents to start from.
        text: the positive prompt, as TextEncode has it.
        words: the words of it that are shown; one may be several words that follow each other.
        seed: of the noise, as for KSampler.
        steps: of the whole schedule.
        sampler: the sampling method; `model` is the one of the checkpoint.
        schedule: the spacing of the noise levels; `model` is that of the checkpoint.
        denoise: the share of the schedule that is run on given latents, as for KSampler.
        start: the fraction of the steps from which on attention is summed. The first steps lay out the picture.
        end: the fraction of the steps up to which it is summed.
    """
    import torch

    from weft.nodes.models.attention_maps import AttentionRecord, places_of, recording
    from weft.nodes.sampling.sampling_call import SamplingSettings, sampled
    from weft.nodes.sampling.scheduling import OF_THE_MODEL

    prompt = _only_prompt(guide)
    with context.weights(prompt.encoder, PromptEncoder) as encoder:
        reader = encoder.readers[0]
        chunks, *named = (
            [[token.number for token in chunk] for chunk in reader.split(PLAIN.of(one), encoder.words)]
            for one in (text, *words)
        )
        tokens = {word: [number for chunk in each for number in chunk] for word, each in zip(words, named, strict=True)}
        length = int(reader.tokenizer.model_max_length)
        places = places_of(chunks, tokens, length)
    del encoder, reader  # would keep their weights in memory where they were evicted for the next ones
    if len(chunks) * length != prompt.embeddings.shape[1]:
        raise InputError("`text` is not the prompt of the guide", "give the same text as TextEncode", "wrong-prompt")
    with context.weights(guide.model, Denoiser) as model:
        _, *_, high, wide = model.latent_shape(latent)
    del model
    seen = AttentionRecord(prompt.embeddings[0], places, (high, wide), latent.batch_size, active=start == 0)
    done = 0

    def count(noisy: Latent[Any], denoised: Latent[Any]) -> None:
        nonlocal done
        done += 1
        seen.active = start * steps <= done < end * steps

    settings = SamplingSettings(
        walk=None,
        seed=seed,
        steps=steps,
        sampler=sampler,
        schedule=schedule,
        denoise=denoise,
        eta=0.0,
        chain=OF_THE_MODEL,
        start_step=0,
        end_step=None,
        add_noise=True,
        keep_noise=True,
    )
    with recording(seen):
        result = sampled(replace(guide, recorded=True), latent, settings, context, count)
    if seen.maps is None:
        message = "no attention to the prompt was seen in these steps"
        raise InputError(message, "give the prompt of the guide as `text`, and more steps", "wrong-prompt")
    maps = _scaled(seen.maps, (latent.height, latent.width))
    masks = [Mask(each.contiguous()) for each in maps.unbind(1)]
    grey = torch.cat([mask.coverage for mask in masks])[..., None].expand(-1, -1, -1, 3)
    return AttentionShown(result, masks, Image(grey.contiguous()))


def _only_prompt(guide: Guide[Any]) -> Prompt[Any]:
    """The positive prompt.

    Raises:
        InputError: where there are several, or a batch of them.
    """
    prompts = guide.positive.prompts
    if len(prompts) != 1 or len(prompts[0].embeddings) != 1:
        raise InputError("the guide has several positive prompts", "give it a single one", "several-prompts")
    return prompts[0]


def _scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps `[item, word, height, width]` at the picture's size, each from 0 to 1."""
    from torch.nn import functional

    whole = functional.interpolate(maps, size, mode="bilinear", align_corners=False)
    return whole / whole.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
