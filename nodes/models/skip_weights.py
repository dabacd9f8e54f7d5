"""FreeU (https://arxiv.org/abs/2309.11497): factors of what a UNet's upward blocks read. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser


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
        if not module.has_skips:
            raise InputError(
                f"the network of {module.family} has no skip connections that FreeU weighs",
                "leave FreeU out",
                "unsupported-by-model",
            )
        blocks = [*module.network.up_blocks]
        before = [{name: vars(block).get(name) for name in asdict(self)} for block in blocks]

        def undo() -> None:
            for block, values in zip(blocks, before, strict=True):
                vars(block).update(values)

        module.network.enable_freeu(**asdict(self))
        return undo
