"""How a transformer reads pictures to refer to: as clean ones (Qwen-Image-Edit 2511), at places of a diagonal (UNO).

Imports torch by what it patches: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weft.engine import Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser

SWITCH = "zero_cond_t"
"""diffusers' name of what makes a transformer read the tokens of pictures to refer to with the timestep 0."""


@value
@dataclass(frozen=True)
class CleanReferences(Patch[Denoiser]):
    """Lets a transformer read the tokens of pictures to refer to with the timestep 0."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        parts = (module.network, *module.network.transformer_blocks)
        before = [getattr(part, SWITCH) for part in parts]

        def undo() -> None:
            for part, old in zip(parts, before, strict=True):
                setattr(part, SWITCH, old)

        for part in parts:
            setattr(part, SWITCH, True)
        return undo


@value
@dataclass(frozen=True)
class DiagonalReferences(Patch[Denoiser]):
    """Lets a transformer of FLUX.1 read the tokens of pictures to refer to at places beyond those of the picture."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        before = module.diagonal_references

        def undo() -> None:
            module.diagonal_references = before

        module.diagonal_references = True
        return undo
