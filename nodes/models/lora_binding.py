"""Which modules of a network a LoRA changes: names of any trainer matched with those that the network has.

The same function serves the check, which knows the shapes in the headers of a checkpoint, and the change itself, which
has the network. Every layer of the file finds its module, of the size that it was made for, or the LoRA is refused.
Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from weft.engine import InputError, listed
from weft.nodes.models.lora_file import MOST_NAMES, LoRALayer
from weft.nodes.models.original_modules import Joined, OriginalModules
from weft.nodes.models.safetensors_header import Shapes

TEXT = "text_model."
"""What names of a text model's modules may begin with, here or in the file."""


@dataclass(frozen=True)
class BoundLayer:
    """A layer of a LoRA with a module that it changes.

    Args:
        module: of the network.
        start: the first row of the layer's change that is the module's.
        stop: the row after the last.
        swapped: whether the halves of these rows are in the other order.
    """

    layer: LoRALayer
    module: str
    start: int
    stop: int
    swapped: bool


def modules_of(shapes: Shapes) -> dict[str, tuple[int, int]]:
    """The rows of each module's weight and the elements of a row, by the name of the module."""
    ending = ".weight"
    return {
        name.removesuffix(ending): (shape[0], math.prod(shape[1:]))
        for name, shape in shapes.items()
        if name.endswith(ending) and shape
    }


def read_columns(layers: Iterable[LoRALayer], module: str, originals: OriginalModules) -> int:
    """The columns of the weight of a module that a LoRA was made for; 0 where it does not change it.

    Args:
        originals: what its authors call the network's modules.
    """
    own = {name for name, joined in originals.items() if joined.modules == (module,)}
    names = {spelling for spelling, _ in _spellings({module, *own})}
    return max((layer.size[1] for layer in layers if layer.form == "lora" and layer.module in names), default=0)


def widened_shapes(
    layers: Sequence[LoRALayer],
    shapes: Shapes,
    module: str,
    originals: Callable[[Mapping[str, object]], OriginalModules],
) -> Shapes:
    """The shapes of a network whose module reads as much as a Control LoRA was made for, which may be more.

    Args:
        module: that such LoRAs widen; empty where none do.
    """
    weight = f"{module}.weight"
    if not module or weight not in shapes:
        return shapes
    rows, *columns = shapes[weight]
    wide = read_columns(layers, module, originals(modules_of(shapes)))
    return {**shapes, weight: (rows, max(wide, *columns))}


def bound(
    layers: Sequence[LoRALayer], shapes: Shapes, originals: Callable[[Mapping[str, object]], OriginalModules]
) -> tuple[BoundLayer, ...]:
    """Each layer with the modules that it changes.

    Args:
        shapes: of the network's weights and biases; a size of 0 is one that headers do not tell.
        originals: what its authors call its modules.

    Raises:
        InputError: where the network has no such module, or one of another size.
    """
    modules = modules_of(shapes)
    known = {**{name: Joined((name,)) for name in modules}, **originals(modules)}
    names = dict(_spellings(known))
    missing = [layer for layer in layers if layer.module not in names]
    if missing:
        raise InputError(
            f"the LoRA changes {len(missing)} modules that the model does not have: "
            f"{listed(layer.name for layer in missing[:MOST_NAMES])}",
            "use a LoRA that was made for this model, or one like it",
            "wrong-lora",
        )
    placed = _once(one for layer in layers for one in _placed(layer, known[names[layer.module]], modules))
    for one in placed:
        weight = shapes[f"{one.module}.weight"]
        kernel, wanted = one.layer.weight.kernel, weight[2:]
        if kernel and kernel != wanted and max(math.prod(kernel), math.prod(wanted)) > 1:
            raise InputError(
                f"`{one.layer.name}` of the LoRA is made for a kernel of {_sides(kernel)}, and {one.module} of the "
                f"model has one of {_sides(wanted)}",
                "use a LoRA that was made for this model, or one like it",
                "wrong-lora",
            )
        if one.layer.scales_channels:
            _check_magnitudes(one, weight)
        if one.layer.shapes.keys() & {"up_bias", "diff_b"} and f"{one.module}.bias" not in shapes:
            raise InputError(
                f"`{one.layer.name}` of the LoRA changes a bias, and {one.module} of the model has none",
                "use a LoRA that was made for this model, or one like it",
                "wrong-lora",
            )
    return placed


def _sides(kernel: tuple[int, ...]) -> str:
    return " x ".join(map(str, kernel)) or "1"


def _check_magnitudes(place: BoundLayer, shape: tuple[int, ...]) -> None:
    """Raise `InputError` where the magnitudes of a DoRA are not those of the channels that a weight reads."""
    given = math.prod(place.layer.shapes["dora_scale"])
    if place.start or place.stop != place.layer.size[0]:
        message = f"`{place.layer.name}` of the LoRA has magnitudes over several modules of the model together"
        raise InputError(message, "use one with a magnitude for each row (DoRA on output)", "unsupported-weights")
    if shape[1:2] not in ((0,), (given,)):
        raise InputError(
            f"`{place.layer.name}` of the LoRA has {given} magnitudes, and {place.module} of the model has a weight of "
            f"{' x '.join(map(str, shape))}",
            "use a LoRA that was made for this model, or one like it",
            "wrong-lora",
        )


def _spellings(known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every way in which a file may write the name of a module, with the name."""
    for name in known:
        for dotted in (name, name.removeprefix(TEXT), TEXT + name.removeprefix(TEXT)):
            yield dotted, name
            yield dotted.replace(".", "_"), name


def _once(placed: Iterable[BoundLayer]) -> tuple[BoundLayer, ...]:
    """Each module's layers; of a change that a file has by diffusers' names and by those of the authors, the first.

    Some trainers of Z-Image write a joined projection next to its parts.
    """
    found: dict[str, list[BoundLayer]] = {}
    for one in placed:
        found.setdefault(one.module, []).append(one)
    own = {
        module: [one for one in given if one.layer.module in (module, module.replace(".", "_"))]
        for module, given in found.items()
    }
    return tuple(one for module, given in found.items() for one in own[module] or given)


def _placed(layer: LoRALayer, joined: Joined, modules: Mapping[str, tuple[int, int]]) -> Iterator[BoundLayer]:
    """A layer with each module of a joined one, or with the first of them where it has rows for no more."""
    rows, columns = layer.size
    row = 0
    for module in joined.modules:
        size, width = modules[module]
        size, width = size or rows, width or columns
        if not layer.form:
            rows, columns = layer.shapes["diff_b"][0], width
        if row == rows and row:
            break
        if columns != width or row + size > rows:
            raise _mismatch(layer, joined, modules)
        yield BoundLayer(layer, module, row, row + size, joined.swapped and size == 2 * width)
        row += size
    if row != rows:
        raise _mismatch(layer, joined, modules)


def _mismatch(layer: LoRALayer, joined: Joined, modules: Mapping[str, tuple[int, int]]) -> InputError:
    sizes = [modules[module] for module in joined.modules]
    rows, columns = layer.size
    return InputError(
        f"`{layer.name}` of the LoRA is made for a weight of {rows} x {columns}, and {listed(joined.modules)} of the "
        f"model has {sum(size for size, _ in sizes)} x {sizes[0][1]}",
        "use a LoRA that was made for this model, or one like it",
        "wrong-lora",
    )
