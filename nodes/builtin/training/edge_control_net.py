"""`builtin:landscapes-edges`: a ControlNet that makes the UNet keep to the edges of another picture."""

from dataclasses import dataclass

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor, nn
from torch.nn import functional

from weft.nodes.library.edges import edges_of

from .captions import draw_caption
from .dataset import Dataset
from .loop import channels_last, device, generators
from .unet_stage import DenoiserStage, draw_noisy

__all__ = ["EdgesStage", "edges", "f1"]


def edges(pictures: Tensor) -> Tensor:
    """What FindEdges finds in pictures in -1..1 `[batch, 3, height, width]`: `[batch, 1, height, width]`."""
    return edges_of(pictures / 2 + 0.5)


def f1(found: Tensor, wanted: Tensor, within: int = 2) -> Tensor:
    """F1 of edge maps `[batch, 1, height, width]`, an edge being met by one at most `within` pixels off, `[batch]`."""
    precision, recall = _met(found, wanted, within), _met(wanted, found, within)
    return 2 * precision * recall / (precision + recall).clamp(min=1e-6)


@dataclass
class EdgesStage:
    """The ControlNet on pictures' own edges, over a trained and frozen UNet.

    It starts as a copy of the UNet's first half. Captions leave out more than usual, so that it has to use the edges.
    """

    data: Dataset
    latents: Tensor
    denoiser: DenoiserStage
    seed: int
    batch: int = 32
    compiled: bool = False
    name: str = "edges"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        widths = (16, 32, 64, 96)
        self.controlnet = channels_last(ControlNetModel.from_unet(self.denoiser.unet, "rgb", widths))
        self.modules = nn.ModuleDict({"controlnet": self.controlnet})
        self.denoiser.modules.requires_grad_(False)
        self.predict = torch.compile(self._predict) if self.compiled else self._predict

    def loss(self, step: int) -> Tensor:
        """The weighted error of the noise in one batch."""
        numbers, noise = generators(self.seed, step)
        rows = self.data.draw_rows(self.batch, numbers)
        captions = [draw_caption(self.data.scenes[row], numbers, dropped=0.3, empty=0.2).text for row in rows]
        noisy = draw_noisy(self.latents[rows], noise)
        hints = edges(self.data.pictures(rows)).expand(-1, 3, -1, -1).to(device())
        with torch.autocast(device().type, torch.bfloat16):
            words = self.denoiser.encode(captions).last_hidden_state
            return noisy.loss(self.predict(noisy.latents, noisy.times, words, hints))

    def _predict(self, latents: Tensor, times: Tensor, words: Tensor | None, hints: Tensor) -> Tensor:
        """The UNet's prediction with the ControlNet."""
        down, middle = self.controlnet(latents, times, words, hints, return_dict=False)
        guess: Tensor = self.denoiser.unet(
            latents, times, words, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        return guess


def _met(these: Tensor, those: Tensor, within: int) -> Tensor:
    """The share of `these` edges that have one of `those` nearby, `[batch]`."""
    near = functional.max_pool2d(those, 2 * within + 1, stride=1, padding=within)
    return (these * near).sum((1, 2, 3)) / these.sum((1, 2, 3)).clamp(min=1)
