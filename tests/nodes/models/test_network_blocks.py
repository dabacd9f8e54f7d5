"""Numbers for blocks: how they are written, and which weights each block has."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.refusals import refused
from weft.nodes.models.network_blocks import (
    BlockNumber,
    block_names,
    check_modules,
    check_unet_blocks,
    number_for,
    read_blocks,
    unet_block,
    unet_config,
)
from weft.nodes.models.single_file_unets import diffusers_names

SD1: dict[str, Any] = {"down_block_types": ["CrossAttnDownBlock2D"] * 4, "layers_per_block": 2}

SDXL: dict[str, Any] = {"down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2], "layers_per_block": 2}


def as_written(text: str) -> dict[str, float]:
    return {block.name: block.number for block in read_blocks(text)}


def test_blocks_are_named_one_by_one_in_ranges_by_sides_and_by_modules() -> None:
    assert as_written("IN00=0.25, in1-IN03 = 0.5\nM00=1,OUT=-1") == {
        "IN00": 0.25,
        "IN01": 0.5,
        "IN02": 0.5,
        "IN03": 0.5,
        "M00": 1,
        "OUT": -1,
    }
    assert as_written("transformer_blocks.9-11=2, MID=0.5, clip_l.encoder=0") == {
        "transformer_blocks.9": 2,
        "transformer_blocks.10": 2,
        "transformer_blocks.11": 2,
        "M00": 0.5,
        "clip_l.encoder": 0,
    }
    assert as_written("") == {}


@pytest.mark.parametrize(("count", "config"), [(25, SD1), (19, SDXL)])
def test_a_list_of_numbers_is_one_for_each_block(count: int, config: dict[str, Any]) -> None:
    found = read_blocks(",".join(str(index / 100) for index in range(count)))
    assert tuple(block.name for block in found) == block_names(config)
    assert [block.number for block in found] == [index / 100 for index in range(count)]


@pytest.mark.parametrize("text", ["1, 2", "IN00", "IN00=x", "IN00=nan", "=1", "IN05-IN01=1", "a b=1", "0.5"])
def test_other_texts_are_refused(text: str) -> None:
    with refused("malformed-blocks"):
        read_blocks(text)


ORIGINAL: dict[str, dict[str, list[Any]]] = {
    "SD1": {
        **{f"input_blocks.{index}": [0, 1] for index in (1, 2, 4, 5, 7, 8)},
        **{f"input_blocks.{index}": ["op"] for index in (3, 6, 9)},
        **{f"input_blocks.{index}": [0] for index in (10, 11)},
        **{f"output_blocks.{index}": [0] for index in (0, 1)},
        "output_blocks.2": [0, "up"],
        **{f"output_blocks.{index}": [0, 1] for index in (3, 4, 6, 7, 9, 10, 11)},
        **{f"output_blocks.{index}": [0, 1, "up"] for index in (5, 8)},
    },
    "SDXL": {
        **{f"input_blocks.{index}": [0] for index in (1, 2)},
        **{f"input_blocks.{index}": ["op"] for index in (3, 6)},
        **{f"input_blocks.{index}": [0, 1] for index in (4, 5, 7, 8)},
        **{f"output_blocks.{index}": [0, 1] for index in (0, 1, 3, 4)},
        **{f"output_blocks.{index}": [0, 1, "up"] for index in (2, 5)},
        **{f"output_blocks.{index}": [0] for index in (6, 7, 8)},
    },
}
"""The numbered blocks of published UNets in the layout of latent diffusion, with the modules of each."""


@pytest.mark.parametrize(("family", "config"), [("SD1", SD1), ("SDXL", SDXL)])
def test_blocks_are_those_of_the_original_layout(family: str, config: dict[str, Any]) -> None:
    endings = {0: "in_layers.0.weight", 1: "proj_in.weight"}
    names = {
        (f"{block}.0.op.weight" if one == "op" else f"{block}.{index}.conv.weight" if one == "up" else ""): block
        for block, modules in ORIGINAL[family].items()
        for index, one in enumerate(modules)
        if isinstance(one, str)
    } | {
        f"{block}.{one}.{endings[one]}": block
        for block, modules in ORIGINAL[family].items()
        for one in modules
        if isinstance(one, int)
    }
    renamed = diffusers_names({**{name: name for name in names}, "middle_block.0.in_layers.0.weight": ""})
    found = {own: unet_block(new, config) for new, own in renamed.items() if own}
    sides = {"input_blocks": "IN", "output_blocks": "OUT"}
    wanted = {
        name: f"{sides[block.split('.')[0]]}{int(block.split('.')[1]):02}" for name, block in names.items() if name
    }
    assert found == wanted


def test_what_lies_outside_of_numbered_blocks_counts_with_the_first_and_the_last() -> None:
    block = partial(unet_block, config=SD1)
    assert [block(f"{name}.weight") for name in ("conv_in", "time_embedding.linear_1")] == ["IN00", "IN00"]
    assert [block(f"{name}.weight") for name in ("conv_norm_out", "conv_out")] == ["OUT11", "OUT11"]
    assert block("mid_block.resnets.0.conv1.weight") == "M00" and block("add_embedding.linear_1.weight") is None


def test_the_last_number_that_fits_a_weight_counts() -> None:
    blocks = read_blocks("IN=0.1, IN01=0.2, down_blocks.0.attentions=0.3, transformer_blocks.1=0.4")
    number = partial(number_for, blocks=blocks, usual=0.5)
    assert number("down_blocks.0.resnets.0.conv1.weight", config=SD1) == 0.2
    assert number("down_blocks.0.resnets.1.conv1.weight", config=SD1) == 0.1
    assert number("down_blocks.0.attentions.0.proj_in.weight", config=SD1) == 0.3
    assert number("mid_block.resnets.0.conv1.weight", config=SD1) == 0.5
    assert number("transformer_blocks.1.ff.weight", config={}) == 0.4
    assert number("transformer_blocks.10.ff.weight", config={}) == 0.5


def test_a_block_that_a_network_does_not_have_is_refused() -> None:
    check_unet_blocks(read_blocks("IN11=1, M00=1, OUT=1, transformer_blocks.99=1"), SD1)
    check_modules(read_blocks("IN99=1, a.b=1, a=1"), ["a.b.weight"])
    with refused("unknown-layer"):
        check_unet_blocks(read_blocks("IN09=1"), SDXL)
    with refused("unknown-layer"):
        check_unet_blocks((BlockNumber("M00", 1.0),), {"num_layers": 2})
    with refused("unknown-layer"):
        check_modules(read_blocks("a.c=1"), ["a.b.weight"])


def test_a_list_of_numbers_for_another_network_is_refused() -> None:
    with refused("malformed-blocks", 25, 19):
        check_unet_blocks(read_blocks(",".join(["1"] * 25)), SDXL)


@pytest.mark.parametrize("config", [SD1, SDXL, {**SD1, "layers_per_block": [1, 2, 3, 4]}])
def test_the_blocks_of_a_network_are_known_from_its_weights(config: dict[str, Any]) -> None:
    counts = config["layers_per_block"]
    layers = counts if isinstance(counts, list) else [counts] * len(config["down_block_types"])
    names = [f"down_blocks.{level}.resnets.{one}.x" for level, count in enumerate(layers) for one in range(count)]
    assert block_names(unet_config(names)) == block_names(config)
    assert unet_config(["transformer_blocks.0.attn.to_q.weight", "encoder.down_blocks.0.resnets.0.x"]) == {}
