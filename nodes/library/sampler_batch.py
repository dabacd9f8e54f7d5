"""Samples several KSampler calls in one batch: inputs are concatenated, the result is split again.

Calls that cannot share a batch (prompts of different lengths, pictures of different sizes, other scales or models) are
sampled separately. Each call gives what it gives alone, except for rounding where sums are made in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from weft.engine import batched
from weft.nodes.library.sampler import KSampler
from weft.nodes.models.optimisations import FirstBlockCache
from weft.nodes.values import Guide, Latent, NoiseMask

Call = Mapping[str, Any]


def sampled_together(sample: Callable[..., Latent[Any]], calls: Sequence[Call]) -> list[Latent[Any]]:
    """The results of `sample` (KSampler) for each call, in order; calls that can share a batch are sampled at once.

    Args:
        calls: their inputs; they differ only in `guide`, `latent` and `seed`.
    """
    groups: dict[Any, list[int]] = {}
    for number, call in enumerate(calls):
        form = _alike(call)
        groups.setdefault(number if form is None else form, []).append(number)
    found: dict[int, Latent[Any]] = {}
    for numbers in groups.values():
        together = sample(**_joined([calls[number] for number in numbers]))
        latents = [calls[number]["latent"] for number in numbers]
        found.update(zip(numbers, _split(together, latents), strict=True))
    return [found[number] for number in range(len(calls))]


def _alike(call: Call) -> Hashable:
    """What calls have in common that can share a batch; None for one that cannot."""
    # One generator for the whole batch draws for one call.
    by_itself = call.get("generator") == "batch" or _decides_together(call["guide"])
    return None if by_itself else _form((call["guide"], call["latent"]))


def _decides_together(guide: Guide[Any]) -> bool:
    """Whether items of a batch share decisions of the network, so that one is another alone."""
    return any(isinstance(one, FirstBlockCache) for one in guide.model.changes)


def _joined(calls: Sequence[Call]) -> dict[str, Any]:
    """One call for several."""
    from weft.nodes.sampling.sampling_call import seeds_of

    if calls[0].get("generator") == "batch":
        return dict(calls[0])
    latents = [call["latent"] for call in calls]
    sizes = [latent.batch_size for latent in latents]
    latent = replace(_stacked(latents, sizes), batch_size=sum(sizes))
    seeds = [seed for call in calls for seed in seeds_of(call["seed"], call["latent"].batch_size)]
    stacked = {name: _stacked([call[name] for call in calls], sizes) for name in ("guide", "noise") if name in calls[0]}
    return {**calls[0], **stacked, "latent": latent, "seed": seeds}


def _form(value: Any) -> Hashable:
    """Grouping key: equal for values that can share a batch (same settings, same shapes apart from the first axis)."""
    if isinstance(value, tuple):
        return tuple(map(_form, value))
    if isinstance(value, Latent):
        return (value.width, value.height, *map(_form, (value.samples, value.mask, value.deviation)))
    if is_dataclass(value):
        return (type(value), *(_form(getattr(value, one.name)) for one in fields(value)))
    return ("rows", value.dtype, value.shape[1:]) if hasattr(value, "shape") else value


def _stacked(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Concatenate values with equal grouping keys; tensors with one row are repeated for each item of their call."""
    import torch

    from weft.nodes.sampling.controlnets import repeated

    first = values[0]
    if isinstance(first, torch.Tensor):
        return torch.cat([repeated(value, size, "a guide") for value, size in zip(values, sizes, strict=True)])
    if isinstance(first, tuple):
        return tuple(_stacked(column, sizes) for column in zip(*values, strict=True))
    if is_dataclass(first) and not isinstance(first, type):
        parts = {one.name: _stacked([getattr(value, one.name) for value in values], sizes) for one in fields(first)}
        return replace(first, **parts)
    return first


def _split(together: Latent[Any], latents: Sequence[Latent[Any]]) -> Iterator[Latent[Any]]:
    """The items of each call, which gave these latents."""
    first = 0
    for latent in latents:
        rows = slice(first, first := first + latent.batch_size)
        assert together.samples is not None
        mask = together.mask and latent.mask and _mask_rows(together.mask, rows, latent.mask)
        yield replace(together, batch_size=latent.batch_size, samples=together.samples[rows], mask=mask)


def _mask_rows(together: NoiseMask, rows: slice, own: NoiseMask) -> NoiseMask:
    """The noise mask that a call gives: its own, with its rows of what is kept."""
    assert together.source is not None and together.noise is not None
    return replace(own, source=together.source[rows], noise=together.noise[rows])


def _items(call: Call) -> int:
    latent: Latent[Any] = call["latent"]
    return latent.batch_size


KSamplerBatch = batched(KSampler, ("guide", "latent", "seed"), sampled_together, _alike, _items)
