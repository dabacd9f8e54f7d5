"""Hypernetworks: small networks that change what attention makes keys and values of.

keys = to_k(x + strength x h_k(x)), values = to_v(x + strength x h_v(x)), where x is what attention reads (the prompt,
or the picture itself), in every attention whose x has a width that the file has networks for. So does AUTOMATIC1111's
web UI. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Patch, Recipe, listed, value
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.hypernetwork_files import HypernetworkFacts

if TYPE_CHECKING:
    from torch import Tensor, nn


@value
@dataclass(frozen=True)
class Hypernetwork(Recipe[Any]):
    """Names a hypernetwork.

    Args:
        source: the content digest of the file that it is in.
    """

    source: str


@value
@dataclass(frozen=True)
class AppliedHypernetwork(Patch[Denoiser]):
    """A hypernetwork in the attention of a denoiser."""

    hypernetwork: Hypernetwork
    strength: float

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        with loading.weights(self.hypernetwork) as loaded:
            networks: Mapping[str, nn.Module] = dict(loaded.items())
        projections = [*_projections(module.network)]
        check_widths({int(name.partition("_")[0]) for name in networks}, {one.in_features for one, _ in projections})
        handles = [
            projection.register_forward_pre_hook(_hook(networks[name], self.strength))
            for projection, side in projections
            if (name := network_name(projection.in_features, side)) in networks
        ]

        def undo() -> None:
            for handle in handles:
                handle.remove()

        return undo


def check_widths(given: set[int], read: set[int]) -> None:
    """Raise `InputError` where a hypernetwork has networks for widths that no attention of a denoiser reads."""
    left = given - read
    if left:
        raise InputError(
            f"the hypernetwork is made for attention that reads {listed(map(str, sorted(left)))} channels; the model's "
            f"reads {listed(map(str, sorted(read)))}",
            "use a hypernetwork that was made for models of this family",
            "wrong-channels",
        )


def network_name(width: int, side: int) -> str:
    """The name of a network: 0 is the one for keys, 1 the one for values."""
    return f"{width}_{side}"


def _projections(network: nn.Module) -> Iterator[tuple[Any, int]]:
    """What makes keys (0) and values (1) of what attention reads."""
    from diffusers.models.attention_processor import Attention

    for module in network.modules():
        if isinstance(module, Attention):
            yield module.to_k, 0
            yield module.to_v, 1


def _hook(network: nn.Module, strength: float) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Adds to what a projection reads, before it is called."""

    def changed(projection: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        read, *rest = given
        added: Tensor = strength * network(read.float())
        return ((read + added).to(read.dtype), *rest)

    return changed


def load_networks(path: Path, facts: HypernetworkFacts, device: str) -> nn.Module:
    """The networks of a file, in float32, by `network_name`."""
    import torch
    from torch import nn

    from weft.nodes.models.single_file import tensors

    found, networks = tensors(path), dict[str, nn.Module]()
    for (width, side), numbers in facts.layers.items():
        name = f"{width}.{side}.linear"
        linear = [number for number in numbers if found[f"{name}.{number}.weight"].ndim == 2]
        steps: list[nn.Module] = []
        for number in numbers:
            steps.append(_layer(found[f"{name}.{number}.weight"], found[f"{name}.{number}.bias"]))
            if facts.activation and number in linear and (number != linear[-1] or facts.activates_output):
                steps.append(getattr(nn, facts.activation)())
        networks[network_name(width, side)] = nn.Sequential(*steps)
    return nn.ModuleDict(networks).requires_grad_(False).eval().to(device, torch.float32)


def _layer(weight: Tensor, bias: Tensor) -> nn.Module:
    """A linear layer, or a layer norm, with these weights."""
    from torch import nn

    layer = nn.Linear(weight.shape[1], weight.shape[0]) if weight.ndim == 2 else nn.LayerNorm(len(weight))
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return layer
