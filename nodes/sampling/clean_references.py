"""Pictures to refer to that a transformer reads as clean: Qwen-Image-Edit from version 2511 on.

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
