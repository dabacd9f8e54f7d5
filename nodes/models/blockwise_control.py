"""Control networks that look at each block of a transformer: DiffSynth-Studio's blockwise ones for Qwen-Image.

A block of such a network adds to the hidden states that leave the transformer's block of its number, by what it makes
of these and of the picture's tokens (https://github.com/modelscope/DiffSynth-Studio). Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.normalization import RMSNorm
from torch import Tensor, nn

KEY = "blockwise "
"""How the names of residuals begin that have the tokens of a picture, and the strength in each row."""

NORM = 1e-6


class BlockwiseBlock(nn.Module):
    """What is added to the hidden states of one block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x_rms = RMSNorm(width, eps=NORM)
        self.y_rms = RMSNorm(width, eps=NORM)
        self.input_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        mixed = self.input_proj(self.x_rms(hidden) + self.y_rms(tokens))
        added: Tensor = self.output_proj(nn.functional.gelu(mixed))
        return added


class QwenImageBlockwiseControlNet(ModelMixin, ConfigMixin):
    """A blockwise control network.

    Args:
        in_channels: of a patch of the picture's latents.
        width: of the transformer's hidden states.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, num_layers: int = 60, in_channels: int = 64, width: int = 3072) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.img_in = nn.Linear(in_channels, width)
        self.controlnet_blocks = nn.ModuleList([BlockwiseBlock(width) for _ in range(num_layers)])


_NETWORKS: WeakValueDictionary[str, QwenImageBlockwiseControlNet] = WeakValueDictionary()
"""The networks whose residuals are on their way to a transformer."""


def residuals_of(network: QwenImageBlockwiseControlNet, patches: Tensor, strength: float) -> dict[str, list[Tensor]]:
    """The tokens of a picture with their strength, under a name that leads back to the network.

    Args:
        patches: of the picture's latents, `[row, patch, channel]`.
    """
    name = f"{KEY}{id(network)} {patches.data_ptr()}"
    _NETWORKS[name] = network
    return {name: [network.img_in(patches), patches.new_full((len(patches), 1, 1), strength)]}


@dataclass(frozen=True)
class BlockSum:
    """What is added to the hidden states of a block: `hidden + this` is what they are then.

    Args:
        terms: a block of a network, the tokens of its picture and its strength in each row, for each.
        others: what is added whatever the hidden states are.
    """

    terms: tuple[Any, ...]
    others: Tensor | None = None

    def __radd__(self, hidden: Tensor) -> Tensor:
        picture, count = hidden, self.terms[0][1].shape[1]
        seen = picture[:, :count]
        added = sum(strength * self._of(block, seen, tokens) for block, tokens, strength in self.terms)
        # Tokens of pictures to refer to follow those of the picture that is painted.
        made = torch.cat([seen + added, picture[:, count:]], dim=1)
        return made if self.others is None else made + self.others

    @staticmethod
    def _of(block: nn.Module, seen: Tensor, tokens: Tensor) -> Tensor:
        own = next(block.parameters()).dtype
        added: Tensor = block(seen.to(own), tokens.to(own))
        return added.to(seen.dtype)


def block_samples(residuals: Mapping[str, Sequence[Tensor]], name: str) -> dict[str, list[Any]]:
    """The residuals of a transformer by the names of its arguments, blockwise ones as sums over its blocks.

    Args:
        name: of the argument that has what is added to each block.
    """
    found: dict[str, list[Any]] = {key: [*given] for key, given in residuals.items() if not key.startswith(KEY)}
    own: list[tuple[Any, ...]] = [
        (_NETWORKS[key].controlnet_blocks, *given) for key, given in residuals.items() if key.startswith(KEY)
    ]
    if own:
        plain = found.get(name)
        terms = [tuple((blocks[number], *given) for blocks, *given in own) for number in range(len(own[0][0]))]
        found[name] = [BlockSum(term, plain[number] if plain else None) for number, term in enumerate(terms)]
    return found
