"""A single file in the original layout is the same model as the diffusers folder that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.torch import load_file, save_file

from tests.nodes.layouts import CONTROL, renamed, sd1
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes.models.safetensors_header import read_shapes
from weft.nodes.models.single_file import below, text_config, vae_config
from weft.nodes.models.single_file_unets import control_config, diffusers_names, unet_config


@pytest.fixture(scope="session")
def single_files(models: Path) -> Path:
    """`single.safetensors` next to the folder `clip` that it was made from, and the ControlNet `edges.safetensors`."""
    save_file(sd1(models / "clip"), models / "single.safetensors")
    edges = load_file(models / "edges" / "diffusion_pytorch_model.safetensors")
    save_file(renamed(edges, CONTROL, "control_model."), models / "edges.safetensors")
    return models


def test_a_single_file_paints_what_its_folder_paints(weft_paints: Any, single_files: Path) -> None:
    """With the family's own sampler, since a single file has no scheduler of its own."""
    one, other = weft_paints("single.safetensors", sampler="pndm"), weft_paints("clip", sampler="pndm")
    assert numpy.array_equal(one, other)


def test_a_single_control_net_steers_as_its_folder_does(weft_paints: Any, single_files: Path) -> None:
    one = weft_paints(controls=[{"net": "edges.safetensors", "image": "stripes.png"}])
    other = weft_paints(controls=[{"net": "edges", "image": "stripes.png"}])
    assert numpy.array_equal(one, other)


def test_configurations_are_read_from_shapes(single_files: Path) -> None:
    shapes = read_shapes(single_files / "single.safetensors")
    unet = unet_config(diffusers_names(below("model.diffusion_model.", shapes)))
    vae = vae_config(below("first_stage_model.", shapes))
    text = text_config(below("cond_stage_model.transformer.text_model.", shapes))
    assert (unet["block_out_channels"], unet["layers_per_block"]) == ([32, 64], 1)
    assert unet["down_block_types"] == ["CrossAttnDownBlock2D", "DownBlock2D"]
    assert (vae["block_out_channels"], vae["latent_channels"]) == ([32, 32, 32, 32], 4)
    assert (text["hidden_size"], text["num_hidden_layers"], text["vocab_size"]) == (64, 2, 49408)


def test_a_control_net_is_read_from_shapes(single_files: Path) -> None:
    config = control_config(diffusers_names(below("control_model.", read_shapes(single_files / "edges.safetensors"))))
    assert config["conditioning_embedding_out_channels"] == [16, 32, 96, 256]
    assert config["cross_attention_dim"] == 64


def test_a_file_that_lacks_weights_is_refused(engine: Engine, single_files: Path, weft_paints: Any) -> None:
    tensors = load_file(single_files / "single.safetensors")
    del tensors["model.diffusion_model.middle_block.1.norm.weight"]
    save_file(tensors, single_files / "lacking.safetensors")
    with refused("missing-weights", "UNet2DConditionModel", "mid_block"):
        weft_paints("lacking.safetensors")
