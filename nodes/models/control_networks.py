"""ControlNets and adapters: networks that read a picture and add to what a denoiser computes.

A family has subclasses of both classes here, in a file of `weft.nodes.families`, for how its networks are found and for
what they are called with. A `ControlNetwork` holds the network and is none itself, so importing this module imports no
torch. Read next: `weft.nodes.sampling.controlnets`, which calls them in each step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.nodes.models.network_format import NetworkFormat

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals


@dataclass(frozen=True)
class ControlPicture:
    """A picture on the device, as a control network reads it.

    Args:
        tensors: what `ControlNetwork.prepared` gives, each with one row for each item of a batch.
        strength: the factor of what the network adds.
        start: the fraction of the run at which it begins.
        end: the fraction of the run at which it ends.
    """

    tensors: tuple[Tensor, ...]
    strength: float
    start: float
    end: float


class ControlNetwork:
    """A network that reads a picture and adds to what a denoiser computes.

    Args:
        network: of a diffusers class, on its device.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    """The conditions of a denoiser that it reads too."""

    def __init__(self, network: Any) -> None:
        self.network = network

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    @property
    def pools(self) -> bool:
        """Whether it pools its output into one vector, for style."""
        return False

    @classmethod
    @abstractmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        """Raise `InputError` where it was made for a denoiser of another structure.

        Args:
            control: its own configuration.
            steered: that of the denoiser's network.
        """

    @abstractmethod
    def prepared(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What is the same in all steps, of pictures `[item, 3, height, width]` in 0..1 of the size that is sampled."""

    @abstractmethod
    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        """What it adds to a denoiser's network in a step.

        Args:
            sample: noisy latents `[row, channel, height, width]`, scaled for the denoiser's network.
            timestep: the scheduler's, a scalar.
            conditions: those of `conditions` that there are, with one row for each of the sample's.
            pictures: one.
        """

    def placed(self, tensor: Tensor) -> Tensor:
        """A tensor on the network's device, in its dtype."""
        dtype: torch.dtype = self.network.dtype
        return tensor.to(self.network.device, dtype)


class ControlNetworkFormat(NetworkFormat):
    """How control networks of a family are found in files and loaded.

    Attributes:
        network_class: the class that calls them.
    """

    network_class: ClassVar[type[ControlNetwork]]


def check_equal(control: Mapping[str, Any], steered: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise `InputError` where two configurations differ in an entry that both have.

    Args:
        control: that of a control network.
        steered: that of a denoiser's network.
        names: of the entries.
    """
    for name in names:
        given, wanted = (one.get(name) for one in (control, steered))
        given, wanted = (list(one) if isinstance(one, list | tuple) else one for one in (given, wanted))
        if None not in (given, wanted) and given != wanted:
            raise InputError(
                f"the ControlNet was made for another model: its {name} are {given}, the model's {wanted}",
                "use a ControlNet that was trained with this model, or one like it",
                "wrong-control-net",
            )
