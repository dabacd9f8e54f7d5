"""VAEs and text models in single files: configurations from shapes, weights by the names of diffusers and transformers.

Such a file has no configuration. Widths and depths are read from its tensors' shapes; a family gives the rest.
Importing this module imports no torch; diffusers' converters, which rename the layouts of the authors, do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.stored_weights import stays_mapped
from weft.nodes.models.tensor_layouts import Config

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TEXT = "cond_stage_model.transformer.text_model."
OLD_TEXT = "cond_stage_model.transformer."
"""Where CLIP is in files by transformers before 4.0 and after 5.6, whose text models have no part `text_model`."""

OPEN_TEXT = "cond_stage_model.model."

T5_TABLE = "encoder.embed_tokens.weight"
"""The other name of T5's table of tokens; most files have it under both, `shared.weight` is the first."""

T = TypeVar("T")


def below(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    """What is found under names that start with `prefix`, by the rest of the name."""
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def tensors(path: Path, prefix: str = "", dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The tensors of a file whose name starts with `prefix`, each in memory of its own; no other one is read.

    Under `mapped_weights` they are views of the file. A weight with a scale comes multiplied by it, one in GGUF's
    blocks widened.

    Args:
        dtype: of weights with scales and in blocks; None is float32.
    """
    from weft.nodes.models.weights_file import file_weights, mapped_tensors, unpacked

    if stays_mapped():
        return mapped_tensors(path, prefix, dtype)
    return {prefix + name: unpacked(one, dtype) for name, one in file_weights(path, prefix).items()}


def vae_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderKL, from shapes in the layout of latent diffusion."""
    levels = count(shapes, "encoder.down.{}.block.0.conv1.weight")
    return {
        "block_out_channels": [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": count(shapes, "encoder.down.0.block.{}.conv1.weight"),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": "decoder.mid.attn_1.norm.weight" in shapes,
    }


def diffusers_vae_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderKL, from shapes under diffusers' names."""
    levels = count(shapes, "encoder.down_blocks.{}.resnets.0.conv1.weight")
    widths = [shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels)]
    return {
        "block_out_channels": widths,
        "layers_per_block": count(shapes, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": "decoder.mid_block.attentions.0.group_norm.weight" in shapes,
    }


ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""The names of attention in VAEs that diffusers wrote before 0.16, and those of today."""


def diffusers_vae_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """An autoencoder's weights under diffusers' names of today."""
    named = {}
    for name, tensor in found.items():
        for old, new in ATTENTION.items():
            name = name.replace(old, new) if "mid_block.attentions.0" in name else name
        named[name] = tensor
    return named


def tiny_vae_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderTiny, from shapes under diffusers' names.

    A level begins with a convolution; its blocks have names of their own.
    """
    encoder, decoder = (tiny_levels(shapes, side) for side in ("encoder", "decoder"))
    latents = shapes["decoder.layers.0.weight"][1]
    return {
        "encoder_block_out_channels": [width for width, _ in encoder],
        "decoder_block_out_channels": [width for width, _ in decoder],
        "num_encoder_blocks": [blocks for _, blocks in encoder],
        "num_decoder_blocks": [blocks for _, blocks in decoder],
        "latent_channels": latents,
        "force_upcast": False,
    }


def tiny_levels(shapes: Shapes, side: str) -> list[tuple[int, int]]:
    """The width and the number of blocks of each level; the last convolution begins none."""
    layers = {int(name.split(".")[2]) for name in shapes if name.startswith(f"{side}.layers.")}
    levels: list[tuple[int, int]] = []
    for layer in sorted(layers):
        convolution = shapes.get(f"{side}.layers.{layer}.weight")
        if convolution is not None:
            levels.append((convolution[0], 0))
        else:
            width, blocks = levels[-1]
            levels[-1] = (width, blocks + 1)
    return levels[:-1]


def text_config(shapes: Shapes) -> Config:
    """The configuration of a CLIPTextModel, from shapes below `TEXT`; heads are 64 wide, as in all of CLIP's.

    Where the projection is there too, names begin with `text_model.`.
    """
    projection = shapes.get("text_projection.weight")
    shapes = below("text_model.", shapes) or shapes
    vocabulary, width = shapes["embeddings.token_embedding.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "projection_dim": projection[0] if projection else width,
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count(shapes, "encoder.layers.{}.mlp.fc1.weight"),
        "num_attention_heads": width // 64,
        "max_position_embeddings": shapes["embeddings.position_embedding.weight"][0],
    }


def open_text_config(shapes: Shapes) -> Config:
    """The configuration of a CLIPTextModel, from shapes below the prefix of one of OpenCLIP's."""
    vocabulary, width = shapes["token_embedding.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "projection_dim": shapes.get("text_projection", (width, width))[1],
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": count(shapes, "transformer.resblocks.{}.mlp.c_fc.weight"),
        "num_attention_heads": width // 64,
        "max_position_embeddings": shapes["positional_embedding"][0],
        "hidden_act": "gelu",
    }


def t5_config(shapes: Shapes) -> Config:
    """The configuration of a T5EncoderModel, from shapes; heads are 64 wide, as in T5 1.1."""
    vocabulary, width = shapes.get("shared.weight") or shapes[T5_TABLE]
    block = below("encoder.block.0.layer.", shapes)
    buckets, heads = block["0.SelfAttention.relative_attention_bias.weight"]
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": block["1.DenseReluDense.wi_0.weight"][0],
        "d_kv": block["0.SelfAttention.q.weight"][0] // heads,
        "num_heads": heads,
        "num_layers": count(shapes, "encoder.block.{}.layer.0.layer_norm.weight"),
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
    }


def count(shapes: Shapes, pattern: str) -> int:
    """How many of `pattern`, with 0, 1, 2, ... filled in, there are before the first that is missing."""
    return sum(1 for _ in _present(shapes, pattern))


def _present(shapes: Shapes, pattern: str) -> Iterator[int]:
    index = 0
    while pattern.format(index) in shapes:
        yield index
        index += 1


def vae_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """An autoencoder's weights under diffusers' names."""
    return _renamed("convert_ldm_vae_checkpoint", found, config)


def text_weights(path: Path, prefix: str = TEXT, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """A CLIP text model's weights under transformers' names; positions are counted, not stored, in today's models."""
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors(path, prefix, dtype).items()}
    return {name: tensor for name, tensor in found.items() if not name.endswith("embeddings.position_ids")}


def open_text_weights(path: Path, prefix: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The weights of one of OpenCLIP's text models under transformers' names."""
    return open_text_renamed(below(prefix, tensors(path, prefix, dtype)))


def open_text_renamed(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one of OpenCLIP's text models, without their prefix, under transformers' names."""
    from types import SimpleNamespace

    from diffusers.loaders import single_file_utils

    model = SimpleNamespace(config=SimpleNamespace(hidden_size=found["token_embedding.weight"].shape[1]))
    convert: Any = single_file_utils.convert_open_clip_checkpoint
    converted: dict[str, Tensor] = convert(model, found, "")
    return converted


def _renamed(converter: str, found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Tensors put through one of diffusers' converters."""
    from diffusers.loaders import single_file_utils

    converted: dict[str, Tensor] = getattr(single_file_utils, converter)(found, config)
    return converted
