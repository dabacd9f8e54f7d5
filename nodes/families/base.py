"""What a family of models must know: how to recognise its files, and how to build its modules.

A family is one file in this folder and its line in `weft.nodes.families`. Its modules say the rest
(`weft.nodes.modules`): what the network is called with, what becomes of a text, the scale of latents. The sampler that
a checkpoint came with is in its scheduler's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from weft.engine import Resolved
    from weft.nodes.modules import Autoencoder, Denoiser, Encoder
    from weft.nodes.preview import Colours


@dataclass(frozen=True)
class Contents:
    """What names and headers say about a folder or a file of weights.

    Args:
        configs: the JSON configuration of each component of a diffusers folder, by component; that of a folder with one
            component is under the empty name.
        shapes: the shape of each tensor of a single file, by name.
    """

    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def has(self, *components: str) -> bool:
        """Whether this is a folder with these components."""
        return self.configs.keys() >= set(components)

    def class_of(self, component: str) -> str:
        """The class that a component of a folder names in its configuration; empty where it names none."""
        return str(self.configs.get(component, {}).get("_class_name", ""))

    def holds(self, *names: str) -> bool:
        """Whether this is a file with these tensors."""
        return all(name in self.shapes for name in names)


class Family(Protocol):
    """A family of models; its builders read sources that `recognises` or `recognises_control` said yes to."""

    @property
    def name(self) -> str:
        """As types have it: `SD1`."""

    @property
    def colours(self) -> Colours:
        """What its latents look like, where a checkpoint does not say it of its own."""

    def recognises(self, contents: Contents) -> bool:
        """Whether this is a whole checkpoint of the family."""

    def recognises_control(self, contents: Contents) -> bool:
        """Whether this is a ControlNet of the family."""

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The denoiser of a checkpoint."""

    def encoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Encoder:
        """The text encoder of a checkpoint."""

    def autoencoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Autoencoder:
        """The VAE of a checkpoint."""

    def control_net(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
        """A ControlNet; asked only where `recognises_control` said yes."""
