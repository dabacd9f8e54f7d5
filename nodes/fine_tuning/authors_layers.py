"""Layers of a LoRA by the modules of a model's authors, one of which may be several of diffusers'. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from weft.nodes.models.original_modules import Joined, OriginalModules

DOWN, UP = ".lora_A.weight", ".lora_B.weight"

OriginalNames = Callable[[Collection[str]], OriginalModules]
"""What the authors call modules, as `Denoiser.original_modules` gives it."""


class AuthorsLayer(NamedTuple):
    """What a module's weight changes by: `up` `[row, rank]` times `down` `[rank, column]`."""

    down: Tensor
    up: Tensor


def untrained_rows(network: nn.Module, trained: Iterable[str], originals: OriginalModules) -> dict[str, int]:
    """The rows of modules that are not trained and that authors join with some that are.

    Args:
        trained: names of modules.
        originals: what the authors call the network's modules.
    """
    names = {*trained}
    partners = {one for joined in originals.values() if names & {*joined.modules} for one in joined.modules}
    return {name: len(network.get_parameter(f"{name}.weight")) for name in sorted(partners - names)}


def authors_layers(
    tensors: Mapping[str, Tensor],
    untrained: Mapping[str, int],
    originals: OriginalNames,
) -> dict[str, AuthorsLayer]:
    """The layers of a LoRA of a denoiser by its authors' names, equal to those of diffusers' modules together.

    Joined modules have the ranks of their parts one after the other, each with the rows of its part alone.

    Args:
        tensors: by diffusers' module and PEFT's ending.
        untrained: of `untrained_rows`.
        originals: what the authors call modules.
    """
    trained = {name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)}
    found = {name: joined for name, joined in originals(trained).items() if trained & {*joined.modules}}
    return {name: _joined(joined, tensors, untrained) for name, joined in found.items()}


def _joined(joined: Joined, tensors: Mapping[str, Tensor], untrained: Mapping[str, int]) -> AuthorsLayer:
    trained = [one for one in joined.modules if one + DOWN in tensors]
    down = torch.cat([tensors[one + DOWN] for one in trained])
    diagonal: Any = torch.block_diag
    ups = diagonal(*(tensors[one + UP] for one in trained)).split([len(tensors[one + UP]) for one in trained])
    placed = dict(zip(trained, ups, strict=True))
    parts = [placed[one] if one in placed else down.new_zeros(untrained[one], len(down)) for one in joined.modules]
    up = torch.cat(parts)
    if joined.swapped and len(up) == 2 * down.shape[1]:
        up = torch.cat([*reversed(up.chunk(2))])
    return AuthorsLayer(down, up)
