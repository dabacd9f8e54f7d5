"""What the families of latent diffusion by a UNet share: SD 1.x, SD 2.x and SDXL are this with other data.

A checkpoint is a diffusers folder, or one safetensors file in the original layout, which carries no configuration: what
its shapes do not tell is the same for a whole family and stands in the family's file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import Resolved
from weft.nodes.families.family import Family
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Denoiser, Residuals
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import Colours, colours_of
from weft.nodes.models.safetensors_header import read_shapes
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    import torch
    from torch import Tensor


LATENT_CHANNELS = 4

SEEN_CHANNELS = (4, 8, 9)
"""Channels that a UNet sees: latents alone, with a picture's (InstructPix2Pix), with a mask and a picture's."""

SCHEDULER: Mapping[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}
"""The noise schedule that the families were trained with; a single file carries none."""

HEAD = 64
"""Channels of an attention head, in CLIP and in every UNet since SD 2."""

COLOURS = Colours(
    ((0.149, 0.1035, 0.104), (0.0935, 0.143, 0.0865), (-0.079, 0.0945, 0.132), (-0.092, -0.1355, -0.2365))
)
"""What latents look like: the factors that Kevin Turner fitted to version 1.4 (Hugging Face forum, 2022), for 0..1."""

ENTRY = "input_blocks.0.0.weight"
FIRST = f"{original.UNET}{ENTRY}"


class ClipPrompts(PromptEncoder):
    """The last hidden state of one of CLIP's text models."""

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        return Encoded(self.read(texts, reading)[0].embeddings)


class UNetDenoiser(Denoiser):
    """A UNet that reads a prompt by cross-attention, and perhaps a mask and a picture besides its latents."""

    @property
    def extra_channels(self) -> int:
        return int(self.network.config.in_channels) - self.latent_channels

    def guidance_conditions(self, scale: float) -> Conditions | None:
        """The embedded scale, for latent consistency models."""
        channels = self.network.config.time_cond_proj_dim
        return {"timestep_cond": embedded_scale(scale, channels)} if channels is not None else None

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        given = dict(conditions)
        extra = given.pop(EXTRA_CHANNELS, None)
        down, middle = residuals or (None, None)
        prediction: Tensor = self.network(
            sample if extra is None else torch.cat([sample, extra], dim=1),
            timestep,
            **self.arguments(given),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return prediction


class UNetFamily(Family):
    """A family of UNets over the latents of a VAE."""

    prompts: type[PromptEncoder] = ClipPrompts
    scheduler: Mapping[str, Any] = SCHEDULER

    denoiser_class = UNetDenoiser

    @abstractmethod
    def is_unet(self, config: Mapping[str, Any]) -> bool:
        """Whether the configuration of a UNet or a ControlNet is this family's."""

    def heads(self, widths: Sequence[int]) -> Any:
        """Attention heads on each level; diffusers' name for their number is a historical slip."""
        return [max(1, width // HEAD) for width in widths]

    def recognises_denoiser(self, contents: Contents) -> bool:
        if not contents.shapes:
            config = contents.configs.get("", {})
            known = contents.class_of("") == "UNet2DConditionModel" and config.get("in_channels") in SEEN_CHANNELS
            return known and self.is_unet(config)
        shapes = original.below(original.prefix_of(ENTRY, contents.shapes, original.UNET), contents.shapes)
        return shapes.get(ENTRY, (0, 0))[1] in SEEN_CHANNELS and self.is_unet(original.unet_config(shapes))

    def recognises_control(self, contents: Contents) -> bool:
        """Whether this is a ControlNet for a UNet of the family."""
        if contents.shapes:
            shapes = original.below(original.CONTROL, contents.shapes)
            return "input_hint_block.0.weight" in shapes and self.is_unet(original.control_config(shapes))
        return contents.class_of("") == "ControlNetModel" and self.is_unet(contents.configs[""])

    def seen_beside(self, contents: Contents) -> int:
        if contents.shapes:
            return (contents.shapes.get(FIRST) or contents.shapes[ENTRY])[1] - LATENT_CHANNELS
        return int((contents.configs.get("unet") or contents.configs[""])["in_channels"]) - LATENT_CHANNELS

    def widths_of(self, contents: Contents) -> PromptWidths:
        if contents.shapes:
            prefix = original.prefix_of(ENTRY, contents.shapes, original.UNET)
            told: Mapping[str, Any] = original.unet_config(original.below(prefix, contents.shapes))
        else:
            told = contents.configs.get("unet") or contents.configs[""]
        return PromptWidths(told.get("cross_attention_dim", 0))

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The UNet with the checkpoint's scheduler configuration."""
        from diffusers import UNet2DConditionModel

        from weft.nodes.models.loading import assembled, pretrained, ready

        if source.root.is_dir():
            unet = pretrained(UNet2DConditionModel, component(source.root, "unet"), variant, torch_dtype=dtype)
        else:
            shapes = read_shapes(source.root)
            prefix = original.prefix_of(ENTRY, shapes, original.UNET)
            config = self._unet_config(original.unet_config(original.below(prefix, shapes)))
            unet = assembled(UNet2DConditionModel, config, original.unet_weights(source.root, config), dtype)
        scheduler = self.scheduler_of(Contents.of(source.root))
        factor, colours = self.latent_factor(Contents.of(source.root)), colours_of(source.root, self.colours)
        return self.denoiser_class(self.name, ready(unet, device), scheduler, LATENT_CHANNELS, factor, colours)

    def control_net(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
        """A ControlNet."""
        from diffusers import ControlNetModel

        from weft.nodes.models.loading import assembled, pretrained, ready

        if source.root.is_dir():
            net: torch.nn.Module = pretrained(ControlNetModel, source.root, variant, torch_dtype=dtype)
        else:
            shapes = original.below(original.CONTROL, read_shapes(source.root))
            config = self._unet_config(original.control_config(shapes))
            net = assembled(ControlNetModel, config, original.control_weights(source.root, config), dtype)
        return ready(net, device)

    def _unet_config(self, found: original.Config) -> original.Config:
        """What shapes tell of a UNet or a ControlNet, with its heads."""
        return found | {"attention_head_dim": self.heads(found["block_out_channels"])}


def embedded_scale(scale: float, channels: int) -> Tensor:
    """The scale of guidance embedded `[1, channel]`, for a network that was distilled to take it.

    The sinusoidal embedding of 1000 (scale - 1) of "On Distillation of Guided Diffusion Models" (Meng et al., 2023), as
    latent consistency models are trained with.
    """
    import torch

    half = channels // 2
    frequencies = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(10_000.0)) / (half - 1)))
    angles = 1000.0 * (scale - 1) * frequencies
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, channels % 2))[None]
