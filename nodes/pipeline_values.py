"""The values of whole pipelines of diffusers: a recipe, and what a call is given by its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from weft.engine import Loading, Patch, Recipe, value


@value
@dataclass(frozen=True)
class Pipeline(Recipe[Any]):
    """Names a pipeline of diffusers with all of its components.

    Args:
        source: the content digest of its folder.
        class_name: diffusers' class.
        variant: the variant of the weights, such as `fp16`; empty takes the plain ones, or the only ones.
        dtype: the precision that weights are loaded in: `float32`, `float16` or `bfloat16`.
        changes: to its weights, in the order in which they are made: LoRAs.
    """

    source: str
    class_name: str
    variant: str
    dtype: str
    changes: tuple[Patch[Any], ...] = field(default=(), kw_only=True)

    @property
    def base(self) -> Self:
        return replace(self, changes=()) if self.changes else self

    @property
    def patches(self) -> tuple[Patch[Any], ...]:
        return self.changes

    def __repr__(self) -> str:
        variant = f", {self.variant}" if self.variant else ""
        changed = f", {len(self.changes)} changes" if self.changes else ""
        return f"Pipeline({self.class_name}, {self.dtype}{variant}, {self.source[:12]}{changed})"


@value
@dataclass(frozen=True)
class PipelineLoRA(Patch[Any]):
    """A LoRA in a pipeline, by diffusers' own methods.

    Args:
        source: the content digest of its file.
        strength: what its change is multiplied by.
    """

    source: str
    strength: float

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        undo: Callable[[], None] = module.add_lora(loading.locate(self.source).root, self.strength)
        return undo


@value
@dataclass(frozen=True, eq=False)
class PipelineInputs:
    """What a call of a pipeline is given by the names of its own parameters: embeddings of prompts, pictures, latents.

    Args:
        given: each parameter with its value: a tensor, pictures, a clip, sound, or a list of these.
    """

    given: tuple[tuple[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters."""
        return tuple(name for name, _ in self.given)

    def __repr__(self) -> str:
        return f"PipelineInputs({', '.join(self.names)})"
