"""LoRAs as values: a file of low-rank changes, how it is applied, and the change to a recipe that it makes.

Read next: `weft.nodes.models.lora_merging`, which adds them to the weights of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from weft.engine import ADDED_LATER, InputError, Loading, Recipe, value
from weft.nodes.values import Change, F, WeightPatch, Weights


@value
@dataclass(frozen=True, repr=False)
class LoRA(Recipe[Any], Generic[F]):
    """Low-rank changes to the weights of models.

    Args:
        source: the content digest of the file that they are in.
        family: the name of the family of models that they were made for; empty where the file does not tell.
        file: the whole safetensors file, of a LoRA that a node has made; empty for one that lies in a folder.
    """

    source: str
    family: str
    file: bytes = field(default=b"", repr=False, metadata=ADDED_LATER)

    def __repr__(self) -> str:
        return f"LoRA({self.family or 'of any family'}, {self.source[:12]})"


@value
@dataclass(frozen=True)
class AppliedLoRA:
    """A LoRA with how much and when it acts.

    Args:
        strength: the factor of its changes.
        blocks: further factors, by the names of parts of the network; the last one that fits counts.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
        block_count: how many blocks the network must have, where each was given a factor; 0 where some were named.
    """

    lora: LoRA[Any]
    strength: float
    blocks: tuple[tuple[str, float], ...] = ()
    start: float = 0.0
    end: float = 1.0
    block_count: int = field(default=0, metadata=ADDED_LATER)

    @property
    def acts_throughout(self) -> bool:
        """Whether it acts in every step."""
        return self.start == 0 and self.end == 1


@value
@dataclass(frozen=True)
class AddedLoRAs(WeightPatch):
    """LoRAs added to the weights of a network, all to the weights as they are without them.

    Those that act in a part of the steps are left to the sampler, which enters what acts in a step (`during`).
    """

    loras: tuple[AppliedLoRA, ...]

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        with ExitStack() as held:
            lasting = [one for one in self.loras if one.acts_throughout]
            loaded = [(one, held.enter_context(loading.weights(one.lora))) for one in lasting]
            undo: Callable[[], None] = module.add_loras(loaded)
        return undo

    @contextmanager
    def opened(self, module: Any, loading: Loading) -> Iterator[Change]:
        """What they make of weights.

        Raises:
            InputError: where one acts in a part of the steps, or does not fit.
        """
        if not self.act_throughout:
            raise InputError(
                "a LoRA that acts in a part of the steps cannot be merged with weights",
                "leave its `start` at 0 and its `end` at 1",
                "unsupported-by-model",
            )
        with ExitStack() as held:
            yield module.lora_sums([(one, held.enter_context(loading.weights(one.lora))) for one in self.loras])

    @property
    def act_throughout(self) -> bool:
        """Whether all act in every step."""
        return all(one.acts_throughout for one in self.loras)

    def during(self, acts: Callable[[float, float], bool]) -> AddedLoRAs:
        """The LoRAs of one step, each as one of every step.

        Args:
            acts: whether the step is one of those between two fractions.
        """
        return AddedLoRAs(tuple(replace(one, start=0.0, end=1.0) for one in self.loras if acts(one.start, one.end)))


W = TypeVar("W", bound=Weights)


def with_lora(recipe: W, added: AppliedLoRA) -> W:
    """A recipe with one more LoRA; those in a row are one change, which is rounded once. Strength 0 adds nothing."""
    if not added.strength:
        return recipe
    last = recipe.changes[-1] if recipe.changes else None
    if isinstance(last, AddedLoRAs):
        return replace(recipe, changes=(*recipe.changes[:-1], AddedLoRAs((*last.loras, added))))
    return replace(recipe, changes=(*recipe.changes, AddedLoRAs((added,))))
