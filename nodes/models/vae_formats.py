"""The table of VAEs: how each kind is recognised in a folder or a file, and how it is loaded.

A family has a `VAESpec`, which says what files of its VAEs do not. Importing this module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models import single_file, single_file_wan_vae
from weft.nodes.models.autoencoder import Autoencoder, TinyAutoencoder, VideoAutoencoder
from weft.nodes.models.clip_autoencoders import (
    CogVideoXAutoencoder,
    HunyuanVideoAutoencoder,
    LTXVideoAutoencoder,
    TemporalAutoencoder,
)
from weft.nodes.models.contents import Contents
from weft.nodes.models.dense_autoencoder import dense_sizes, dense_vae
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import VAEFacts
from weft.nodes.models.patched_autoencoder import PATCHED_LAYOUTS, patched_sizes, patched_vae
from weft.nodes.models.tensor_layouts import VAE_PREFIXES, PlacedLayout, TensorLayout, placed_layouts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FACTOR = 8
"""Pixels to a latent element, along each side, of the VAEs of most families."""


@dataclass(frozen=True)
class VAESpec:
    """What a family says of its VAEs.

    Args:
        channels: of latents.
        class_name: diffusers' class, for files, which name none.
        config: what files do not say of the configuration: how latents are scaled and shifted.
        stated: what a whole file says of the configuration in other ways than by shapes.
        upcasts: whether a VAE that asks for it (`force_upcast`), or does not say, is loaded in float32 where float16
            is wanted.
        shifts: whether latents are shifted by `shift_factor`, where the configuration of a VAE has it.
        normalises: whether latents are brought to mean 0 and deviation 1 for each channel (`latents_mean`,
            `latents_std`), where the configuration of a VAE has both.
        factor: pixels to a latent element, along each side.
    """

    channels: int
    class_name: str = "AutoencoderKL"
    config: Mapping[str, Any] = field(default_factory=dict)
    stated: Callable[[Contents], Mapping[str, Any]] = lambda contents: {}
    upcasts: bool = False
    shifts: bool = True
    normalises: bool = False
    factor: int = FACTOR

    def takes(self, facts: VAEFacts) -> bool:
        """Whether these VAEs are of the kind of the family's or tiny ones, with as many channels."""
        known = format_of(facts.classes[0])
        return facts.channels == self.channels and (known is format_of(self.class_name) or known is TINY)


@dataclass(frozen=True)
class VAEFormat:
    """A kind of VAE: diffusers' classes of one structure, and the layouts of its tensors in a file.

    Args:
        classes: of diffusers.
        layouts: in which it is published in single files.
        sizes: channels of latents, factor and time factor of a configuration.
        autoencoder: the network made ready to use.
        has_own_scale: whether its latents have the scale of the configuration's defaults in every family.
    """

    classes: tuple[str, ...]
    layouts: tuple[TensorLayout, ...]
    sizes: Callable[[Mapping[str, Any]], tuple[int, int, int]]
    autoencoder: Callable[[Any, tuple[int, int, int], VAESpec], Autoencoder]
    has_own_scale: bool = False

    def facts(
        self, config: Mapping[str, Any], classes: tuple[str, ...], placed: PlacedLayout | None = None
    ) -> VAEFacts:
        """What headers say of a VAE of this kind.

        Raises:
            InputError: where its scale is none, or it has not a mean and a deviation for each channel.
        """
        prefix, layout = (placed.prefix, placed.layout) if placed else ("", None)
        facts = VAEFacts(classes, config, *self.sizes(config), prefix=prefix, layout=layout)
        check_scale(config, facts.channels)
        return facts


def check_scale(config: Mapping[str, Any], channels: int) -> None:
    """Raise `InputError` where the numbers that latents are scaled by are none.

    Args:
        channels: of latents.
    """
    for name in ("latents_mean", "latents_std"):
        numbers = config.get(name)
        if numbers is None:
            continue
        if not isinstance(numbers, list | tuple) or len(numbers) != channels or not all(map(_is_finite, numbers)):
            raise _wrong_scale(name, numbers, f"{channels} numbers, one for each channel of latents")
        if name == "latents_std" and min(numbers) <= 0:
            raise _wrong_scale(name, numbers, "numbers above 0")
    scale, shift = config.get("scaling_factor", 1.0), config.get("shift_factor")
    if not _is_finite(scale) or scale == 0:
        raise _wrong_scale("scaling_factor", scale, "a number that is not 0")
    if shift is not None and not _is_finite(shift):
        raise _wrong_scale("shift_factor", shift, "a number")


def _is_finite(given: object) -> bool:
    return isinstance(given, int | float) and math.isfinite(given)


def _wrong_scale(name: str, found: object, expected: str) -> InputError:
    return InputError(
        f"the VAE has {str(found)[:80]} as `{name}`, expected {expected}", "get the model's files again", "damaged-file"
    )


def _kl_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    return config.get("latent_channels", 4), 2 ** (len(config.get("block_out_channels", [64])) - 1), 1


def _kl_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    config = network.config
    scale, mean, deviation = float(config.scaling_factor), config.latents_mean, config.latents_std
    if spec.normalises and mean is not None and deviation is not None:
        scales, means = (scale / float(one) for one in deviation), map(float, mean)
        return Autoencoder(network, *sizes, scale=tuple(scales), shift=tuple(means), scale_alone=scale)
    shift = float(config.shift_factor or 0.0) if spec.shifts else 0.0
    return Autoencoder(network, *sizes, scale=scale, shift=shift)


def _wan_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    halved = config.get("temperal_downsample", [False, True, True])  # diffusers' spelling
    return config.get("z_dim", 16), config.get("scale_factor_spatial") or 2 ** len(halved), 2 ** sum(halved)


def _wan_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    scale = tuple(1 / float(deviation) for deviation in network.config.latents_std)
    return VideoAutoencoder(network, *sizes, scale=scale, shift=tuple(map(float, network.config.latents_mean)))


def _temporal_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    return TemporalAutoencoder(network, *sizes, scale=float(network.config.scaling_factor))


def _cogvideox_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    side = 2 ** (len(config.get("block_out_channels", (128, 256, 256, 512))) - 1)
    return config.get("latent_channels", 16), side, int(config.get("temporal_compression_ratio", 4))


def _cogvideox_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    return CogVideoXAutoencoder(network, *sizes, scale=float(network.config.scaling_factor))


def _hunyuan_video_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    side, time = config.get("spatial_compression_ratio", 16), config.get("temporal_compression_ratio", 4)
    return config.get("latent_channels", 32), side, time


def _hunyuan_video_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    return HunyuanVideoAutoencoder(network, *sizes, scale=float(network.config.scaling_factor))


def _ltx_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    halved = sum(config.get("spatio_temporal_scaling", (True, True, True, False)))
    side = config.get("spatial_compression_ratio") or config.get("patch_size", 4) * 2**halved
    time = config.get("temporal_compression_ratio") or config.get("patch_size_t", 1) * 2**halved
    return config.get("latent_channels", 128), side, time


def _ltx_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    factor = float(network.config.scaling_factor)
    scale = tuple(factor / float(deviation) for deviation in network.latents_std)
    return LTXVideoAutoencoder(network, *sizes, scale=scale, shift=tuple(map(float, network.latents_mean)))


def _tiny_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    return config.get("latent_channels", 4), 2 ** (len(config.get("encoder_block_out_channels", [64] * 4)) - 1), 1


def _tiny_autoencoder(network: Any, sizes: tuple[int, int, int], spec: VAESpec) -> Autoencoder:
    config = network.config
    return TinyAutoencoder(network, *sizes, scale=float(config.scaling_factor), shift=float(config.shift_factor))


TINY = VAEFormat(
    ("AutoencoderTiny",),
    (TensorLayout("decoder.layers.0.weight", single_file.tiny_vae_config),),
    _tiny_sizes,
    _tiny_autoencoder,
    has_own_scale=True,
)
"""Tiny autoencoders (TAESD, https://github.com/madebyollin/taesd), over the latents that models sample."""

VAE_FORMATS = (
    VAEFormat(("AutoencoderDC",), (), dense_sizes, dense_vae),
    VAEFormat(("AutoencoderKLFlux2",), PATCHED_LAYOUTS, patched_sizes, patched_vae, has_own_scale=True),
    VAEFormat(
        ("AutoencoderKL",),
        (
            TensorLayout("decoder.mid.block_1.norm1.weight", single_file.vae_config, single_file.vae_weights),
            TensorLayout(
                "decoder.mid_block.resnets.0.norm1.weight",
                single_file.diffusers_vae_config,
                single_file.diffusers_vae_weights,
            ),
        ),
        _kl_sizes,
        _kl_autoencoder,
    ),
    VAEFormat(
        ("AutoencoderKLQwenImage", "AutoencoderKLWan"),
        (
            TensorLayout(
                "decoder.middle.0.residual.0.gamma",
                single_file_wan_vae.wan_vae_config,
                single_file_wan_vae.wan_vae_weights,
            ),
            TensorLayout("decoder.mid_block.resnets.0.norm1.gamma", single_file_wan_vae.diffusers_wan_vae_config),
        ),
        _wan_sizes,
        _wan_autoencoder,
    ),
    VAEFormat(("AutoencoderKLTemporalDecoder",), (), _kl_sizes, _temporal_autoencoder),
    VAEFormat(("AutoencoderKLCogVideoX",), (), _cogvideox_sizes, _cogvideox_autoencoder),
    VAEFormat(("AutoencoderKLLTXVideo",), (), _ltx_sizes, _ltx_autoencoder),
    VAEFormat(("AutoencoderKLHunyuanVideo15",), (), _hunyuan_video_sizes, _hunyuan_video_autoencoder),
    TINY,
)


def format_of(class_name: str) -> VAEFormat | None:
    """The kind of VAE that one of diffusers' classes is; None where it is none that is known."""
    return next((known for known in VAE_FORMATS if class_name in known.classes), None)


def vae_facts(contents: Contents) -> VAEFacts | None:
    """What headers say of the VAE in a folder or a file, alone or with others; None where none of a known kind is."""
    if not contents.shapes:
        component = "" if contents.has("") else "vae"
        name = contents.class_of(component)
        known = format_of(name)
        return known.facts(contents.configs[component], (name,)) if known else None
    found = (
        known.facts(placed.config, known.classes, placed)
        for known in VAE_FORMATS
        for placed in placed_layouts(contents, VAE_PREFIXES, known.layouts)
    )
    return next(found, None)


def load_autoencoder(
    spec: VAESpec, facts: VAEFacts, root: Path, variant: str, dtype: torch.dtype, device: str
) -> Autoencoder:
    """The VAE of a whole checkpoint, or one alone.

    Args:
        facts: what its headers say.
        root: the folder or the file.

    Raises:
        InputError: where the files are damaged.
    """
    import diffusers
    import torch

    from weft.nodes.models.loading import assembled, notice_unused, pretrained, ready
    from weft.nodes.models.packed_renaming import Weights, renamed_weights
    from weft.nodes.models.tiny_halves import halves_in
    from weft.nodes.models.weights_file import file_weights

    if spec.upcasts and dtype is torch.float16 and facts.config.get("force_upcast", True):
        dtype = torch.float32
    name = facts.classes[0] if len(facts.classes) == 1 else spec.class_name
    known = format_of(name)
    assert known is not None
    if root.is_dir():
        network = pretrained(getattr(diffusers, name), component(root, "vae"), variant, torch_dtype=dtype)
    else:
        config = {**({} if known.has_own_scale else spec.config), **facts.config}

        def renamed(found: dict[str, Tensor]) -> dict[str, Tensor]:
            return facts.layout.weights(found, config) if facts.layout else found

        halves = tuple(root.with_name(half) for half in facts.contents.halves)
        weights: Weights = (
            {**halves_in(halves, dtype)}
            if halves
            else renamed_weights(file_weights(root, facts.prefix), renamed, dtype)
        )
        network = assembled(getattr(diffusers, name), config, weights, dtype)
        if not halves:
            notice_unused(root, facts.prefix, renamed, network)
    return known.autoencoder(ready(network, device), (facts.channels, facts.factor, facts.time_factor), spec)
