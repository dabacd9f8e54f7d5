"""A network that reads a picture next to its latents while a Control LoRA is in it.

Such a LoRA was made for an input layer of twice the columns. Those that the model does not have are zeros, to which the
LoRA is added; the configuration says meanwhile what the network reads. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from weft.engine import InputError
from weft.nodes.models.lora_binding import read_columns
from weft.nodes.models.lora_file import DENOISER

if TYPE_CHECKING:
    from weft.nodes.models.denoiser import Denoiser
    from weft.nodes.models.lora_merging import Uses


def widened(model: Denoiser, uses: Uses) -> Callable[[], None]:
    """Widen the input layer of a network for the LoRAs that are to be added; gives what makes it narrow again.

    Raises:
        InputError: where the layer's weights are packed, or the LoRA was made for another width.
    """
    network = model.network
    originals = model.original_modules(dict(network.named_modules()))
    layers = [layer for _, loaded in uses for layer in loaded.facts.of_part(DENOISER)]
    wide = read_columns(layers, model.widened_module, originals)
    layer, config = network.get_submodule(model.widened_module), network.config
    if wide <= layer.in_features:
        return _nothing
    if not isinstance(layer, nn.Linear):
        raise InputError(
            "a Control LoRA widens the first layer of the model, whose weights are packed",
            "use the model in float32, float16 or bfloat16",
            "unsupported-weights",
        )
    narrow = layer.weight.data
    layer.weight.data = torch.nn.functional.pad(narrow, (0, wide - narrow.shape[1]))
    layer.in_features = wide
    network.register_to_config(in_channels=wide, out_channels=config.get("out_channels") or config["in_channels"])

    def undo() -> None:
        layer.weight.data = narrow.to(layer.weight.device)
        layer.in_features = narrow.shape[1]
        network._internal_dict = config

    return undo


def _nothing() -> None:
    """Nothing was widened."""
