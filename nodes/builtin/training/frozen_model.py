"""The embedded model as adapters are trained over it: its parts stay as they are, and only what is added learns."""

from collections.abc import Sequence

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from weft.nodes.builtin import path

from .loop import channels_last, device

__all__ = ["FrozenModel", "layers_named"]


class FrozenModel:
    """UNet, text encoder and tokenizer of `builtin:landscapes`, without gradients."""

    def __init__(self) -> None:
        folder = path("landscapes")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = channels_last(CLIPTextModel.from_pretrained(folder / "text_encoder")).requires_grad_(False)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self.unet: UNet2DConditionModel = channels_last(unet).requires_grad_(False)

    def encode(self, captions: Sequence[str]) -> Tensor:
        """The embeddings of captions, `[caption, 77, 96]`."""
        tokens = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
        words: Tensor = self.text_encoder(tokens.to(device())).last_hidden_state
        return words


def layers_named(model: nn.Module, *endings: str) -> nn.ModuleDict:
    """The layers of `model` whose names end so, for a stage to train, by their names with / for the dots."""
    return nn.ModuleDict({name.replace(".", "/"): one for name, one in model.named_modules() if name.endswith(endings)})
