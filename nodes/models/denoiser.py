"""Denoisers: a network with what a sampler must know to call it.

A family has a subclass of its own, in its file of `weft.nodes.families`, for what its networks are called with and for
what its schedule depends on. The class holds the network and is none itself, so importing this module imports no torch.

Read next: `weft.nodes.sampling.guided_denoiser`, which calls a denoiser under guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from weft.engine import InputError
from weft.nodes.models.clip_pictures import EncodedPictures, PictureReading
from weft.nodes.models.denoiser_facts import ClipLimits, ImageLayer, References, SizeLimits, check_clip
from weft.nodes.models.lora_file import DENOISER
from weft.nodes.models.old_schedulers import NO_CORRECTIONS, SchedulerCorrections

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder
    from weft.nodes.models.latent_preview import LatentRGBFactors
    from weft.nodes.models.lora_merging import Uses
    from weft.nodes.models.original_modules import OriginalModules
    from weft.nodes.values import Latent, Prompt

Conditions: TypeAlias = "dict[str, Tensor]"
"""Inputs of a network besides latents and timestep, by name: tensors with one row for all items, or one for each."""

EXTRA_CHANNELS = "extra_channels"
"""The name in `Conditions` of what is concatenated to the latents along their channels."""

REFERENCE = "reference"
"""What names in `Conditions` begin with of the latents of pictures to refer to, whose tokens follow those of the
latents; their numbers come after it."""


def references_in(conditions: Conditions) -> list[Tensor]:
    """The latents of pictures to refer to, in order; they are taken out of the conditions."""
    names = [name for name in conditions if name.startswith(REFERENCE)]
    return [conditions.pop(name) for name in sorted(names)]


Residuals: TypeAlias = "dict[str, list[Tensor]]"
"""What control networks add to a denoiser's network, in the order of its blocks, by the argument that takes it."""

DOWN_RESIDUALS, MIDDLE_RESIDUAL = "down_block_additional_residuals", "mid_block_additional_residual"
"""What ControlNets add to a UNet: a tensor for each skip connection, and one for the middle block."""

LEVEL_RESIDUALS = "down_intrablock_additional_residuals"
"""What T2I-Adapters add to a UNet: a tensor for each level down, and perhaps one for the middle block."""


class Denoiser:
    """A network that predicts noise, a velocity or a clean sample, with its checkpoint's scheduler configuration.

    Args:
        family: the name of the family of models.
        network: the diffusers model, on its device.
        scheduler: the configuration of the diffusers scheduler that came with it.
        corrections: of this configuration, as diffusers' pipelines without ControlNets make them.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        latent_rgb_factors: the linear map from its latents to colours, for previews.
    """

    spaces_steps: ClassVar[bool] = False
    """Whether `timing` gives the noise levels of a run (`sigmas`), which not every scheduler takes."""

    aligned_steps: ClassVar[str] = ""
    """The name in diffusers' `AysSchedules` of the timesteps that were optimised for its models; empty for none."""

    has_cross_attention: ClassVar[bool] = False
    """Whether the network reads words by layers of cross-attention, which can be recorded."""

    perturbable: ClassVar[bool] = True
    """Whether the network has self-attention that perturbed-attention guidance can reach."""

    references: ClassVar[References | None] = None
    """How the network reads pictures to refer to, as tokens after those of the latents; None where it does not."""

    diagonal_references = False
    """Whether places of pictures to refer to go on along the diagonal, while a patch has it so."""

    has_skips: ClassVar[bool] = False
    """Whether the network is a UNet with skip connections that FreeU weighs."""

    reads_image_tokens: ClassVar[bool] = False
    """Whether the network reads tokens of pictures after those of the prompt (FLUX.1 Redux)."""

    maps_pictures: ClassVar[bool] = False
    """Whether the network makes a map of a picture, such as its depth, from the latents of the picture (Lotus)."""

    reads_last_tokens: ClassVar[bool] = False
    """Whether it reads what an image encoder's last layer makes of pictures, and not the layer before it."""

    takes_size_conditions: ClassVar[bool] = False
    """Whether the network reads the size of the original picture and the corner of its crop (SDXL)."""

    widened_module: ClassVar[str] = ""
    """The module of the network that reads a picture too under a Control LoRA; empty where there are none."""

    repeated_blocks: ClassVar[tuple[str, ...]] = ()
    """diffusers' classes of the blocks of which the network has many, and which are compiled by themselves."""

    dispatches_attention: ClassVar[bool] = False
    """Whether the network's attention goes through diffusers' dispatcher, so that other kernels can compute it."""

    fuses_projections: ClassVar[bool] = False
    """Whether diffusers can compute the queries, keys and values of its attention by one product."""

    skips_blocks: ClassVar[bool] = False
    """Whether diffusers can skip all of the network's blocks but the first."""

    clips: ClipLimits | None = None
    """The clips that the network makes, by itself or by motion modules that were added to it; None makes pictures.

    Of a class, those that each of its networks makes by itself; `clip_limits` has those of a configuration."""

    def __init__(
        self,
        family: str,
        network: Any,
        scheduler: Mapping[str, Any],
        latent_channels: int,
        latent_factor: int,
        latent_rgb_factors: LatentRGBFactors,
        corrections: SchedulerCorrections = NO_CORRECTIONS,
    ) -> None:
        self.family = family
        self.network = network
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.latent_rgb_factors = latent_rgb_factors
        self.corrections = corrections

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        """What the authors of the model call the modules of its network, where that is not diffusers' name.

        Args:
            modules: the names of the network's modules.
        """
        return {}

    def add_loras(self, uses: Uses) -> Callable[[], None]:
        """Add LoRAs to the weights of the network; gives the function that puts back what was there."""
        from weft.nodes.models.lora_merging import add_loras

        return add_loras(self.network, uses, (DENOISER,), self.original_modules)

    def lora_sums(self, uses: Uses) -> Callable[[str, Tensor], Tensor]:
        """What LoRAs make of a weight of the network, by its name; the network stays as it is."""
        from weft.nodes.models.lora_merging import lora_sums

        return lora_sums(self.network, uses, (DENOISER,), self.original_modules)

    @classmethod
    def added_channels(cls, columns: int, config: Mapping[str, Any]) -> int:
        """The channels that a network reads in addition to its latents where its `widened_module` has so many columns.

        Args:
            config: of the network as it is without a Control LoRA.
        """
        return 0

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        """The sizes of latents that a network of this configuration takes."""
        return SizeLimits()

    @classmethod
    def masked_channels(cls, mask: Tensor, latents: Tensor, factor: int) -> Tensor:
        """What an inpainting network reads in addition to its latents: the mask and the latents of the masked picture.

        Args:
            mask: 1 where it is repainted `[batch, 1, height, width]`, in pixels.
            latents: of the masked pictures `[batch, channel, height / factor, width / factor]`.
            factor: pixels to a latent element, along each side.
        """
        import torch

        small = torch.nn.functional.interpolate(mask, latents.shape[2:])
        return torch.cat([small.expand(len(latents), -1, -1, -1), latents], dim=1)

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The network, under the empty name."""
        return {"": self.network}

    @cached_property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's weights. Cached, since diffusers looks through all parameters for it."""
        return cast("torch.dtype", self.network.dtype)

    @property
    def prompt_width(self) -> int:
        """Channels of the prompt embeddings that the network reads."""
        return int(self.network.config.cross_attention_dim)

    @property
    def limits(self) -> SizeLimits:
        """The sizes of latents that it takes."""
        return self.size_limits(self.network.config)

    @property
    def extra_channels(self) -> int:
        """Input channels that are concatenated to the latents: an inpainting model's mask and masked picture."""
        return 0

    def scheduler_config(self, own_class: bool, steered: bool = False) -> Mapping[str, Any]:
        """The configuration that a scheduler is made of.

        Args:
            own_class: whether it is of the class that came with the model.
            steered: whether ControlNets act, whose pipelines correct nothing in diffusers.
        """
        return self.scheduler if steered else self.corrections.applied(self.scheduler, own_class)

    @property
    def draws_by_frame(self) -> bool:
        """Whether the noise of its clips is drawn frame by frame."""
        return self.clips is not None and self.clips.by_frame

    def latent_shape(self, latent: Latent[Any]) -> tuple[int, ...]:
        """The shape of one item's latents: `[channel, height, width]`, for clips `[channel, frame, height, width]`."""
        sides = (latent.height // self.latent_factor, latent.width // self.latent_factor)
        if self.clips is None:
            return (self.latent_channels, *sides)
        return (self.latent_channels, latent.frames or self.clips.latent_frames(latent.length or 1), *sides)

    @property
    def frames_are_rows(self) -> bool:
        """Whether the network sees the frames of clips as rows of a batch."""
        return self.clips is not None and self.clips.in_rows

    def frame_rows(self, latent: Latent[Any]) -> int:
        """Rows of a batch that an item takes."""
        return (latent.frames or latent.length or 1) if self.frames_are_rows else 1

    def check_clip(self, latent: Latent[Any]) -> None:
        """Raise `InputError` where latents of pictures meet a model that makes clips, and the other way round."""
        limits = self.clips or ClipLimits()
        check_clip(self.clips, latent.is_clip, latent.length or limits.pictures(latent.frames or 1))

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """What the timesteps depend on besides their number, as keyword arguments of diffusers' `set_timesteps`."""
        return {}

    def skipped_steps(self, steps: int, denoise: float) -> int:
        """Steps at the beginning of a schedule that are left out where a share of it is walked, `denoise` in 0..1.

        `int(steps * denoise)` steps are walked, as in diffusers' image-to-image pipelines of UNets.
        """
        return steps - min(int(steps * denoise), steps)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        """The network's inputs for one prompt, each with one row for all items or one for each.

        Prompts whose conditions have equal names and shapes share one call of the network; others take a call each. An
        attention mask of a prompt is one of these inputs; a mask stays boolean or integer.

        Args:
            latent: the size that is sampled, for networks that read it.
            negative: whether guidance leads away from this prompt.

        Raises:
            InputError: where the prompt lacks what the network reads.
        """
        return {"encoder_hidden_states": prompt.embeddings}

    @classmethod
    def image_layers(cls, config: Mapping[str, Any]) -> tuple[ImageLayer, ...]:
        """The layers in which IP-Adapters act in a network of this configuration, in the order of their keys.

        None where the family has no IP-Adapters.
        """
        return ()

    @classmethod
    def image_vector_width(cls, config: Mapping[str, Any]) -> int:
        """Channels of the vector of a picture that a network of this configuration reads; 0 where it reads none."""
        return 0

    @classmethod
    def grounds(cls, config: Mapping[str, Any]) -> bool:
        """Whether a network of this configuration reads objects at places of the picture."""
        return False

    @classmethod
    def grounds_pictures(cls, config: Mapping[str, Any]) -> bool:
        """Whether it reads pictures of these objects too."""
        return False

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        """How a network of this configuration reads pictures to begin and end a clip with; None where it reads none."""
        return None

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        """What its networks read of the pictures that a clip begins and ends with.

        Args:
            first: `[height, width, 3]` in 0..1.
            last: of the same shape; None where the clip ends as it will.
            frames: of the clip.

        Raises:
            InputError: where no network of the family reads them.
        """
        hint = "leave ImageToVideoGuide out"
        raise InputError("no model of this family begins a clip with a picture", hint, "unsupported-by-model")

    @classmethod
    def clip_limits(cls, config: Mapping[str, Any]) -> ClipLimits | None:
        """The clips that a network of this configuration makes by itself; None where it makes pictures."""
        return cls.clips

    def image_processor(self, inner: Any, number: int) -> Any:
        """The attention processor of an image layer that adds pictures to what another processor gives.

        Args:
            inner: the processor around which it is.
            number: of the layer, in the order of `image_layers`.
        """
        raise NotImplementedError

    @classmethod
    def distilled(cls, config: Mapping[str, Any]) -> bool:
        """Whether a network of this configuration was distilled with guidance, and needs no negative prompt."""
        return False

    @classmethod
    def guided(cls, config: Mapping[str, Any]) -> bool:
        """Whether predictions of a network of this configuration are guided away from those for a negative prompt."""
        return not cls.distilled(config)

    def guidance_conditions(self, scale: float) -> Conditions | None:
        """The inputs by which a network that was distilled with guidance reads the scale; None for other networks.

        Such a network is called with the positive prompt alone.
        """
        return None

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        """Conditions as keyword arguments of the network, or of a ControlNet for it."""
        return dict(conditions)

    def network_timestep(self, timestep: Tensor) -> Tensor:
        """The scheduler's timestep (a scalar) in the network's own unit."""
        return timestep

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The network's prediction, of the shape of `sample`, as the scheduler reads it.

        Args:
            sample: noisy latents `[row, channel, ..., height, width]`, scaled for the network.
            timestep: the scheduler's, a scalar.
            conditions: with one row for each of the sample's.
            residuals: what control networks add.
        """
        times = self.network_timestep(timestep).expand(len(sample))
        arguments = {**self.arguments(conditions), **(residuals or {})}
        prediction: Tensor = self.network(sample, timestep=times, **arguments, return_dict=False)[0]
        return prediction

    def guidance_step(self, before: Tensor, after: Tensor, scale: float) -> Tensor:
        """The term that guidance adds between two predictions: scale x (after - before), classifier-free guidance."""
        return scale * (after - before)

    def normalised(self, guided: Tensor, positive: Tensor) -> Tensor:
        """A guided prediction brought back to the positive prediction's length, for families that do so."""
        return guided
