"""Tiny files under the names that published workflows ask for: checkpoints, their parts, LoRAs, control networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.nodes import layouts
from tests.nodes.families import blockwise
from tests.nodes.families.image_adapters import FOLDERS, clip_vision
from tests.nodes.families.lora_files import low_rank, named_adapter, peft
from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.families.tiny import (
    SIGHT_TOKENS,
    WIDTH,
    chat_tokenizer,
    gemma_tokenizer,
    mistral_tokenizer,
    t5_tokenizer,
)
from tests.nodes.layouts import Tensors
from tests.nodes.oracle import diffusers

Give = Callable[[str], Path]
"""Puts a tiny folder into the models folder; its path."""


def checkpoint(model: str) -> Callable[[Give], Tensors]:
    return lambda give: SINGLE_FILES[model](give(model))


def flux_model(model: str) -> Callable[[Give], Tensors]:
    """A transformer of FLUX.1 alone."""
    return lambda give: layouts.transformer(give(model), layouts.FLUX, layouts.FLUX_JOINED, (r"^norm_out\.",))


def qwen_text(give: Give) -> Tensors:
    return {
        name.removeprefix("model.").replace("language_model.", "model."): tensor
        for name, tensor in layouts.weights(give("qwen-edit"), "text_encoder").items()
    }


def wan_vae(give: Give) -> Tensors:
    return qwen_vae(give("qwen-image"))


def qwen_vae(folder: Path) -> Tensors:
    """A VAE of Qwen-Image in the layout of its authors."""
    return layouts.renamed(layouts.weights(folder, "vae"), layouts.WAN_VAE, "")


def network(folder: Path) -> Any:
    kind = diffusers.FluxTransformer2DModel if "flux" in folder.name else diffusers.QwenImageTransformer2DModel
    return kind.from_pretrained(folder, subfolder="transformer")


def qwen_lora(give: Give) -> Tensors:
    return named_adapter(low_rank(network(give("qwen-image")), 1, modules="attn"), "transformer.")


def wan(model: str) -> Callable[[Give], Tensors]:
    """A transformer of Wan alone, in the layout of its authors."""
    return lambda give: layouts.renamed(layouts.weights(give(model), "transformer"), layouts.WAN, "")


def wan_lora(give: Give) -> Tensors:
    own = diffusers.WanTransformer3DModel.from_pretrained(give("wan-128"), subfolder="transformer")
    return peft(low_rank(own, 1, modules=r"blocks.*attn1"), "transformer.")


def flux2(give: Give) -> Tensors:
    """A transformer of FLUX.2 alone."""
    return layouts.transformer(give("flux2"), layouts.FLUX2, layouts.FLUX_JOINED, (r"^norm_out\.",))


def flux2_lora(give: Give) -> Tensors:
    own = diffusers.Flux2Transformer2DModel.from_pretrained(give("flux2"), subfolder="transformer")
    return peft(low_rank(own, 1, modules=r"transformer_blocks.*attn\.to_q"), "transformer.")


def flux_lora(give: Give) -> Tensors:
    changes = low_rank(network(give("flux-dev")), 1, modules="single_transformer_blocks.*(proj_out|norm)")
    return named_adapter(changes, "transformer.")


def flux_control_lora(give: Give) -> Tensors:
    """One of a transformer that reads a picture too, as many channels as its latents have."""
    changes = low_rank(network(give("flux-dev")), 1, modules="x_embedder")
    narrow = changes["x_embedder"].down
    changes["x_embedder"] = changes["x_embedder"]._replace(down=torch.cat([narrow, narrow.flip(1)], 1))
    return peft(changes, "transformer.")


def control(model: str, layout: Callable[[Tensors], Tensors] = dict) -> Callable[[Give], Tensors]:
    return lambda give: layout(load_file(give(model) / "diffusion_pytorch_model.safetensors"))


def redux(give: Give) -> Tensors:
    return load_file(give("redux") / "image_embedder" / "diffusion_pytorch_model.safetensors")


def sight(give: Give) -> Tensors:
    """Redux's image encoder."""
    return load_file(give("redux") / "image_encoder" / "model.safetensors")


def large_sight(give: Give) -> Tensors:
    """An image encoder whose vectors are as wide as SDXL's pooled ones."""
    torch.manual_seed(0)
    found: Tensors = clip_vision(WIDTH).state_dict()
    return found


FILES: tuple[tuple[str, Callable[[Give], Tensors]], ...] = (
    ("v1-5-pruned.*", lambda give: layouts.sd1(give("clip"))),
    ("sd_xl_refiner.*", checkpoint("sdxl-refiner")),
    ("sd_xl_.*", checkpoint("sdxl")),
    (r"sd3\.5_large_controlnet.*", control("sd35-edges", layouts.stability)),
    (r"sd3\.5.*", checkpoint("sd35")),
    ("flux1-schnell-fp8", checkpoint("flux-schnell")),
    ("flux1-dev-fp8", checkpoint("flux-dev")),
    ("flux1-schnell", flux_model("flux-schnell")),
    (r"(flux1-fill|flux\.1-fill).*", flux_model("flux-fill")),
    ("flux1-canny.*", flux_model("flux-canny")),
    ("flux1-depth-dev-lora", flux_control_lora),
    ("flux1-redux.*", redux),
    (r"(uso-flux1|removal_timestep).*", flux_lora),
    ("flux1-.*", flux_model("flux-dev")),
    ("lotus-depth-d.*", lambda give: layouts.weights(give("lotus"), "unet")),
    ("model", lambda give: layouts.weights(give("lotus"), "text_encoder")),
    ("vae-ft-mse.*", lambda give: layouts.vae(give("lotus"), "")),
    (r"wan2\.2_.*lora.*", wan_lora),
    (r"wan2\.1_t2v.*", wan("wan-128")),
    (r"wan2\.2_t2v.*", wan("wan-128")),
    (r"wan2\.1_i2v.*", wan("wan-128-pictures")),
    (r"wan2\.1_flf2v.*", wan("wan-128-ends")),
    (r"wan2\.2_i2v.*", wan("wan-128-experts")),
    ("umt5_xxl.*", lambda give: layouts.weights(give("wan-128"), "text_encoder")),
    (r"wan_2\.1_vae", wan_vae),
    ("clip_vision_h", lambda give: load_file(give("wan-128-pictures") / "image_encoder" / "model.safetensors")),
    (
        "flux2[-_]dev.*",
        flux2,
    ),
    ("Flux2.*", flux2_lora),
    ("flux2-vae", lambda give: layouts.weights(give("flux2"), "vae")),
    ("mistral_3_small_flux2.*", lambda give: layouts.weights(give("flux2"), "text_encoder")),
    ("hidream_i1.*", lambda give: layouts.weights(give("hidream"), "transformer")),
    ("clip_l_hidream", lambda give: layouts.weights(give("hidream"), "text_encoder")),
    ("clip_g_hidream", lambda give: layouts.weights(give("hidream"), "text_encoder_2")),
    ("llama_3.1_8b.*", lambda give: layouts.weights(give("hidream"), "text_encoder_4")),
    ("sigclip.*", sight),
    ("clip_vision_g", large_sight),
    ("clip_l", lambda give: layouts.text_weights(give("flux-dev"), "text_encoder", "text_model.")),
    ("t5xxl.*", lambda give: layouts.weights(give("flux-dev"), "text_encoder_2")),
    ("ae", lambda give: layouts.vae(give("flux-dev"), "")),
    ("qwen_3_4b", lambda give: layouts.under(layouts.weights(give("z-image"), "text_encoder"), "model.")),
    ("z_image_turbo.*", lambda give: layouts.z_image(give("z-deep"))),
    ("Z-Image-Turbo-Fun.*", control("z-six-edges")),
    (r"qwen_2\.5_vl.*", qwen_text),
    ("qwen_image_vae", wan_vae),
    ("qwen_image_layered_vae", lambda give: qwen_vae(give("qwen-layered"))),
    ("qwen_image_layered.*", lambda give: layouts.weights(give("qwen-layered"), "transformer")),
    ("Qwen-Image-InstantX-ControlNet-Union", control("qwen-edges")),
    ("Qwen-Image-InstantX-ControlNet-Inpainting", control("qwen-masked")),
    ("qwen_image_canny_diffsynth_controlnet", lambda give: blockwise.tensors()),
    ("qwen_image_(2512|edit|fp8).*", lambda give: layouts.weights(give("qwen-image"), "transformer")),
    ("(Qwen-|qwen_image_union).*", qwen_lora),
)
"""What a file is, by a pattern of its name without its ending; the first that fits holds."""

VISION = FOLDERS
"""Folders of pipelines that read pictures."""


def add_named(models: Path, name: str, give: Give) -> bool:
    """Put a tiny file of this name into the models folder; whether it is known what it is."""
    stem = Path(name).stem
    maker = next((one for pattern, one in FILES if re.fullmatch(pattern, stem)), None)
    if maker is not None and not (models / name).exists():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous().clone() for key, tensor in maker(give).items()}, models / name)
    return maker is not None


def add_tokenizers(models: Path) -> None:
    """Put the tokenizers of text models that come in files next to them."""
    t5_tokenizer().save_pretrained(models / "t5_tokenizer")
    t5_tokenizer().save_pretrained(models / "umt5_tokenizer")
    chat_tokenizer().save_pretrained(models / "qwen3_tokenizer")
    mistral_tokenizer().save_pretrained(models / "mistral3_tokenizer")
    gemma_tokenizer().save_pretrained(models / "llama_tokenizer")
    chat_tokenizer(*SIGHT_TOKENS).save_pretrained(models / "qwen2_5_vl_tokenizer")
