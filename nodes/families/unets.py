"""What the families of latent diffusion by a UNet share: SD 1.x, SD 2.x and SDXL are this with other data.

A checkpoint is a diffusers folder, or one safetensors file in the original layout, which carries no configuration: what
its shapes do not tell is the same for a whole family and stands in the family's file. Importing this module imports no
torch; the modules are made in `weft.nodes.families.unet_modules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import Resolved
from weft.nodes import original_layout as original
from weft.nodes.families.base import Contents
from weft.nodes.folders import read_config
from weft.nodes.headers import read_shapes
from weft.nodes.preview import Colours, colours_of

if TYPE_CHECKING:
    import torch

    from weft.nodes.families.unet_modules import UNetDenoiser
    from weft.nodes.modules import Autoencoder

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

FIRST = f"{original.UNET}input_blocks.0.0.weight"
PROJECTION = "input_blocks.1.1.proj_in.weight"


class UNetFamily:
    """A family of UNets over the latents of a VAE."""

    name: str
    colours: Colours
    scale: float
    """What latents are multiplied by, for files that do not say it."""

    scheduler: Mapping[str, Any] = SCHEDULER

    def is_unet(self, config: Mapping[str, Any]) -> bool:
        """Whether the configuration of a UNet or a ControlNet is this family's."""
        raise NotImplementedError

    def heads(self, widths: Sequence[int]) -> Any:
        """Attention heads on each level; diffusers' name for their number is a historical slip."""
        return [max(1, width // HEAD) for width in widths]

    def recognises_control(self, contents: Contents) -> bool:
        """Whether this is a ControlNet for a UNet of the family."""
        if contents.shapes:
            shapes = original.below(original.CONTROL, contents.shapes)
            return "input_hint_block.0.weight" in shapes and self.is_unet(original.down_config(shapes))
        return contents.class_of("") == "ControlNetModel" and self.is_unet(contents.configs[""])

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> UNetDenoiser:
        """The UNet with the checkpoint's scheduler configuration."""
        from diffusers import UNet2DConditionModel

        from weft.nodes.loading import assembled, pretrained, ready

        if source.root.is_dir():
            unet = pretrained(UNet2DConditionModel, source.root / "unet", variant, torch_dtype=dtype)
            scheduler = read_config(source.root / "scheduler" / "scheduler_config.json")
            vae = read_config(source.root / "vae" / "config.json")
        else:
            shapes = read_shapes(source.root)
            config = self._unet_config(original.unet_config(original.below(original.UNET, shapes)))
            unet = assembled(UNet2DConditionModel, config, original.unet_weights(source.root, config), dtype)
            scheduler = self.scheduler
            vae = original.vae_config(original.below(original.VAE, shapes))
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        colours = colours_of(source.root, self.colours)
        return ready(self.denoising(unet, scheduler, factor, colours, source), device)

    def denoising(
        self, unet: Any, scheduler: Mapping[str, Any], factor: int, colours: Colours, source: Resolved
    ) -> UNetDenoiser:
        """The family's denoiser around a UNet."""
        from weft.nodes.families.unet_modules import UNetDenoiser

        return UNetDenoiser(unet, scheduler, LATENT_CHANNELS, factor, colours)

    def autoencoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Autoencoder:
        """The VAE."""
        from diffusers import AutoencoderKL

        from weft.nodes.loading import assembled, pretrained, ready
        from weft.nodes.modules import Autoencoder

        if source.root.is_dir():
            vae = pretrained(AutoencoderKL, source.root / "vae", variant, torch_dtype=dtype)
        else:
            config = original.vae_config(original.below(original.VAE, read_shapes(source.root)))
            config |= {"scaling_factor": self.scale}
            vae = assembled(AutoencoderKL, config, original.vae_weights(source.root, config), dtype)
        return ready(Autoencoder(vae), device)

    def control_net(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
        """A ControlNet."""
        from diffusers import ControlNetModel

        from weft.nodes.loading import assembled, pretrained, ready

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
