"""Single files in the original layout of latent diffusion: configurations from shapes, weights by diffusers' names.

Such a file has no configuration. Widths, depths and where attention sits are read from its tensors' shapes; a family
gives the rest. The renaming itself is diffusers' own. Importing this module imports no torch; the converters do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from weft.nodes.models.quantised_weights import is_scale, scale_name, scaled
from weft.nodes.models.safetensors_header import Shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer.text_model."
OLD_TEXT = "cond_stage_model.transformer."
"""Where CLIP is in files by transformers before 4.0 and after 5.6, whose text models have no part `text_model`."""

OPEN_TEXT = "cond_stage_model.model."
CONTROL = "control_model."

T5_TABLE = "encoder.embed_tokens.weight"
"""The other name of T5's table of tokens; most files have it under both, `shared.weight` is the first."""

Config = dict[str, Any]


T = TypeVar("T")


def below(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    """What is found under names that start with `prefix`, by the rest of the name."""
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def tensors(path: Path, prefix: str = "", dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose name starts with `prefix`; no other one is read.

    Each is copied into memory of its own, so that it can be freed before the others: the library returns views of the
    whole file, which stays in memory as long as one of them exists. A weight with a scale comes multiplied by it.

    Args:
        dtype: of weights with scales; None is float32.
    """
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        for name in (name for name in file.keys() if name.startswith(prefix) and not is_scale(name)):  # noqa: SIM118
            one, scale = file.get_tensor(name), scale_name(name, names)
            found[name] = one.clone() if scale is None else scaled(one, file.get_tensor(scale), dtype)
    return found


def unet_config(shapes: Shapes) -> Config:
    """The configuration of a UNet2DConditionModel, from shapes below `UNET`."""
    config = down_config(shapes)
    up = [name.replace("Down", "Up") for name in reversed(config["down_block_types"])]
    return {**config, **_added(shapes), "up_block_types": up, "out_channels": shapes["out.2.weight"][0]}


def control_config(shapes: Shapes) -> Config:
    """The configuration of a ControlNetModel, from shapes below `CONTROL`."""
    hint = [shapes[f"input_hint_block.{index}.weight"] for index in (0, 4, 8, 12)]
    return {
        **down_config(shapes),
        **_added(shapes),
        "conditioning_channels": hint[0][1],
        "conditioning_embedding_out_channels": [shape[0] for shape in hint],
    }


def vae_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderKL, from shapes below `VAE`."""
    levels = count(shapes, "encoder.down.{}.block.0.conv1.weight")
    return {
        "block_out_channels": [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": count(shapes, "encoder.down.0.block.{}.conv1.weight"),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
    }


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


def down_config(shapes: Shapes) -> Config:
    """What a UNet and a ControlNet share: the input block, then on each level its residual blocks and a downsampler."""
    blocks = _blocks(shapes)
    downsamplers = [index for index, parts in blocks.items() if "0.op.weight" in parts]
    depth = (downsamplers[0] if downsamplers else len(blocks)) - 1
    firsts = [blocks[index] for index in range(1, len(blocks), depth + 1)]
    layers = [count(block, "1.transformer_blocks.{}.attn2.to_k.weight") for block in firsts]
    middle = count(shapes, "middle_block.1.transformer_blocks.{}.attn2.to_k.weight")
    projections = [shape for name, shape in shapes.items() if name.endswith("1.proj_in.weight")]
    context = next(shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    return {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "block_out_channels": [block["0.out_layers.3.weight"][0] for block in firsts],
        "layers_per_block": depth,
        "transformer_layers_per_block": [*(count or 1 for count in layers[:-1]), layers[-1] or middle or 1],
        "down_block_types": ["CrossAttnDownBlock2D" if count else "DownBlock2D" for count in layers],
        "cross_attention_dim": context,
        "use_linear_projection": any(len(shape) == 2 for shape in projections),
    }


def _added(shapes: Shapes) -> Config:
    """The extra inputs of SDXL's UNet: the pooled vector of the prompt, and sizes, each embedded in 256 channels."""
    if "label_emb.0.0.weight" not in shapes:
        return {}
    width = shapes["label_emb.0.0.weight"][1]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": width,
    }


def _blocks(shapes: Shapes) -> Mapping[int, Shapes]:
    """The input blocks by number, up to the first that is missing. What names say is not counted to."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in below("input_blocks.", shapes).items():
        number, _, rest = name.partition(".")
        found.setdefault(number, {})[rest] = shape
    return dict(enumerate(found[str(index)] for index in range(count(dict.fromkeys(found, ()), "{}"))))


def count(shapes: Shapes, pattern: str) -> int:
    """How many of `pattern`, with 0, 1, 2, ... filled in, there are before the first that is missing."""
    return sum(1 for _ in _present(shapes, pattern))


def _present(shapes: Shapes, pattern: str) -> Iterator[int]:
    index = 0
    while pattern.format(index) in shapes:
        yield index
        index += 1


def unet_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """A UNet's weights under diffusers' names."""
    prefixed = {UNET + name: tensor for name, tensor in found.items()}
    return _renamed("convert_ldm_unet_checkpoint", prefixed, config)


def vae_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """An autoencoder's weights under diffusers' names."""
    return _renamed("convert_ldm_vae_checkpoint", found, config)


def control_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """A ControlNet's weights under diffusers' names."""
    return _renamed("convert_controlnet_checkpoint", found, config)


def text_weights(path: Path, prefix: str = TEXT, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """A CLIP text model's weights under transformers' names; positions are counted, not stored, in today's models."""
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors(path, prefix, dtype).items()}
    return {name: tensor for name, tensor in found.items() if not name.endswith("embeddings.position_ids")}


def open_text_weights(path: Path, prefix: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The weights of one of OpenCLIP's text models under transformers' names."""
    from types import SimpleNamespace

    from diffusers.loaders import single_file_utils

    found = tensors(path, prefix, dtype)
    width = found[f"{prefix}token_embedding.weight"].shape[1]
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
    convert: Any = single_file_utils.convert_open_clip_checkpoint
    converted: dict[str, Tensor] = convert(model, found, prefix)
    return converted


def _renamed(converter: str, found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Tensors put through one of diffusers' converters."""
    from diffusers.loaders import single_file_utils

    converted: dict[str, Tensor] = getattr(single_file_utils, converter)(found, config)
    return converted
