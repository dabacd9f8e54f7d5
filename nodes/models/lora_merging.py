"""LoRAs in the weights of a network: W + sum of strength x change, added up in float32 and rounded once.

Sources: LoRA (https://arxiv.org/abs/2106.09685, equation 3), LoHa (https://arxiv.org/abs/2108.06098, proposition 1),
LoKr (https://arxiv.org/abs/2309.14859, section 3), DoRA (https://arxiv.org/abs/2402.09353, equation 5). A stack changes
each weight as it was without any of them, as PEFT's layers next to it do. What is overwritten is kept in the host's
memory. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from weft.nodes.lora_values import AppliedLoRA
from weft.nodes.models.finite_weights import check_finite
from weft.nodes.models.lora_binding import BoundLayer, bound
from weft.nodes.models.lora_facts import LoRAFacts, lora_facts
from weft.nodes.models.network_blocks import BlockNumber, check_modules, check_unet_blocks, number_for
from weft.nodes.models.original_modules import OriginalModules
from weft.nodes.models.packed_weights import Change, PackedLayer, weight_shapes
from weft.nodes.models.safetensors_header import header_in
from weft.nodes.models.single_file import tensors

Tensors = Mapping[str, Tensor]
"""Those of one layer, by their roles, in float32."""


@dataclass(frozen=True)
class LoadedLoRA:
    """The tensors of a LoRA on a device.

    Args:
        tensors: by their names in the file.
    """

    facts: LoRAFacts
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, path: Path, facts: LoRAFacts, device: str) -> LoadedLoRA:
        """The tensors of a file, in its precision.

        Raises:
            InputError: where some numbers are not finite.
        """
        found = tensors(path, "")
        check_finite(found.items(), path.name)
        return cls(facts, {name: one.to(device) for name, one in found.items()})

    @classmethod
    def made(cls, content: bytes, device: str) -> LoadedLoRA:
        """The tensors in the bytes of a file that a node has made."""
        header = header_in(content, "a trained LoRA")
        facts = lora_facts(header.shapes, header.metadata)
        assert facts, "what a node gives as a LoRA is one"
        return cls(facts, {name: one.to(device) for name, one in load(content).items()})

    def parameters(self) -> Iterator[Tensor]:
        """What the residency counts."""
        yield from self.tensors.values()

    def buffers(self) -> tuple[Tensor, ...]:
        """Nothing else is kept."""
        return ()

    def changes(
        self, applied: AppliedLoRA, places: Sequence[BoundLayer], config: Mapping[str, Any]
    ) -> Iterator[LayerChange]:
        """What the LoRA adds to each module, by its strength there; nothing where that is 0.

        Args:
            config: of the network.
        """
        blocks = [BlockNumber(*one, applied.block_count) for one in applied.blocks]
        for place in places:
            strength = applied.strength * number_for(f"{place.module}.weight", blocks, 1.0, config)
            if strength:
                own = {role: self.tensors[name].float() for role, name in place.layer.tensors.items()}
                alpha = float(own["alpha"]) if "alpha" in own else None
                yield LayerChange(place, own, strength * self.facts.scale(place.layer, alpha), strength)


Uses = Sequence[tuple[AppliedLoRA, LoadedLoRA]]


def add_loras(
    network: Any,
    uses: Uses,
    parts: Sequence[str],
    originals: Callable[[Mapping[str, object]], OriginalModules] = lambda modules: {},
) -> Callable[[], None]:
    """Add LoRAs to the weights of a network; gives the function that puts back what was there.

    Args:
        parts: what files call the part of a model that the network is.
        originals: what its authors call its modules.

    Raises:
        InputError: where one does not fit the network; nothing is changed then.
    """
    return merge(network, _layer_changes(network, uses, parts, originals))


def lora_sums(
    network: Any,
    uses: Uses,
    parts: Sequence[str],
    originals: Callable[[Mapping[str, object]], OriginalModules] = lambda modules: {},
) -> Callable[[str, Tensor], Tensor]:
    """What LoRAs make of the weights of a network: from the name of a weight, and it as it is without them, in float32.

    Raises:
        InputError: where one does not fit the network.
    """
    by_module = _by_module(_layer_changes(network, uses, parts, originals))

    def total(name: str, base: Tensor) -> Tensor:
        module, _, role = name.rpartition(".")
        added = _added_to(role, base, by_module.get(module, []))
        return base if added is None else base + added

    return total


def _layer_changes(
    network: Any, uses: Uses, parts: Sequence[str], originals: Callable[[Mapping[str, object]], OriginalModules]
) -> list[LayerChange]:
    """What LoRAs add to each module of a network; raises `InputError` where one does not fit."""
    shapes = weight_shapes(network)
    config = network.config
    changes: list[LayerChange] = []
    for applied, loaded in uses:
        blocks = [BlockNumber(*one, applied.block_count) for one in applied.blocks]
        check_unet_blocks(blocks, config)
        check_modules(blocks, [*shapes])
        changes += loaded.changes(applied, bound(loaded.facts.of_part(*parts), shapes, originals), config)
    return changes


NORM = "norm_scale"
"""The role of a norm that stands in the place of the module's own."""


@dataclass(frozen=True)
class LayerChange:
    """What one layer of a LoRA adds to a module.

    Args:
        tensors: of the layer, by their roles.
        scale: the factor of the change of a weight: the strength, and what the file says (alpha).
        strength: the factor of a difference of biases.
    """

    place: BoundLayer
    tensors: Tensors
    scale: float
    strength: float

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.tensors.values())).device


def merge(network: nn.Module, changes: Iterable[LayerChange]) -> Callable[[], None]:
    """Add changes to the weights of a network; gives the function that puts back what was there."""
    by_module = _by_module(changes)
    kept: list[tuple[nn.Parameter, Tensor]] = []
    next_to_layers: list[tuple[PackedLayer, Change | None]] = []

    def undo() -> None:
        for layer, before in reversed(next_to_layers):
            layer.change = before
        for parameter, values in kept:
            parameter.data = values.to(parameter.device)

    try:
        for name, own in by_module.items():
            module = network.get_submodule(name)
            if isinstance(module, PackedLayer):
                next_to_layers.append((module, module.change))
                module.change = partial(_changed, own, module.change)
            for parameter, values, added in _added(module, own):
                merged = (values + added).to(parameter.dtype)
                kept.append((parameter, parameter.data.cpu()))
                parameter.data = merged.to(parameter.device)
    except BaseException:
        undo()
        raise
    return undo


def _changed(own: list[LayerChange], before: Change | None, weight: Tensor) -> Tensor:
    """The weight of a packed layer with the changes that stand next to it, in float32."""
    base = before(weight).float() if before else weight
    added = _added_to("weight", base, own)
    return base if added is None else base + added


def _by_module(changes: Iterable[LayerChange]) -> dict[str, list[LayerChange]]:
    found: dict[str, list[LayerChange]] = {}
    for change in changes:
        found.setdefault(change.place.module, []).append(change)
    return found


def _added(module: nn.Module, changes: list[LayerChange]) -> Iterable[tuple[nn.Parameter, Tensor, Tensor]]:
    """The weight and the bias of a module, as they are in float32, and what is added to each.

    All is computed where the LoRAs are: weights that are sent to the device as they run lie on the host.
    """
    device = changes[0].device
    for role in ("weight", "bias"):
        parameter = getattr(module, role, None)
        if isinstance(parameter, nn.Parameter):
            values = parameter.data.to(device).float()
            added = _added_to(role, values, changes)
            if added is not None:
                yield parameter, values, added


def _added_to(role: str, base: Tensor, changes: list[LayerChange]) -> Tensor | None:
    """What is added to the `weight` or the `bias` of a module; None where nothing is.

    Args:
        base: it as it is without any LoRA, in float32.
    """
    if role == "weight":
        found = [weight_change(change, base) for change in _last_norm(changes) if change.place.layer.form]
    else:
        found = [one for change in changes if role == "bias" and (one := _bias_change(change)) is not None]
    return sum_of(found) if found else None


def _last_norm(changes: list[LayerChange]) -> list[LayerChange]:
    """Of several norms that stand in the place of the module's own, only the last, as pipelines load them."""
    norms = [change for change in changes if NORM in change.tensors]
    return [change for change in changes if NORM not in change.tensors or change is norms[-1]]


def sum_of(tensors: list[Tensor]) -> Tensor:
    """The sum of tensors, at least one."""
    total = tensors[0]
    for one in tensors[1:]:
        total = total + one
    return total


def weight_change(change: LayerChange, base: Tensor) -> Tensor:
    """The change of a weight, of its shape.

    Args:
        base: the weight as it is without any LoRA, in float32.
    """
    place, tensors = change.place, change.tensors
    if NORM in tensors:
        return tensors[NORM] - base
    rows = _reordered(FORMS[place.layer.form](tensors), place) * change.scale
    delta = rows.reshape(base.shape)
    magnitude = tensors.get("magnitude", tensors.get("dora_scale"))
    if magnitude is None:
        return delta
    aimed = base + delta
    if place.layer.scales_channels:
        return _with_norms(aimed.transpose(0, 1), magnitude.reshape(-1, 1)).transpose(0, 1) - base
    return _with_norms(aimed, _reordered(magnitude.reshape(-1, 1), place)) - base


def _with_norms(weight: Tensor, magnitude: Tensor) -> Tensor:
    """A weight whose slices along the first axis have these norms `[slice, 1]`."""
    norm: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1, keepdim=True)
    return (weight.flatten(1) * (magnitude / norm)).reshape(weight.shape)


def _reordered(rows: Tensor, place: BoundLayer) -> Tensor:
    """The rows of a module among those of a layer."""
    own = rows[place.start : place.stop]
    return torch.cat([*reversed(own.chunk(2))]) if place.swapped else own


def _bias_change(change: LayerChange) -> Tensor | None:
    for role, factor in (("diff_b", change.strength), ("up_bias", change.scale)):
        if role in change.tensors:
            return _reordered(change.tensors[role].flatten(), change.place) * factor
    return None


def _lora(tensors: Tensors) -> Tensor:
    up, down = tensors["up"].flatten(1), tensors["down"]
    if "mid" in tensors:
        return torch.einsum("nmkl,in,mj->ijkl", tensors["mid"], up, down.flatten(1)).flatten(1)
    return up @ down.flatten(1)


def _loha(tensors: Tensors) -> Tensor:
    first, second = (
        _cores(tensors[f"hada_t{one}"], tensors[f"hada_w{one}_a"], tensors[f"hada_w{one}_b"])
        if "hada_t1" in tensors
        else tensors[f"hada_w{one}_a"] @ tensors[f"hada_w{one}_b"]
        for one in (1, 2)
    )
    return first * second


def _lokr(tensors: Tensors) -> Tensor:
    # Elements of a kernel are columns: the product of flat factors has them where that of kernels does.
    return torch.kron(_factor(tensors, "lokr_w1"), _factor(tensors, "lokr_w2").contiguous())


def _factor(tensors: Tensors, role: str) -> Tensor:
    """One factor of a Kronecker product."""
    if role in tensors:
        return tensors[role].flatten(1)
    first, second = tensors[f"{role}_a"], tensors[f"{role}_b"]
    if role == "lokr_w2" and "lokr_t2" in tensors:
        return _cores(tensors["lokr_t2"], first, second)
    return first @ second.flatten(1)


def _cores(core: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A kernel from a core tensor and its factors (Tucker decomposition), as rows of elements."""
    return torch.einsum("ijkl,jr,ip->prkl", core, second, first).flatten(1)


def _difference(tensors: Tensors) -> Tensor:
    return tensors["diff"].flatten(1) if tensors["diff"].ndim > 1 else tensors["diff"][:, None]


FORMS: Mapping[str, Callable[[Tensors], Tensor]] = {"lora": _lora, "loha": _loha, "lokr": _lokr, "diff": _difference}
"""The change of a weight as rows of elements, by the form of a layer."""
