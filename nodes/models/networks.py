"""The torch module that the recipe of a model becomes: a denoiser.

What reads prompts is in `weft.nodes.prompting.prompt_encoder`, VAEs are in `weft.nodes.models.autoencoder`. Imports
torch: only the bodies of nodes and of families import this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.latent_preview import Colours
from weft.nodes.sampling.scheduling import settled

if TYPE_CHECKING:
    from weft.nodes.families.family import Family

Conditions = dict[str, Tensor]
"""What a network is called with beside latents and timestep: tensors with one row for all items, or one for each."""

Residuals = tuple[list[Tensor], Tensor]
"""What ControlNets add to a UNet: one tensor for each skip connection, and one for the middle."""


class Denoiser(nn.Module):
    """A network that denoises, with its checkpoint's scheduler configuration.

    Args:
        family: which knows how the network is called.
        scheduler: the configuration of the diffusers scheduler that came with it.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        colours: what its latents look like.
    """

    def __init__(
        self,
        family: Family,
        network: Any,
        scheduler: Mapping[str, Any],
        latent_channels: int,
        latent_factor: int,
        colours: Colours,
    ) -> None:
        super().__init__()
        self.family = family
        self.network = network
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.colours = colours

    @cached_property
    def dtype(self) -> torch.dtype:
        """What it computes in, as it was loaded; a network finds it among all its parameters, which takes a while."""
        return cast(torch.dtype, self.network.dtype)

    def trained(self, said: Mapping[str, str]) -> Denoiser:
        """This denoiser, of whose training something else is said than its configuration does.

        Args:
            said: `prediction_type` and `beta_schedule`, as diffusers' configurations have them.

        Raises:
            InputError: where that is no matter of a setting: for flows, consistency models and EDM's noise.
        """
        if settled(self.scheduler) & said.keys():
            hint = "leave `prediction` and `noise` out"
            raise InputError(f"how a model of {self.family.name} was trained is settled", hint)
        self.scheduler |= said
        if "beta_schedule" in said:
            self.scheduler["trained_betas"] = None
        return self
