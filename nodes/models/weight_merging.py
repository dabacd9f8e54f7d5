"""Merged weights: those of a module with those of other recipes added, as a patch.

Sums are computed in float32, from the numbers that files have, and rounded once to the precision of the module. Each
tensor is read from the maps of the other files and summed on its own, so that a merge takes the memory of one model.
What is overwritten is read from the module's own file again where it came from there, and kept where another patch had
changed it. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Patch, RestoreWeights, value
from weft.nodes.models.mergeable import common_weights
from weft.nodes.models.network_blocks import (
    BlockNumber,
    check_modules,
    check_unet_blocks,
    number_for,
    unet_config,
)
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.stored_weights import Networks, packed_weights_of, stored_weights, weights_of
from weft.nodes.values import Change, WeightPatch, Weights

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True)
class MergeStep:
    """One sum: w + share x (other - minus); or (1 - share) x w + share x other.

    Args:
        other: whose weights are added, with its own changes.
        minus: whose weights are subtracted from these; None subtracts nothing.
        share: for weights that no block names.
        blocks: the shares of some blocks; where several name a weight, the last one counts.
        interpolates: whether the share is taken from what is there.
    """

    other: Weights
    share: float
    blocks: tuple[BlockNumber, ...] = ()
    interpolates: bool = False
    minus: Weights | None = None


@value
@dataclass(frozen=True)
class MergedWeights(WeightPatch):
    """Weights with those of other recipes added, one sum after another."""

    steps: tuple[MergeStep, ...]

    def enter(self, module: Networks, loading: Loading) -> Callable[[], None]:
        import torch

        base = loading.base
        assert isinstance(base, Weights)
        own = weights_of(module)
        kept: dict[str, Tensor] = {}
        with (
            self.opened(module, loading) as change,
            stored_weights(base, loading) as stored,
            torch.no_grad(),
        ):
            for name, tensor in own.items():
                before = stored.tensors.get(name)
                if before is None or not torch.equal(before.to(tensor.dtype), tensor.cpu()):
                    kept[name] = before = tensor.cpu().clone()
                tensor.copy_(change(name, before.to(loading.device, torch.float32)))
            packed = packed_weights_of(module)
            unchanged = {name: layer.change for name, layer in packed.items()}
            for name, layer in packed.items():
                layer.change = _replacing(change(name, layer.packed.unpacked(torch.float32)).to(layer.precision))

        def restore() -> None:
            for name, layer in packed.items():
                layer.change = unchanged[name]
            with loading.sources.unchanged() as sources, torch.no_grad():
                again = Loading(loading.device, sources, loading.hold)
                with stored_weights(base, again) as stored:
                    for name, tensor in weights_of(module).items():
                        tensor.copy_(kept[name] if name in kept else stored.tensors[name])

        return RestoreWeights(restore)

    @contextmanager
    def opened(self, module: Networks, loading: Loading) -> Iterator[Change]:
        shapes = {name: tuple(tensor.shape) for name, tensor in weights_of(module).items()}
        shapes |= {name: layer.packed.shape for name, layer in packed_weights_of(module).items()}
        with ExitStack() as stack:
            steps = [stack.enter_context(_opened(step, shapes, loading)) for step in self.steps]

            def change(name: str, weight: Tensor) -> Tensor:
                for step in steps:
                    weight = step(name, weight)
                return weight

            yield change


@contextmanager
def weights_with_changes(recipe: Weights, loading: Loading) -> Iterator[tuple[Shapes, Callable[[str], Tensor]]]:
    """The shapes of a recipe's weights, and what gives each in float32 on the device, its changes made.

    Raises:
        InputError: where a change is none of weights alone.
    """
    import torch

    with ExitStack() as stack:
        stored = stack.enter_context(stored_weights(recipe, loading))
        shapes = {name: tuple(tensor.shape) for name, tensor in stored.tensors.items()}
        changes = [stack.enter_context(weight_patch(one).opened(stored.module, loading)) for one in recipe.changes]

        def read(name: str) -> Tensor:
            weight = stored.tensors[name].to(loading.device, torch.float32)
            for change in changes:
                weight = change(name, weight)
            return weight

        yield shapes, read


def _replacing(merged: Tensor) -> Callable[[Tensor], Tensor]:
    """The change of a packed weight to a merged one, which is in memory in the precision of its layer."""
    return lambda weight: merged


def weight_patch(patch: Patch[Any]) -> WeightPatch:
    """A patch of weights alone.

    Raises:
        InputError: where it is another one.
    """
    if not isinstance(patch, WeightPatch):
        raise InputError(
            f"a model with {type(patch).__name__} cannot be merged into another: it is no change of weights alone",
            "change the merged model instead",
            "unsupported-by-model",
        )
    return patch


@contextmanager
def _opened(step: MergeStep, shapes: Shapes, loading: Loading) -> Iterator[Change]:
    """What one sum makes of weights of these shapes, while the block runs."""
    import torch

    config = unet_config(shapes)
    check_unet_blocks(step.blocks, config)
    check_modules(step.blocks, [*shapes])
    with ExitStack() as stack:
        found, other = stack.enter_context(weights_with_changes(step.other, loading))
        common = common_weights(shapes, found, loading.locate(step.other.source).text)
        minus = None
        if step.minus is not None:
            taken, minus = stack.enter_context(weights_with_changes(step.minus, loading))
            common = common_weights(
                {name: found[name] for name in common}, taken, loading.locate(step.minus.source).text, exact=True
            )

        def change(name: str, weight: Tensor) -> Tensor:
            share = number_for(name, step.blocks, step.share, config)
            if name not in common or share == 0:
                return weight
            added = other(name)
            part = weight[:, : added.shape[1]] if added.shape != weight.shape else weight
            if minus is not None:
                added = added - minus(name)
            total = share * added
            total += (1 - share) * part if step.interpolates else part
            return total if part is weight else torch.cat([total, weight[:, added.shape[1] :]], dim=1)

        yield change
