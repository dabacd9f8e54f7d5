"""A source is recognised or refused, whatever its header or its configuration says, and within a moment."""

from __future__ import annotations

import json
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import refused
from weft.engine import InputError, SearchPaths
from weft.nodes import builtin
from weft.nodes.families.sources import (
    CheckpointSource,
    ControlNetSource,
    DenoiserSource,
    EmbeddingSource,
    ModelSource,
    TextEncoderSource,
    VAESource,
)
from weft.nodes.models.facts import PromptWidths, TextModelFacts
from weft.nodes.models.recognition import is_sound

SOURCES = (CheckpointSource, DenoiserSource, VAESource, ControlNetSource, TextEncoderSource, EmbeddingSource)

UNET = "model.diffusion_model."

ODD: dict[str, dict[str, list[int]]] = {
    "a shape of one number": {f"{UNET}input_blocks.0.0.weight": [4], "input_blocks.0.0.weight": [4]},
    "a missing tensor": {"joint_blocks.0.x_block.attn.qkv.weight": [4], "x_embedder.proj.weight": [4, 4]},
    "a block without a number": {"input_blocks.0.0.weight": [4, 4], "input_blocks.x": [4]},
    "block 99,999,999": {"input_blocks.0.0.weight": [4, 4], "input_blocks.99999999.0": [4]},
    "a block of 5000 digits": {"input_blocks.0.0.weight": [4, 4], f"input_blocks.{'9' * 900}.0": [4]},
    "a head of no channels": {
        "double_blocks.0.img_attn.norm.query_norm.scale": [0],
        "double_blocks.0.img_attn.qkv.weight": [0],
        "img_in.weight": [4, 4],
        "txt_in.weight": [4, 4],
        "vector_in.in_layer.weight": [4, 4],
    },
    "a VAE of no levels": {"decoder.mid.block_1.norm1.weight": [4], "decoder.conv_in.weight": [4]},
    "a text model of no width": {"text_model.embeddings.token_embedding.weight": [0, 0]},
    "T5 without blocks": {"shared.weight": [4, 4]},
    "an embedding of five axes": {"emb_params": [1, 1, 1, 1, 1]},
    "scales without weights": {"a.scale_weight": []},
}


def resolve(source: type[ModelSource], folder: Path, name: str) -> None:
    """Recognise a source or refuse it; any other error fails the test."""
    began = time.process_time()
    try:
        source().resolve(name, SearchPaths(working=folder))
    except InputError as refusal:
        assert refusal.hint and refusal.code
    assert time.process_time() - began < 2


@pytest.mark.parametrize("shapes", ODD.values(), ids=ODD)
def test_an_odd_header_is_refused(shapes: dict[str, list[int]], tmp_path: Path) -> None:
    entries = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps(entries).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    for source in SOURCES:
        resolve(source, tmp_path, "odd.safetensors")


VALUES: tuple[Any, ...] = ("x", [], {}, -1, 0, 2**40, 1.5, [None], ["a"], {"a": 1}, None)


def test_an_odd_configuration_is_refused_or_has_no_effect(tmp_path: Path) -> None:
    whole = json.loads((builtin.path("landscapes") / "unet" / "config.json").read_text())
    for key, value in zip(whole, cycle(VALUES), strict=False):
        (tmp_path / "config.json").write_text(json.dumps({**whole, key: value}))
        resolve(DenoiserSource, tmp_path, ".")


def test_facts_are_numbers_where_they_say_so() -> None:
    assert is_sound(TextModelFacts("clip", 64, 2)) and is_sound(None)
    for width in ("64", -1, 2.0, 2**40, None, True):
        assert not is_sound(TextModelFacts("clip", width, 2))  # type: ignore[arg-type]
    assert is_sound(PromptWidths(3))


def test_a_configuration_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    with refused("damaged-file"):
        DenoiserSource().resolve(".", SearchPaths(working=tmp_path))
