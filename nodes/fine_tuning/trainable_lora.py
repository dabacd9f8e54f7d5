"""The low-rank layers that are trained, as a patch: PEFT's layers around those of a network. Undoing takes them out.

Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from weft.engine import InputError, Loading, Patch, value

if TYPE_CHECKING:
    from torch import nn

ADAPTER = "trained"
"""What PEFT calls the layers."""

Layers = Literal["attention", "all"]

ATTENTION = re.compile(r"(^|\.)(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out|[qkv]_proj|out_proj)$")
"""The projections of attention layers, in denoisers and in CLIP."""

IN_BLOCKS = re.compile(r"(^|\.)(\w*blocks?|layers|\w+_refiner|proj_(in|out))\.")
"""What lies in a block of a network, not before or after all of them."""


@value
@dataclass(frozen=True)
class TrainableLoRA(Patch[Any]):
    """PEFT's layers around those of a denoiser's network, or of text models.

    Args:
        rank: of the changes.
        alpha: the factor of the changes times the rank.
        layers: which layers are changed.
        checkpointing: whether activations are computed again for gradients, which takes less memory and more time.
    """

    rank: int
    alpha: float
    layers: Layers
    checkpointing: bool = False

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        networks = parts_of(module)
        targets = {name: [*self.targets(network)] for name, network in networks.items()}
        empty = [name or "the denoiser" for name, found in targets.items() if not found]
        if empty:
            message = f"{empty[0]} has no layers of this kind to train"
            raise InputError(message, "set `layers` to `all`", "unsupported-by-model")
        undone = [self._entered(network, targets[name]) for name, network in networks.items()]

        def undo() -> None:
            for one in reversed(undone):
                one()

        return undo

    def targets(self, network: nn.Module) -> Iterator[str]:
        """The names of the layers that are changed."""
        from torch import nn

        for name, one in network.named_modules():
            plain = isinstance(one, nn.Linear) or (isinstance(one, nn.Conv2d) and one.groups == 1)
            wanted = ATTENTION.search(name) if self.layers == "attention" else IN_BLOCKS.search(name)
            if plain and wanted:
                yield name

    def _entered(self, network: Any, targets: list[str]) -> Callable[[], None]:
        from diffusers.training_utils import cast_training_params
        from peft import LoraConfig, inject_adapter_in_model

        before = {name: one.requires_grad for name, one in network.named_parameters()}
        own = {*vars(network)}
        config = LoraConfig(r=self.rank, lora_alpha=cast(int, self.alpha), target_modules=targets)
        inject_adapter_in_model(config, network, ADAPTER)
        cast_training_params(network)
        # transformers' classes have another method, which acts where dropout acts too.
        checkpointing = self.checkpointing and hasattr(network, "enable_gradient_checkpointing")
        if checkpointing:
            network.enable_gradient_checkpointing()

        def undo() -> None:
            if checkpointing:
                network.disable_gradient_checkpointing()
            for target in targets:
                network.set_submodule(target, network.get_submodule(target).base_layer)
            for name in {*vars(network)} - own:
                delattr(network, name)
            for name, one in network.named_parameters():
                one.requires_grad_(before[name])

        return undo


def parts_of(module: Any) -> Mapping[str, Any]:
    """The networks of a denoiser or of a prompt encoder, by name."""
    found: Mapping[str, Any] = module.parts
    return found


def trained_parameters(module: Any) -> dict[str, nn.Parameter]:
    """The weights of the layers that are trained, by the name of the network and their own, as PEFT saves them."""
    return {
        f"{part}.{name}".removeprefix(".").replace(f".{ADAPTER}.", "."): one
        for part, network in parts_of(module).items()
        for name, one in network.named_parameters()
        if ".lora_" in name and f".{ADAPTER}." in name
    }


def begin(parameters: Mapping[str, nn.Parameter], seed: int) -> None:
    """The weights of a training's beginning: no change yet (LoRA, https://arxiv.org/abs/2106.09685, section 4.1)."""
    import math

    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        for name, one in sorted(parameters.items()):
            if ".lora_B." in name:
                one.zero_()
                continue
            bound = 1 / math.sqrt(one[0].numel())
            one.copy_((torch.rand(one.shape, generator=generator, dtype=torch.float32) * 2 - 1) * bound)
