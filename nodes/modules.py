"""The torch modules that recipes become: a denoiser, a text encoder and an autoencoder, each with what it needs.

Below them is what every family's builders share: `pretrained` loads a component of a diffusers folder, `assembled` one
whose weights came from elsewhere, and `ready` freezes it. Imports torch: only families import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.folders import component_variant
from weft.nodes.preview import Colours
from weft.nodes.quiet import quietly

N = TypeVar("N", bound=nn.Module)


class Denoiser(nn.Module):
    """A UNet with its checkpoint's scheduler configuration.

    Args:
        scheduler: the configuration of the diffusers scheduler that came with it.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        colours: what its latents look like.
    """

    def __init__(
        self, unet: Any, scheduler: Mapping[str, Any], latent_channels: int, latent_factor: int, colours: Colours
    ) -> None:
        super().__init__()
        self.unet = unet
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.colours = colours

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return cast(torch.dtype, self.unet.dtype)

    def distilled_guidance(self, scale: float, batch: int) -> Tensor | None:
        """The scale of guidance embedded `[batch, channel]`, for a network distilled to take it; else None.

        The sinusoidal embedding of 1000 (scale - 1) of "On Distillation of Guided Diffusion Models" (Meng et al.,
        2023), as latent consistency models are trained with.
        """
        channels = self.unet.config.time_cond_proj_dim
        if channels is None:
            return None
        half = channels // 2
        frequencies = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(10_000.0)) / (half - 1)))
        angles = 1000.0 * (scale - 1) * frequencies
        embedding = nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, channels % 2))
        return embedding.repeat(batch, 1).to(self.unet.device, self.dtype)


class Encoder(nn.Module):
    """A CLIP text model with its tokenizer."""

    def __init__(self, text_model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.text_model = text_model
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The embeddings of some texts `[text, token, channel]`, float32, on the CPU.

        A text is padded to the length that the tokenizer has (77 tokens) and cut to it.
        """
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self.text_model.device)
        masked = getattr(self.text_model.config, "use_attention_mask", False)
        mask = tokens.attention_mask if masked else None
        embeddings: Tensor = self.text_model(tokens.input_ids, attention_mask=mask)[0]
        return embeddings.float().cpu()


class Autoencoder(nn.Module):
    """A VAE between pixels in -1..1 and latents in the scale that its family's models sample in."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    @property
    def factor(self) -> int:
        """Pixels to a latent element, along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def decode(self, latents: Tensor, tile: int = 0) -> Tensor:
        """Pictures `[batch, height, width, channel]` in 0..1 from latents, float32, on the CPU.

        Args:
            tile: the side of the tiles in pixels; 0 decodes whole pictures.
        """
        scaled = latents.to(self.vae.device, self.vae.dtype) / self.vae.config.scaling_factor
        with self._tiled(tile) if tile else nullcontext():
            pixels = self.vae.decode(scaled, return_dict=False)[0]
        picture: Tensor = (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()
        return picture.contiguous()

    @contextmanager
    def _tiled(self, tile: int) -> Iterator[None]:
        """The VAE in tiles of this side, and as it was on exit."""
        sides = {"tile_sample_min_size": tile, "tile_latent_min_size": tile // self.factor, "use_tiling": True}
        before = {name: getattr(self.vae, name) for name in sides}
        self.vae.__dict__.update(sides)
        try:
            yield
        finally:
            self.vae.__dict__.update(before)

    def encode(self, pictures: Tensor) -> Tensor:
        """The mean latents of pictures `[batch, height, width, 3]` in 0..1, float32, on the CPU."""
        pixels = (2 * pictures - 1).permute(0, 3, 1, 2).to(self.vae.device, self.vae.dtype)
        mean = self.vae.encode(pixels).latent_dist.mean
        latents: Tensor = (mean * self.vae.config.scaling_factor).float().cpu()
        return latents


def pretrained(module_class: Any, folder: Path, variant: str, **dtype: torch.dtype) -> Any:
    """A component of a diffusers folder, loaded from safetensors.

    Args:
        dtype: `torch_dtype` for diffusers' classes, `dtype` for transformers'.

    Raises:
        InputError: where files are damaged, or weights are missing that the configuration asks for.
    """
    options = {"variant": component_variant(folder, variant), "use_safetensors": True, "local_files_only": True}
    try:
        with quietly():
            module, report = module_class.from_pretrained(folder, output_loading_info=True, **options, **dtype)
    except (OSError, ValueError, RuntimeError, SafetensorError) as fault:
        raise InputError(f"`{folder.name}` cannot be loaded: {fault}", "get the model's folder again") from fault
    _refuse_missing(folder.name, report["missing_keys"])
    return module


def assembled(module_class: Any, config: Mapping[str, Any], weights: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """A diffusers module of a configuration with these weights; nothing is initialised only to be thrown away.

    Raises:
        InputError: where the weights do not fit the configuration.
    """
    with torch.device("meta"), quietly():
        module = module_class.from_config(dict(config))
    converted = {name: tensor.to(dtype) for name, tensor in weights.items()}
    try:
        report = module.load_state_dict(converted, strict=False, assign=True)
    except RuntimeError as fault:
        raise InputError(f"the weights do not fit a {module_class.__name__}: {fault}", "get the file again") from fault
    _refuse_missing(module_class.__name__, report.missing_keys)
    return module


def assembled_text(model_class: Any, config: Any, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """A transformers model of a configuration with these weights.

    Raises:
        InputError: where the weights do not fit the configuration.
    """
    with quietly():
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=dict(weights), dtype=dtype, output_loading_info=True
        )
    _refuse_missing(model_class.__name__, report["missing_keys"])
    return model


def ready(module: N, device: str) -> N:
    """The module on a device, for inference only."""
    return module.eval().requires_grad_(False).to(device)


def _refuse_missing(what: str, missing: Sequence[str]) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise InputError(f"{len(missing)} weights of `{what}` are missing: {names} ...", "get the model's files again")
