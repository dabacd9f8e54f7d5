"""FreeU (https://arxiv.org/abs/2309.11497): factors of what a UNet's upward blocks read. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True)
class SkipWeights(Patch[Denoiser]):
    """FreeU's factors, as diffusers' upward blocks read them.

    Args:
        s1: of the low frequencies of skip connections, in the first upward block.
        s2: the same in the second one.
        b1: of half of the channels of the hidden features, in the first upward block.
        b2: the same in the second one.
    """

    s1: float
    s2: float
    b1: float
    b2: float

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        _check_skips(module)
        blocks = [*module.network.up_blocks]
        before = [{name: vars(block).get(name) for name in asdict(self)} for block in blocks]

        def undo() -> None:
            for block, values in zip(blocks, before, strict=True):
                vars(block).update(values)

        module.network.enable_freeu(**asdict(self))
        return undo


def _check_skips(module: Denoiser) -> None:
    if not module.has_skips:
        message = f"the network of {module.family} has no skip connections that FreeU weighs"
        raise InputError(message, "leave FreeU out", "unsupported-by-model")


@value
@dataclass(frozen=True)
class WidthWeights(Patch[Denoiser]):
    """FreeU's factors by the width of features, as its authors' code has them (https://github.com/ChenyangSi/FreeU).

    Args:
        s1: of the low frequencies of skip connections, where hidden features are four times as wide as in the first
            block of the network.
        s2: the same where they are twice as wide.
        b1: of half of the channels of these hidden features.
        b2: the same where they are twice as wide.
        adaptive: whether that factor is largest where the mean of the features is, and 1 where it is least: version 2.
    """

    s1: float
    s2: float
    b1: float
    b2: float
    adaptive: bool

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        _check_skips(module)
        widths = module.network.config.block_out_channels
        factors = {4 * widths[0]: (self.b1, self.s1), 2 * widths[0]: (self.b2, self.s2)}
        hidden, handles = widths[-1], []
        for block in module.network.up_blocks:
            for resnet in block.resnets:
                if hidden in factors:
                    weigh = partial(_weighed, hidden, *factors[hidden], self.adaptive)
                    handles.append(resnet.register_forward_pre_hook(weigh))
                hidden = resnet.out_channels

        def undo() -> None:
            for handle in handles:
                handle.remove()

        return undo


def _weighed(
    hidden: int, factor: float, low: float, adaptive: bool, block: object, given: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The inputs of a block: so many channels of hidden features, then those of the skip connection."""
    import torch
    from diffusers.utils.torch_utils import fourier_filter

    features, skip = given[0][:, :hidden], given[0][:, hidden:]
    half = hidden // 2
    raised = features[:, :half] * (_by_mean(features, factor) if adaptive else factor)
    smoothed = fourier_filter(skip, threshold=1, scale=low)  # type: ignore[arg-type]  # a number is meant
    return (torch.cat([raised, features[:, half:], smoothed.to(skip.dtype)], dim=1), *given[1:])


def _by_mean(features: Tensor, factor: float) -> Tensor:
    """A factor for each place, from 1 where the mean of its channels is least to the whole one where it is greatest."""
    mean = features.mean(1, keepdim=True)
    least, most = (one.view(-1, 1, 1, 1) for one in (mean.flatten(1).amin(1), mean.flatten(1).amax(1)))
    return (factor - 1) * (mean - least) / (most - least) + 1
