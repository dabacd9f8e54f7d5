"""Image encoders of every layout encode as transformers' own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from weft.nodes.models.contents import Contents
from weft.nodes.models.vision_models import load_image_reader, vision_facts

SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "image_size": 32, "patch_size": 8}
SIZES |= {"num_hidden_layers": 3, "num_attention_heads": 1}


def picture() -> Pictures.Image:
    return Pictures.fromarray(numpy.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype="uint8"))


def open_clip(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Transformers' tensors under the names of OpenCLIP."""
    ends = {"class_embedding": "class_embedding", "position_embedding.weight": "positional_embedding"}
    named = {f"visual.{new}": found[f"vision_model.embeddings.{old}"] for old, new in ends.items()}
    named["visual.conv1.weight"] = found["vision_model.embeddings.patch_embedding.weight"]
    named["visual.proj"] = found["visual_projection.weight"].T.contiguous()
    for kind in ("weight", "bias"):
        for old, new in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
            named[f"visual.{new}.{kind}"] = found[f"vision_model.{old}.{kind}"]
        for layer in range(3):
            old, new = f"vision_model.encoder.layers.{layer}", f"visual.transformer.resblocks.{layer}"
            sides = [found[f"{old}.self_attn.{side}_proj.{kind}"] for side in "qkv"]
            named[f"{new}.attn.in_proj_{kind}"] = torch.cat(sides)
            parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj"}
            for one, other in {**parts, "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}.items():
                named[f"{new}.{other}.{kind}"] = found[f"{old}.{one}.{kind}"]
    return named


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files of CLIP and SigLIP; OpenCLIP's activation is its own."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("vision")
    for name, activation in (("clip", "quick_gelu"), ("open", "gelu")):
        config = CLIPVisionConfig(**SIZES, projection_dim=48, hidden_act=activation)
        CLIPVisionModelWithProjection(config).save_pretrained(root / name)
    SiglipVisionModel(SiglipVisionConfig(**SIZES)).save_pretrained(root / "siglip")
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    whole = CLIPModel(CLIPConfig(vision_config=SIZES, text_config=text, projection_dim=48))
    whole.load_state_dict(load_file(root / "clip" / "model.safetensors"), strict=False)
    whole.save_pretrained(root / "whole")
    for name in ("clip", "siglip"):
        tensors = load_file(root / name / "model.safetensors")
        save_file(tensors, root / f"{name}.safetensors")
    older = {f"vision_model.{name}": one for name, one in load_file(root / "siglip.safetensors").items()}
    save_file(older, root / "siglip-older.safetensors")
    save_file(open_clip(load_file(root / "open" / "model.safetensors")), root / "open.safetensors")
    return root


@pytest.mark.parametrize(
    ("source", "like"),
    [
        ("clip", "clip"),
        ("whole", "clip"),
        ("clip.safetensors", "clip"),
        ("open", "open"),
        ("open.safetensors", "open"),
        ("siglip", "siglip"),
        ("siglip.safetensors", "siglip"),
        ("siglip-older.safetensors", "siglip"),
    ],
)
def test_a_picture_is_encoded_as_by_transformers(sources: Path, source: str, like: str) -> None:
    facts = vision_facts(Contents.of(sources / source))
    assert facts and facts.width == 64
    found = load_image_reader(facts, sources / source, "", torch.float32, "cpu").read([picture()])
    if like == "siglip":
        network: Any = SiglipVisionModel.from_pretrained(sources / like)
        prepared = SiglipImageProcessor(size={"height": 32, "width": 32})(picture(), return_tensors="pt")
    else:
        network = CLIPVisionModelWithProjection.from_pretrained(sources / like)
        prepared = CLIPImageProcessor(size=32, crop_size=32)(picture(), return_tensors="pt")
    with torch.no_grad():
        wanted = network.eval()(prepared.pixel_values, output_hidden_states=True)
    assert facts.vector == found.vectors.shape[1]
    assert torch.allclose(found.tokens, wanted.hidden_states[-2], atol=1e-5)
    assert torch.allclose(found.last, wanted.last_hidden_state, atol=1e-5)
    assert torch.allclose(found.vectors, wanted.get("image_embeds", wanted.get("pooler_output")), atol=1e-5)
