"""Adapters of pictures are held to the image encoder and the model that they are used with, before a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.nodes.families.image_adapters import SIZES, random
from tests.nodes.families.test_ip_adapters import painting
from tests.nodes.oracle import diffusers
from tests.refusals import names, refused
from weft.engine import Engine, SearchPaths
from weft.nodes.families.image_prompt_sources import ImageEncoderSource, IPAdapterSource
from weft.nodes.models.contents import Contents
from weft.nodes.models.cross_attentions import cross_attentions
from weft.nodes.models.image_attention import CrossAttentionWithImages, ShownImages, shown_images
from weft.nodes.models.ip_adapter_files import ip_adapter_facts
from weft.nodes.models.safetensors_header import Shapes


def with_one(adapter: str, **options: Any) -> list[dict[str, Any]]:
    return [{"adapter": adapter, "image": "ramp.png", **options}]


@pytest.mark.parametrize(
    ("model", "adapter", "code", "values"),
    [
        ("epsilon", "sdxl-plain", "wrong-adapter", ["load_ip_adapter", "load_checkpoint", 128, 64]),
        ("sdxl", "sd1-plus", "wrong-adapter", ["load_ip_adapter", "load_checkpoint", "SDXL", 128, 64]),
        ("epsilon", "sd1-short", "wrong-adapter", ["load_ip_adapter", "load_checkpoint", 3, 4]),
        ("sd3", "sd1-plain", "wrong-adapter", ["load_ip_adapter", "SD3"]),
        ("z-image", "sd1-plain", "unsupported-by-model", ["ZImage", "ApplyIPAdapter"]),
    ],
)
def test_an_adapter_for_another_network_is_a_problem(
    zoo: Any, engine: Engine, adapters: Path, model: str, adapter: str, code: str, values: list[str | float]
) -> None:
    short = load_file(adapters / "sd1-plain.safetensors")
    save_file({name: one for name, one in short.items() if ".7." not in name}, adapters / "sd1-short.safetensors")
    graph = painting(model if model == "epsilon" else zoo(model), with_one(adapter))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == (code, "k_sampler", "guide")
    assert names(problem, *values)


@pytest.mark.parametrize(
    ("blocks", "node", "code"),
    [
        ("IN12=1", "k_sampler", "unknown-layer"),
        ("down_blocks.1=1", "k_sampler", "unknown-layer"),
        ("IN=", "apply_ip_adapter", "malformed-blocks"),
        ("1, 0, 1", "k_sampler", "malformed-blocks"),
    ],
)
def test_blocks_that_the_network_has_not_are_a_problem(
    engine: Engine, adapters: Path, blocks: str, node: str, code: str
) -> None:
    (problem,) = engine.check(painting("epsilon", with_one("sd1-plain", blocks=blocks))).problems
    assert (problem.code, problem.node) == (code, node) and problem.hint


def test_an_image_encoder_of_another_size_is_a_problem(engine: Engine, adapters: Path) -> None:
    config = CLIPVisionConfig(**SIZES, num_hidden_layers=1, num_attention_heads=1, projection_dim=40)
    CLIPVisionModelWithProjection(config).save_pretrained(adapters / "other-vision")
    graph = painting("epsilon", with_one("sd1-plain"), encoder="other-vision")
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-channels", "apply_ip_adapter", "embedding")
    assert names(problem, "load_ip_adapter", "load_image_encoder", 48, 40)


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("plain", "ip_adapter.1.to_v_ip.weight", None),
        ("plain", "ip_adapter.1.to_v_ip.weight", (31, 64)),
        ("plain", "image_proj.proj.bias", None),
        ("plain", "image_proj.proj.weight", (257, 48)),
        ("full", "image_proj.proj.2.weight", (64, 63)),
        ("full", "image_proj.proj.3.bias", None),
    ],
)
def test_tensors_of_an_adapter_that_do_not_fit_are_known_before_a_run(
    engine: Engine, adapters: Path, kind: str, name: str, shape: tuple[int, ...] | None
) -> None:
    tensors = load_file(adapters / f"sd1-{kind}.safetensors")
    del tensors[name]
    save_file({**tensors, **({name: torch.zeros(shape)} if shape else {})}, adapters / "spoilt.safetensors")
    (problem,) = engine.check(painting("epsilon", with_one("spoilt"))).problems
    assert problem.code == "damaged-file" and names(problem, name)


def test_what_is_no_adapter_and_no_image_encoder_is_named(engine: Engine, adapters: Path) -> None:
    graph = painting("epsilon", with_one("vision/model"), encoder="sd1-plain.safetensors")
    found = {problem.node: problem for problem in engine.check(graph).problems}
    assert {problem.code for problem in found.values()} == {"wrong-kind-of-file"}
    assert names(found["load_ip_adapter"], "LoadImageEncoder") and names(found["load_image_encoder"], "LoadIPAdapter")


def test_tensors_that_nothing_reads_are_named(adapters: Path) -> None:
    tensors = load_file(adapters / "sd1-plus.safetensors") | {"flavour.weight": random(2, 2)}
    save_file(tensors, adapters / "strange.safetensors")
    places = SearchPaths(working=adapters, models=(adapters,))
    (notice,) = IPAdapterSource().resolve("strange.safetensors", places).notices
    assert notice.code == "unread-tensors" and "flavour.weight" in notice.message
    assert not IPAdapterSource().resolve("sd1-plus.safetensors", places).notices
    assert not ImageEncoderSource().resolve("vision", places).notices


LEVELS = {"sd15": [320, 640, 1280], "sdxl": [640, 1280]}
DEPTHS = {"sd15": [1, 1, 1], "sdxl": [2, 10]}


def published(levels: list[int], depths: list[int], width: int) -> Shapes:
    """The shapes of h94's plain adapter for a UNet with attention on these levels, two attentions deep."""
    down = [channels for channels, depth in zip(levels, depths, strict=True) for _ in range(2 * depth)]
    up = [channels for channels, depth in zip(levels[::-1], depths[::-1], strict=True) for _ in range(3 * depth)]
    layers = [*down, *up, *[levels[-1]] * depths[-1]]
    shapes: dict[str, tuple[int, ...]] = {
        "image_proj.proj.weight": (4 * width, 1024),
        "image_proj.proj.bias": (4 * width,),
        "image_proj.norm.weight": (width,),
        "image_proj.norm.bias": (width,),
    }
    for number, one in enumerate(layers):
        shapes |= {f"ip_adapter.{2 * number + 1}.to_{side}_ip.weight": (one, width) for side in "kv"}
    return shapes


CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": {
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 768,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    },
    "sdxl": {
        "block_out_channels": [320, 640, 1280],
        "cross_attention_dim": 2048,
        "transformer_layers_per_block": [1, 2, 10],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_published_adapters_are_for_the_layers_of_published_networks(name: str) -> None:
    config = CONFIGS[name]
    width = config["cross_attention_dim"]
    facts = ip_adapter_facts(Contents(shapes=published(LEVELS[name], DEPTHS[name], width)))
    assert facts and (facts.kind, facts.reads, facts.width) == ("plain", 1024, width)
    assert [layer.channels for layer in cross_attentions(config)] == list(facts.layers)
    assert {layer.width for layer in cross_attentions(config)} == {width}


NARROW = {"block_out_channels": (32, 64, 64), "norm_num_groups": 32, "attention_head_dim": 8, "cross_attention_dim": 32}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers_per_block": (1, 2, 1), "transformer_layers_per_block": (1, 2, 3)},
        {
            "layers_per_block": 1,
            "transformer_layers_per_block": (1, (2,), 3),
            "reverse_transformer_layers_per_block": ((3, 1), 2, 1),
        },
        {"mid_block_type": None, "cross_attention_dim": (16, 32, 48)},
    ],
)
def test_the_layers_that_a_configuration_says_are_those_of_the_network(options: dict[str, Any]) -> None:
    network = diffusers.UNet2DConditionModel(
        **{**NARROW, **options},
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
    )
    known = [name.removesuffix(".processor") for name in network.attn_processors if name.endswith("attn2.processor")]
    layers = [*cross_attentions(network.config)]
    assert [layer.name for layer in layers] == known
    for layer in layers:
        key = network.get_submodule(layer.name).to_k
        assert (layer.channels, layer.width) == (key.out_features, key.in_features)


@pytest.mark.parametrize("changes", [{"block_out_channels": "wide"}, {"transformer_layers_per_block": [10**9, 1]}])
def test_the_configuration_of_a_stranger_ends_no_check(engine: Engine, adapters: Path, changes: dict[str, Any]) -> None:
    folder = shutil.copytree(adapters / "epsilon", adapters / "stranger", dirs_exist_ok=True)
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads((adapters / "epsilon" / "unet" / "config.json").read_text()), **changes}))
    engine.check(painting("stranger", with_one("sd1-plain")))


def test_attention_that_is_not_torchs_own_is_refused() -> None:
    processor = CrossAttentionWithImages(lambda attn, *given: given[0], 0)
    key = torch.zeros(1, 4, 8)
    images = ShownImages(slice(None), [(key, key)], [1.0], None, (2, 2))
    with refused("unsupported-by-model"), shown_images([images]):
        processor(torch.nn.Identity(), torch.zeros(1, 4, 8))
