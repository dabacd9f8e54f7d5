"""How a tiny folder becomes one file in the original layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.nodes import layouts
from tests.nodes.families.tiny import t5_tokenizer
from tests.nodes.layouts import Tensors


def sd2_file(folder: Path) -> Tensors:
    """An SD 2.x folder as one file; OpenCLIP's last layer, which nothing reads, is there too."""
    text = layouts.open_clip(layouts.weights(folder, "text_encoder"), "cond_stage_model.model.")
    last = {
        name.replace("resblocks.1.", "resblocks.2."): one.clone() for name, one in text.items() if "blocks.1." in name
    }
    return {**unet_and_vae(folder, layouts.UNET), **text, **last}


def sdxl_file(folder: Path) -> Tensors:
    """An SDXL folder as one file."""
    return {
        **refiner_file(folder, "conditioner.embedders.1.model."),
        **layouts.text_weights(folder, "text_encoder", "conditioner.embedders.0.transformer.text_model."),
    }


def refiner_file(folder: Path, prefix: str = "conditioner.embedders.0.model.") -> Tensors:
    """A folder of SDXL's refiner as one file; OpenCLIP's text model has a prefix."""
    text = layouts.open_clip(layouts.weights(folder, "text_encoder_2"), prefix)
    return {**unet_and_vae(folder, layouts.DEEP_UNET), **text}


def unet_and_vae(folder: Path, rules: layouts.Rules) -> Tensors:
    named = layouts.renamed(layouts.weights(folder, "unet"), rules, "model.diffusion_model.")
    return {**named, **layouts.vae(folder)}


def sd3_file(folder: Path) -> Tensors:
    """An SD 3 folder as one file; T5's tokenizer is put next to it."""
    t5_tokenizer().save_pretrained(folder.parent / "t5_tokenizer")
    texts = {"clip_l": "text_encoder", "clip_g": "text_encoder_2", "t5xxl": "text_encoder_3"}
    present = {name: component for name, component in texts.items() if (folder / component).is_dir()}
    swapped = (r"^norm_out\.", r"^transformer_blocks\.1\.norm1_context\.")
    return {
        **layouts.transformer(folder, layouts.SD3, layouts.SD3_JOINED, swapped),
        **layouts.vae(folder),
        **_texts(folder, present),
    }


def flux_file(folder: Path) -> Tensors:
    """A FLUX.1 folder as one file; T5's tokenizer is put next to it."""
    t5_tokenizer().save_pretrained(folder.parent / "t5_tokenizer")
    return {
        **layouts.transformer(folder, layouts.FLUX, layouts.FLUX_JOINED, (r"^norm_out\.",)),
        **layouts.vae(folder, "vae."),
        **_texts(folder, {"clip_l": "text_encoder", "t5xxl": "text_encoder_2"}),
    }


def _texts(folder: Path, components: Mapping[str, str]) -> Tensors:
    """Text encoders under the names that single files of flows have for them."""
    named: Tensors = {}
    for name, component in components.items():
        found = layouts.weights(folder, component)
        clip = name.startswith("clip") and not any(one.startswith("text_model.") for one in found)
        own = {one if not clip or "projection" in one else f"text_model.{one}": found[one] for one in found}
        named |= layouts.under(own, f"text_encoders.{name}.transformer.")
    return named


SINGLE_FILES: dict[str, Callable[[Path], Tensors]] = {
    "sd2": sd2_file,
    "sdxl": sdxl_file,
    "sdxl-refiner": refiner_file,
    "sd3": sd3_file,
    "sd3-short": sd3_file,
    "sd35": sd3_file,
    "flux-dev": flux_file,
    "flux-schnell": flux_file,
}
"""How each folder becomes one file in the original layout."""
