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

from weft.engine import InputError, listed
from weft.engine.weights.streaming import device_of
from weft.nodes.models.network_format import NetworkFormat

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder
    from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals


@dataclass(frozen=True)
class ControlPicture:
    """A picture on the device, as a control network reads it.

    Args:
        tensors: what `ControlNetwork.prepared` gives, each with one row for each item of a batch.
        strength: the factor of what the network adds.
        start: the fraction of the run at which it begins.
        end: the fraction of the run at which it ends.
        kind: the number of its kind, for networks that distinguish several.
    """

    tensors: tuple[Tensor, ...]
    strength: float
    start: float
    end: float
    kind: int | None = None


@dataclass(frozen=True)
class ControlPixels:
    """Pictures in 0..1 of the size that is sampled, before a network reads them.

    Args:
        image: `[picture, 3, height, width]`; with `ControlNetwork.masked_value` under a mask, unless there is a source.
        mask: `[picture, 1, height, width]` of 0 and 1, for those that read one.
        source: `[picture, 3, height, width]`, what is inpainted under a mask, for those that read it next to the image;
            with `masked_value` under the mask.
    """

    image: Tensor
    mask: Tensor | None = None
    source: Tensor | None = None


class ControlNetwork:
    """A network that reads a picture and adds to what a denoiser computes.

    Args:
        network: of a diffusers class, on its device.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    """The conditions of a denoiser that it reads too."""

    fuses: ClassVar[bool] = False
    """Whether it reads several pictures in one call, each of a kind of its own."""

    masked_value: ClassVar[float] = 0.0
    """What pixels in 0..1 are under a mask."""

    reads_positive: ClassVar[bool] = False
    """Whether what it adds for the positive prompt serves the negative one too, as pipelines of its family have it."""

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

    @classmethod
    def reads_latents(cls, config: Mapping[str, Any]) -> bool:
        """Whether one of this configuration reads its picture as a VAE's latents."""
        return False

    @classmethod
    def kinds(cls, config: Mapping[str, Any]) -> Mapping[str, int]:
        """The kinds of pictures that one of this configuration distinguishes, with their numbers."""
        return {}

    @classmethod
    def needs_kind(cls, config: Mapping[str, Any]) -> bool:
        """Whether one of this configuration must know the kind of its picture."""
        return bool(cls.kinds(config))

    @classmethod
    def kind_number(cls, config: Mapping[str, Any], kind: str | None) -> int | None:
        """The number of a kind of pictures; None where none is given.

        Raises:
            InputError: where the network does not distinguish this kind, or must be given one.
        """
        kinds = cls.kinds(config)
        if kind is None and cls.needs_kind(config):
            message = f"the ControlNet reads pictures of several kinds: {listed(kinds)}"
            raise InputError(message, "say which `kind` the picture is of", "missing-input")
        if kind is not None and kind not in kinds:
            known = f"it knows {listed(kinds)}" if kinds else "it was trained for one kind"
            raise InputError(
                f"the ControlNet has no kind `{kind}`: {known}",
                "give one of these" if kinds else "leave `kind` out",
                "unsupported-by-model",
            )
        return None if kind is None else kinds[kind]

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        """Raise `InputError` where one of this configuration reads no mask and is given one, or lacks the one that it
        reads.
        """
        check_mask_given(given, needed=False)

    @classmethod
    def check_source(cls, config: Mapping[str, Any], given: bool, mask: bool) -> None:
        """Raise `InputError` where one of this configuration reads no source and is given one, or lacks the one that
        belongs to its mask.
        """
        if given:
            message = "the ControlNet reads one picture and no `source` with it"
            raise InputError(message, "leave `source` out", "unsupported-by-model")

    @classmethod
    def check_size(cls, config: Mapping[str, Any], width: int, height: int) -> None:
        """Raise `InputError` for a size of pictures, in pixels, that one of this configuration cannot take."""

    @abstractmethod
    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        """What is the same in all steps, one row for each picture.

        Args:
            given: the pictures.
            vae: given to those that read latents.
            kind: the number of the pictures' kind.
        """

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
            pictures: one, or several for a network that `fuses` them.
        """

    def placed(self, tensor: Tensor) -> Tensor:
        """A tensor on the network's device, in its dtype."""
        dtype: torch.dtype = self.network.dtype
        return tensor.to(device_of(self.network), dtype)


class ControlNetworkFormat(NetworkFormat):
    """How control networks of a family are found in files and loaded.

    Attributes:
        network_class: the class that calls them.
    """

    network_class: ClassVar[type[ControlNetwork]]


def check_mask_given(given: bool, needed: bool) -> None:
    """Raise `InputError` where a control network that needs a mask has none, or one that reads none has one."""
    if given and not needed:
        raise InputError("the ControlNet reads no mask", "leave `mask` out", "unsupported-by-model")
    if needed and not given:
        message = "the ControlNet inpaints: it reads a mask with its picture"
        raise InputError(message, "give it as `mask`: 1 where the picture is to be replaced", "missing-input")


def with_mask(latents: Tensor, mask: Tensor | None) -> Tensor:
    """Latents with one more channel, 0 under the mask of their picture and 1 elsewhere; without a mask as they are."""
    if mask is None:
        return latents
    import torch

    small = torch.nn.functional.interpolate(mask.to(latents), latents.shape[-2:])
    return torch.cat([latents, 1 - small], dim=1)


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
