"""Files of motion adapters (AnimateDiff, https://arxiv.org/abs/2307.04725): how they are found, and what headers say.

A diffusers folder, or one safetensors file in the layout of diffusers or of the authors. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Resolved, listed
from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import weights
from weft.nodes.models.facts import NetworkFacts
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.models.single_file import below, count
from weft.nodes.models.tensor_layouts import Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

ORIGINAL_NAMES = (
    (".temporal_transformer", ""),
    (".norms.0", ".norm1"),
    (".norms.1", ".norm2"),
    (".ff_norm", ".norm3"),
    (".attention_blocks.0", ".attn1"),
    (".attention_blocks.1", ".attn2"),
)
"""What parts of names are in the authors' files, and in diffusers'."""

HEADS = 8
"""Attention heads of every published adapter; no header says it."""

PLACES = "pos_encoder.pe"
"""What the names of tables of places end with in the authors' files; they follow from a formula."""


def diffusers_name(name: str) -> str:
    """The name of a tensor of the authors' files in diffusers."""
    for theirs, ours in ORIGINAL_NAMES:
        name = name.replace(theirs, ours)
    return name


def _shapes(shapes: Shapes) -> Shapes:
    return {diffusers_name(name): shape for name, shape in shapes.items() if not name.endswith(PLACES)}


def _weights(found: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights under diffusers' names, with tables of places by their formula, as diffusers has them."""
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    renamed = {diffusers_name(name): found.pop(name) for name in [*found] if not name.endswith(PLACES)}
    first = ".attn1.to_q.weight"
    for name in [name for name in renamed if name.endswith(first)]:
        places: Any = SinusoidalPositionalEmbedding(renamed[name].shape[1], config["motion_max_seq_length"])
        renamed[name.replace(first, ".pos_embed.pe")] = places.pe
    return renamed


def motion_shapes(found: Resolved) -> Shapes:
    """The shapes of the weights of a motion adapter, under diffusers' names, as headers tell them."""
    facts = found.facts
    if not isinstance(facts, MotionAdapterFacts):
        return {}
    if facts.network.layout:
        return facts.network.layout.shapes(below(facts.network.prefix, facts.contents.shapes))
    files = weights(found.root)
    return {name: shape for path in next(iter(files.values()), []) for name, shape in read_shapes(path).items()}


def _config(shapes: Shapes, places: str) -> Config:
    """The configuration of an adapter, from shapes under diffusers' names.

    Args:
        places: the table of places of its first module, `[1, frame, channel]`.
    """
    first = "down_blocks.{}.motion_modules.0.proj_in.weight"
    blocks = range(count(shapes, first))
    layers = "down_blocks.0.motion_modules.0.transformer_blocks.{}.attn1.to_q.weight"
    extra = {"conv_in_channels": shapes["conv_in.weight"][1]} if "conv_in.weight" in shapes else {}
    return {
        "block_out_channels": [shapes[first.format(block)][0] for block in blocks],
        "motion_layers_per_block": count(shapes, "down_blocks.0.motion_modules.{}.proj_in.weight"),
        "motion_transformer_layers_per_block": count(shapes, layers),
        "motion_num_attention_heads": HEADS,
        "motion_max_seq_length": shapes[places][1],
        "use_motion_mid_block": "mid_block.motion_modules.0.proj_in.weight" in shapes,
        **extra,
    }


_FIRST = "down_blocks.0.motion_modules.0."
_TABLES = {
    "original": f"{_FIRST}temporal_transformer.transformer_blocks.0.attention_blocks.0.{PLACES}",
    "diffusers": f"{_FIRST}transformer_blocks.0.pos_embed.pe",
}


class MotionAdapterFormat(NetworkFormat):
    """Motion adapters."""

    class_name = "MotionAdapter"
    folder = ""
    prefixes = ("", "module.")
    layouts = (
        TensorLayout(
            _TABLES["original"],
            lambda shapes: _config(
                {**_shapes(shapes), _TABLES["original"]: shapes[_TABLES["original"]]}, _TABLES["original"]
            ),
            _weights,
            _shapes,
        ),
        TensorLayout(_TABLES["diffusers"], lambda shapes: _config(shapes, _TABLES["diffusers"])),
    )


MOTION_ADAPTERS = MotionAdapterFormat()


@dataclass(frozen=True)
class MotionAdapterFacts:
    """What headers say of a motion adapter.

    Args:
        channels: of each level of the UNet that it is for.
        layers: motion modules on each level.
        longest: the most frames of a clip.
        network: of its modules.
        contents: all that the headers say.
    """

    channels: tuple[int, ...]
    layers: tuple[int, ...]
    longest: int
    network: NetworkFacts = field(repr=False)
    contents: Contents = field(repr=False)

    def __str__(self) -> str:
        return f"for UNets of {', '.join(map(str, self.channels))} channels, clips of at most {self.longest} frames"


def motion_adapter_facts(contents: Contents) -> MotionAdapterFacts | None:
    """What headers say of a motion adapter; None where it is something else."""
    network = MOTION_ADAPTERS.alone(contents)
    if network is None:
        return None
    channels = tuple(network.config.get("block_out_channels", (320, 640, 1280, 1280)))
    layers = _on_each_level(network.config.get("motion_layers_per_block", 2), len(channels))
    longest = network.config.get("motion_max_seq_length", 32)
    sizes = (*channels, *layers, longest)
    if not all(type(one) is int and one > 0 for one in sizes):
        return None
    return MotionAdapterFacts(channels, layers, longest, network, contents)


def _on_each_level(given: Any, levels: int) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list | tuple) else (given,) * levels


BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
"""diffusers' blocks of UNets that motion modules are made for."""


def check_motion_adapter(facts: MotionAdapterFacts, unet: Mapping[str, Any]) -> None:
    """Raise `InputError` where an adapter was made for a UNet of another structure.

    Args:
        unet: the configuration of the network of a denoiser.
    """
    channels = tuple(unet.get("block_out_channels") or ())
    blocks = [*unet.get("down_block_types", ()), *unet.get("up_block_types", ())]
    others = sorted({*blocks} - {*BLOCKS})
    if not channels or not blocks or others:
        found = f"it has {listed(others)}" if others else "it is none"
        raise InputError(
            f"motion modules go between the layers of a UNet, and the model's network is no such UNet: {found}",
            "use a model of SD 1.x or SDXL",
            "unsupported-by-model",
        )
    if facts.network.config.get("conv_in_channels"):
        raise InputError(
            "the adapter reads a picture next to the latents (PIA), which no node gives it",
            "use a motion adapter of AnimateDiff",
            "unsupported-weights",
        )
    layers = _on_each_level(unet.get("layers_per_block", 2), len(channels))
    if (channels, layers) != (facts.channels, facts.layers):
        raise InputError(
            f"the adapter was made for a UNet of {_levels(facts.channels, facts.layers)}, and the model's has "
            f"{_levels(channels, layers)}",
            "use a motion adapter that was made for models of this family",
            "wrong-adapter",
        )


def _levels(channels: tuple[int, ...], layers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, channels))} channels with {', '.join(map(str, layers))} layers"
