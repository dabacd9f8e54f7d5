"""Files of hypernetworks: pairs of small networks, by the width of what attention reads. Imports no torch.

Names are those of AUTOMATIC1111's web UI: `WIDTH.0.linear.N.weight` for keys, `WIDTH.1.linear.N.weight` for values,
where `N` counts linear layers, activations, layer norms and dropout. What has no tensors is in the metadata, by the
names of the same program: `activation_func`, `activate_output`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weft.engine import InputError, listed
from weft.nodes.models.safetensors_header import Shapes

TENSOR = re.compile(r"(?P<width>\d+)\.(?P<side>[01])\.linear\.(?P<number>\d+)\.(?P<role>weight|bias)")

ACTIVATIONS: Mapping[str, str] = {
    "linear": "",
    "relu": "ReLU",
    "leakyrelu": "LeakyReLU",
    "elu": "ELU",
    "swish": "Hardswish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "gelu": "GELU",
    "silu": "SiLU",
    "selu": "SELU",
    "celu": "CELU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "relu6": "ReLU6",
}
"""Activations by the names that files have for them, and torch's classes; the empty one is none."""


@dataclass(frozen=True)
class HypernetworkFacts:
    """What the header of a hypernetwork's file says.

    Args:
        widths: of what attention reads, in order.
        layers: the numbers of the linear layers and layer norms of each of the two networks of a width, in order.
        activation: torch's class between linear layers; empty where there is none.
        activates_output: whether it also follows the last linear layer.
    """

    widths: tuple[int, ...]
    layers: Mapping[tuple[int, int], tuple[int, ...]]
    activation: str = ""
    activates_output: bool = False


def hypernetwork_facts(shapes: Shapes, metadata: Mapping[str, str]) -> HypernetworkFacts | None:
    """What a header says of a hypernetwork; None where it is of something else.

    Raises:
        InputError: where parts are missing or unknown.
    """
    found = {name: match for name in shapes if (match := TENSOR.fullmatch(name))}
    if not found:
        return None
    others = sorted(shapes.keys() - found.keys())
    if others:
        raise _damaged(f"has tensors that are none of its layers: {listed(others[:3])}")
    layers: dict[tuple[int, int], tuple[int, ...]] = {}
    for match in found.values():
        place, number = (int(match["width"]), int(match["side"])), int(match["number"])
        layers[place] = tuple(sorted({*layers.get(place, ()), number}))
    widths = tuple(sorted({width for width, _ in layers}))
    for width in widths:
        for side in (0, 1):
            _check_layers(width, side, layers.get((width, side), ()), shapes)
    activation = _activation(metadata, has_gaps=any(one[-1] >= len(one) for one in layers.values()))
    return HypernetworkFacts(widths, layers, activation, metadata.get("activate_output", "").lower() == "true")


def _check_layers(width: int, side: int, numbers: tuple[int, ...], shapes: Shapes) -> None:
    """Raise `InputError` where the layers of a network do not follow each other, from its width to its width."""
    channels = width
    for number in numbers:
        name = f"{width}.{side}.linear.{number}"
        weight, bias = shapes.get(f"{name}.weight", ()), shapes.get(f"{name}.bias", ())
        if len(weight) not in (1, 2) or bias != weight[:1] or weight[-1] != channels:
            raise _damaged(f"has `{name}` of weight {list(weight)} and bias {list(bias)} after {channels} channels")
        channels = weight[0]
    if not numbers or channels != width:
        raise _damaged(f"has no network for {'values' if side else 'keys'} of {width} channels that ends in as many")


def _activation(metadata: Mapping[str, str], has_gaps: bool) -> str:
    """torch's class of the activation.

    Raises:
        InputError: where it is unknown, or not named although something without tensors stands between the layers.
    """
    named = metadata.get("activation_func", "").lower()
    if named in ACTIVATIONS:
        return ACTIVATIONS[named]
    if not named and not has_gaps:
        return ""
    what = f"names the activation `{named}`" if named else "does not name the activation between its layers"
    raise InputError(
        f"the hypernetwork {what}",
        f"put `activation_func` into its metadata, one of: {listed(ACTIVATIONS)}",
        "unsupported-weights",
    )


def _damaged(what: str) -> InputError:
    return InputError(f"the hypernetwork {what}", "get the file again", "damaged-file")
