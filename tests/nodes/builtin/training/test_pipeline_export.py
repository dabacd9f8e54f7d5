"""What is exported loads in diffusers as it stands, and paints."""

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from weft.nodes.builtin import path
from weft.nodes.builtin.training.autoencoder_stage import new_autoencoder
from weft.nodes.builtin.training.pipeline_export import export_pipeline
from weft.nodes.builtin.training.unet_stage import new_text_encoder, new_unet
from weft.nodes.builtin.training.vocabulary import new_tokenizer

PROMPT = "a snowy mountain at sunset, a lake in front"


def painted(folder: Path) -> np.ndarray:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)  # type: ignore[no-untyped-call]
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 4, "guidance_scale": 5.0, "generator": torch.Generator().manual_seed(1)}
    return np.asarray(pipeline(PROMPT, **settings).images[0])


def test_an_exported_pipeline_loads_and_paints(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    for _ in range(2):
        export_pipeline(new_autoencoder(), new_unet(), new_text_encoder(new_tokenizer(tmp_path / "tokenizer")), folder)
    assert painted(folder).shape == (128, 128, 3)
    assert [child.name for child in tmp_path.iterdir() if child.name.startswith(".")] == []


def test_the_builtin_paints_a_sunset() -> None:
    picture = painted(path("landscapes")).astype(float)
    assert picture.std() > 20
    assert picture[30:60, :, 0].mean() > picture[30:60, :, 2].mean() + 20
