"""The table of VAEs: how each kind is recognised in a folder or a file, and how it is loaded.

A family has a `VAESpec`, which says what files of its VAEs do not. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.models import single_file, single_file_wan_vae
from weft.nodes.models.autoencoder import Autoencoder, VideoAutoencoder
from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import VAEFacts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import Config, below, tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FACTOR = 8
"""Pixels to a latent element, along each side, of every VAE that a family here has."""


@dataclass(frozen=True)
class VAESpec:
    """What a family says of its VAEs.

    Args:
        channels: of latents.
        class_name: diffusers' class, for files, which name none.
        config: what files do not say of the configuration: how latents are scaled and shifted.
        prefix: what the names of its tensors begin with in the file of a whole checkpoint.
        stated: what a whole file says of the configuration in other ways than by shapes.
        upcasts: whether a VAE that asks for it (`force_upcast`), or does not say, is loaded in float32 where float16
            is wanted.
        shifts: whether latents are shifted by `shift_factor`, where the configuration of a VAE has it.
        normalises: whether latents are brought to mean 0 and deviation 1 for each channel (`latents_mean`,
            `latents_std`), where the configuration of a VAE has both.
    """

    channels: int
    class_name: str = "AutoencoderKL"
    config: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = single_file.VAE
    stated: Callable[[Contents], Mapping[str, Any]] = lambda contents: {}
    upcasts: bool = False
    shifts: bool = True
    normalises: bool = False

    def takes(self, facts: VAEFacts) -> bool:
        """Whether these VAEs are of the kind of the family's, with as many channels."""
        return facts.channels == self.channels and format_of(facts.classes[0]) is format_of(self.class_name)


@dataclass(frozen=True)
class VAEFormat:
    """A kind of VAE: diffusers' classes of one structure, and the layout of its tensors in a file.

    Args:
        classes: of diffusers.
        entry: the name of a tensor by which it is found in a file.
        config: the configuration for a class of diffusers, from shapes.
        weights: the weights under diffusers' names.
        sizes: channels of latents, factor and time factor of a configuration.
        autoencoder: the network made ready to use.
    """

    classes: tuple[str, ...]
    entry: str
    config: Callable[[Shapes], Config]
    weights: Callable[[dict[str, Tensor], Config], dict[str, Tensor]]
    sizes: Callable[[Mapping[str, Any]], tuple[int, int, int]]
    autoencoder: Callable[[Any, tuple[int, int, int], VAESpec], Autoencoder]

    def facts(self, config: Mapping[str, Any], classes: tuple[str, ...], prefix: str = "") -> VAEFacts:
        """What headers say of a VAE of this kind."""
        return VAEFacts(classes, config, *self.sizes(config), prefix)


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


VAE_FORMATS = (
    VAEFormat(
        ("AutoencoderKL",),
        "decoder.mid.block_1.norm1.weight",
        single_file.vae_config,
        single_file.vae_weights,
        _kl_sizes,
        _kl_autoencoder,
    ),
    VAEFormat(
        ("AutoencoderKLQwenImage", "AutoencoderKLWan"),
        "decoder.middle.0.residual.0.gamma",
        single_file_wan_vae.wan_vae_config,
        single_file_wan_vae.wan_vae_weights,
        _wan_sizes,
        _wan_autoencoder,
    ),
)


def format_of(class_name: str) -> VAEFormat | None:
    """The kind of VAE that one of diffusers' classes is; None where it is none that is known."""
    return next((known for known in VAE_FORMATS if class_name in known.classes), None)


def vae_facts(contents: Contents, component: str = "", prefix: str = "") -> VAEFacts | None:
    """What headers say of the VAE in a folder or a file; None where there is none of a known kind.

    Args:
        component: its folder in a diffusers folder; empty where it is alone.
        prefix: what the names of its tensors begin with in the file.
    """
    if not contents.shapes:
        name = contents.class_of(component)
        known = format_of(name)
        return known.facts(contents.configs[component], (name,)) if known else None
    found = next((known for known in VAE_FORMATS if prefix + known.entry in contents.shapes), None)
    if found is None:
        return None
    try:
        return found.facts(found.config(below(prefix, contents.shapes)), found.classes, prefix)
    except (KeyError, IndexError):  # another structure under the same name
        return None


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

    from weft.nodes.models.loading import assembled, pretrained, ready

    if spec.upcasts and dtype is torch.float16 and facts.config.get("force_upcast", True):
        dtype = torch.float32
    name = facts.classes[0] if len(facts.classes) == 1 else spec.class_name
    known = format_of(name)
    assert known is not None
    if root.is_dir():
        network = pretrained(getattr(diffusers, name), component(root, "vae"), variant, torch_dtype=dtype)
    else:
        config = {**spec.config, **facts.config}
        weights = known.weights(below(facts.prefix, tensors(root, facts.prefix, dtype)), config)
        network = assembled(getattr(diffusers, name), config, weights, dtype)
    return known.autoencoder(ready(network, device), (facts.channels, facts.factor, facts.time_factor), spec)
