"""Several prompts: CombinePrompts, ConcatPrompts, AveragePrompts; where and when one acts: PromptArea, PromptMask,
PromptSteps.

`weft.nodes.sampling.guidance_math` averages the predictions of several prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import InputError, Limits, NodeProblem, Range, Upstream, node
from weft.nodes.families import family
from weft.nodes.library.control import check_range
from weft.nodes.sampling.model_links import checkpoint_facts, loader_above, prompt_nodes
from weft.nodes.sampling.traits import PromptTraits, always
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import Conditioning, F, Mask, Prompt, TextEncoder

if TYPE_CHECKING:
    from torch import Tensor

Share = Annotated[float, Range(0.0, 1.0)]
Strength = Annotated[float, Range(0.0, 100.0)]


@node(category="conditioning", lane="cpu", check=has_some("prompts", "prompt"))
def CombinePrompts(prompts: list[Conditioning[F]]) -> Conditioning[F]:
    """Use several prompts at once: the denoiser is called with each, and the predictions are averaged.

    Each is weighted by its strength, where and when it acts (PromptArea, PromptMask, PromptSteps). Where all weights
    are 0, the prompts count equally. Sampling time grows with the number of prompts.

    Args:
        prompts: one or more.
    """
    return Conditioning(tuple(one for prompt in _some(prompts) for one in prompt.prompts))


def _has_words(node: Upstream) -> Iterator[NodeProblem]:
    """The prompts must be of words: numbers of classes are neither joined nor averaged."""
    loaders = [loader for prompt in prompt_nodes(node) if (loader := loader_above(prompt, TextEncoder))]
    for loader in loaders:
        facts = checkpoint_facts(loader)
        if facts and not family(facts.family).texts:
            message = f"prompts of {facts.family} have no words that could be changed; `{loader.call.id}`"
            input = next(iter(node.call.type.inputs))
            yield NodeProblem(input, message, f"leave `{node.call.id}` out", "unsupported-by-model")
            return


@node(category="conditioning", lane="cpu", check=has_some("prompts", "prompt"), fits=_has_words)
def ConcatPrompts(prompts: list[Conditioning[F]]) -> Conditioning[F]:
    """Concatenate the embeddings of prompts along the tokens, as for one long prompt.

    Each part is encoded on its own, so words of one part do not influence those of another. Everything except the
    tokens is taken from the first prompt: pooled vector, ControlNets, area, mask and steps.

    Args:
        prompts: one or more; those after the first must be single ones, not combined.
    """
    first, *others = _some(prompts)
    tails = [_single(other, "ConcatPrompts") for other in others]
    return Conditioning(tuple(_lengthened(one, tails) for one in first.prompts))


@node(category="conditioning", lane="cpu", fits=_has_words)
def AveragePrompts(first: Conditioning[F], second: Conditioning[F], *, weight: Share = 0.5) -> Conditioning[F]:
    """Interpolate between the embeddings of two prompts, token by token.

    Pooled vectors are interpolated too. Everything else is taken from the first prompt.

    Args:
        first: a single prompt.
        second: a single prompt with the same number of tokens.
        weight: of the second prompt: 0 gives the first, 1 the second.
    """
    import torch

    one, other = _single(first, "AveragePrompts"), _single(second, "AveragePrompts")
    if one.embeddings.shape[1:] != other.embeddings.shape[1:]:
        lengths = f"{one.embeddings.shape[1]} and {other.embeddings.shape[1]}"
        raise InputError(
            f"the prompts have {lengths} tokens", "shorten the longer one, or use CombinePrompts", "size-mismatch"
        )
    embeddings = torch.lerp(one.embeddings, other.embeddings, weight)
    pooled = one.pooled
    if pooled is not None and other.pooled is not None:
        pooled = torch.lerp(pooled, other.pooled, weight)
    mask = _mask_of([one, other], torch.maximum)
    return Conditioning((replace(one, embeddings=embeddings, pooled=pooled, attention_mask=mask),))


@node(category="conditioning", lane="cpu", fits=_has_words)
def ZeroPrompt(prompt: Conditioning[F]) -> Conditioning[F]:
    """Zeros in place of a prompt's embeddings and of its pooled vector: a negative prompt that says nothing.

    It is another one than the empty prompt: SDXL and SD 3.5 were trained with zeros for some steps.

    Args:
        prompt: whose shape it has; ControlNets, area, mask and steps stay.
    """
    zeros = (
        replace(one, embeddings=one.embeddings * 0, pooled=None if one.pooled is None else one.pooled * 0)
        for one in prompt.prompts
    )
    return Conditioning(tuple(zeros))


def _check_area(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The rectangle must lie in the picture."""
    for side, size in (("left", "width"), ("top", "height")):
        begin, length = inputs.get(side, 0.0), inputs.get(size)
        if length is not None and begin is not None and begin + length > 1 + 1e-9:
            message = f"{side} {begin:g} and {size} {length:g} go over the edge of the picture"
            yield NodeProblem(size, message, f"give at most {1 - begin:g}", "out-of-range")


@node(category="conditioning", lane="cpu", check=_check_area)
def PromptArea(
    prompt: Conditioning[F],
    *,
    width: Annotated[float, Range(0.01, 1.0)],
    height: Annotated[float, Range(0.01, 1.0)],
    left: Share = 0.0,
    top: Share = 0.0,
    strength: Strength = 1.0,
) -> Conditioning[F]:
    """Restrict a prompt to a rectangle of the picture; combine it with others (CombinePrompts).

    The denoiser is called with the whole picture, and its prediction is used inside the rectangle. A prompt that is not
    combined acts everywhere.

    Args:
        prompt: the prompt; an area that it has is replaced.
        width: of the rectangle, as a fraction of the picture.
        height: of the rectangle, as a fraction of the picture.
        left: the left edge, as a fraction of the picture.
        top: the top edge, as a fraction of the picture.
        strength: the weight of the prompt among those that act there; multiplied with the weight that it has.
    """
    area = (left, top, width, height)
    return _changed(prompt, strength, area=area)


Pixels = Annotated[int, Range(0, 2**20)]


@node(category="conditioning", lane="cpu")
def PromptWindow(
    prompt: Conditioning[F],
    *,
    width: Annotated[int, Range(8, 2**20)],
    height: Annotated[int, Range(8, 2**20)],
    left: Pixels = 0,
    top: Pixels = 0,
    strength: Strength = 1.0,
) -> Conditioning[F]:
    """Let the denoiser see only a part of the picture with a prompt, and use its prediction there.

    Combine it with a prompt of the whole picture (CombinePrompts). With PromptArea the denoiser sees the whole picture,
    which keeps parts consistent; a window composes more strictly, and its cost is that of its size. In ComfyUI it is
    ConditioningSetArea. What reads the picture's size in other ways, ControlNets among them, is refused with it.

    Args:
        prompt: the prompt; a window that it has is replaced.
        width: of the window in pixels; what reaches over the picture's edge is cut off. Whole elements of latents count
            (8 pixels for most models), one at least, widened to whole patches of models that read latents in patches.
        height: of the window in pixels.
        left: the left edge, in pixels from that of the picture.
        top: the top edge, in pixels from that of the picture.
        strength: the weight of the prompt among those that act there; it rises over 64 pixels from edges that lie
            inside of the picture. Multiplied with the weight that it has.
    """
    return _changed(prompt, strength, window=(left, top, width, height), window_in_shares=False)


@node(category="conditioning", lane="cpu")
def PromptWindowShare(
    prompt: Conditioning[F],
    *,
    width: Annotated[float, Range(0.01, 1.0)],
    height: Annotated[float, Range(0.01, 1.0)],
    left: Share = 0.0,
    top: Share = 0.0,
    strength: Strength = 1.0,
) -> Conditioning[F]:
    """Let the denoiser see only a share of the picture with a prompt: PromptWindow for pictures of any size.

    Each side is rounded to elements of latents, and is one at least. In ComfyUI it is ConditioningSetAreaPercentage.

    Args:
        prompt: the prompt; a window that it has is replaced.
        width: of the window, as a fraction of the picture.
        height: of the window, as a fraction of the picture.
        left: the left edge, as a fraction of the picture.
        top: the top edge, as a fraction of the picture.
        strength: as of PromptWindow.
    """
    return _changed(prompt, strength, window=(left, top, width, height), window_in_shares=True)


@node(category="conditioning", lane="cpu", traits=(PromptTraits(for_items=always("mask")),))
def PromptMask(prompt: Conditioning[F], mask: Mask, *, strength: Strength = 1.0) -> Conditioning[F]:
    """Restrict a prompt to a mask; combine it with others (CombinePrompts).

    Args:
        prompt: the prompt; a mask that it has is replaced.
        mask: its weight at each place; one for all pictures, or one for each. It is scaled to the picture.
        strength: the weight of the prompt among those that act there; multiplied with the weight that it has.
    """
    return _changed(prompt, strength, mask=mask.coverage.clamp(0, 1))


@node(category="conditioning", lane="cpu", check=check_range)
def PromptSteps(prompt: Conditioning[F], *, start: Share = 0.0, end: Share = 1.0) -> Conditioning[F]:
    """Restrict a prompt to a part of the steps; other prompts must cover the rest (CombinePrompts).

    Args:
        prompt: the prompt; a range that it has is replaced.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
    """
    return _changed(prompt, 1.0, start=start, end=end)


def _changed(prompt: Conditioning[F], strength: float, **change: Any) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, strength=one.strength * strength, **change) for one in prompt.prompts))


def _some(prompts: list[Conditioning[F]]) -> list[Conditioning[F]]:
    if not prompts:
        raise empty_list("prompt")
    return prompts


def _single(prompt: Conditioning[F], node_type: str) -> Prompt[F]:
    """The only prompt of a conditioning."""
    if len(prompt.prompts) != 1:
        message = f"found {len(prompt.prompts)} combined prompts, and {node_type} takes a single one"
        raise InputError(message, f"put CombinePrompts after {node_type}", "several-prompts")
    return prompt.prompts[0]


def _lengthened(prompt: Prompt[F], tails: list[Prompt[F]]) -> Prompt[F]:
    """A prompt with the tokens of others after its own."""
    import torch

    parts = [prompt.embeddings, *(tail.embeddings for tail in tails)]
    if len(widths := {part.shape[-1] for part in parts}) > 1:
        raise InputError(
            f"the prompts are {sorted(widths)} channels wide", "encode all with one text encoder", "wrong-channels"
        )
    items = max(len(part) for part in parts)

    def joined(*tensors: Tensor) -> Tensor:
        return torch.cat([_each(tensor, items) for tensor in tensors], dim=1)

    return replace(prompt, embeddings=joined(*parts), attention_mask=_mask_of([prompt, *tails], joined))


def _mask_of(prompts: Sequence[Prompt[F]], combine: Callable[..., Tensor]) -> Tensor | None:
    """The combined attention masks of prompts; None where none of them has one.

    Args:
        combine: makes one mask of theirs, in order.
    """
    import torch

    if all(prompt.attention_mask is None for prompt in prompts):
        return None
    masks = (prompt.attention_mask for prompt in prompts)
    whole = (torch.ones(prompt.embeddings.shape[:2], dtype=torch.float32) for prompt in prompts)
    return combine(*(ones if mask is None else mask for mask, ones in zip(masks, whole, strict=True)))


def _each(rows: Tensor, items: int) -> Tensor:
    """One row for each item."""
    if len(rows) not in (1, items):
        raise InputError(
            f"prompts of {len(rows)} rows and of {items} rows are combined",
            "give one for all, or one for each, everywhere",
            "batch-mismatch",
        )
    return rows.expand(items, *rows.shape[1:])
