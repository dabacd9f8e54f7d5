"""GGUF files paint what the weights that they stand for paint, which stay in their blocks in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.gguf_files import KNOWN, SCALES, blocks, write_gguf
from tests.nodes.layouts import Tensors, under, weights, z_image
from tests.nodes.oracle import PROMPT, SEED, SIZE
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadLoRA,
    LoadTextEncoder,
    MergeModels,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.models.contents import Contents
from weft.nodes.models.gguf_text_names import ARCHITECTURES
from weft.nodes.models.packed_weights import BlockNumbers, packed_layers
from weft.nodes.models.safetensors_header import read_header

Paint = Callable[..., Any]


def bare(model: str, folder: Path) -> Tensors:
    """The denoiser of a folder in the layout of its authors, without a prefix, as files of it alone have it."""
    if model == "z-image":
        return z_image(folder)
    found = SINGLE_FILES[model](folder)
    prefix = "model.diffusion_model."
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def names_of(architecture: str, layers: int = 4) -> Mapping[str, str]:
    """llama.cpp's names of modules by those of transformers."""
    return {
        there.format(number): own.format(number)
        for own, there in ARCHITECTURES[architecture].items()
        for number in range(layers)
    }


@pytest.fixture
def painted(engine: Engine, zoo: Any) -> Paint:
    """Paint with a checkpoint of the zoo, whose denoiser or text encoders come from files of their own."""

    def paint(model: str, denoiser: str = "", texts: tuple[str, ...] = (), lora: str = "", mixed: str = "") -> Any:
        with Graph() as graph:
            whole = LoadCheckpoint(zoo(model))
            used: Any = LoadDiffusionModel(denoiser) if denoiser else whole.model
            if mixed:
                used = MergeModels(used, LoadDiffusionModel(mixed), ratio=0.4)
            if lora:
                used = ApplyLoRAToModel(lora=LoadLoRA(lora), model=used, strength=0.7)
            tokenizer = f"{model}/tokenizer" if len(texts) == 1 else None
            encoder: Any = LoadTextEncoder(whole.model, *texts, tokenizer=tokenizer) if texts else whole.text_encoder
            guide = CFGGuide(used, TextEncode(encoder, PROMPT), None, scale=1.0)
            latent = KSampler(guide, EmptyLatent(SIZE, SIZE, 1), seed=SEED, steps=2, sampler="model")
            SaveImage(VAEDecode(whole.vae, latent))
        return read_pixels(engine.run(graph).paths)

    return paint


DENOISERS = [
    ("flux-dev", "flux", "Q8_0"),
    ("sd35", "sd3", "Q4_0"),
    ("z-image", "lumina2", "Q5_1"),
    ("flux-dev", "flux", "Q4_K"),
    pytest.param("sdxl", "sdxl", "Q4_K", marks=pytest.mark.slow),
]
"""Blocks of Q4_K have 256 numbers, so in networks as small as these they hold the second layers of feed-forwards.

Slow: `pytest -m slow tests/nodes/families/test_gguf.py`.
"""


@pytest.mark.parametrize(("model", "architecture", "kind"), DENOISERS)
def test_a_denoiser_in_blocks_paints_what_its_numbers_paint(
    zoo: Any, models: Path, painted: Paint, model: str, architecture: str, kind: str
) -> None:
    found = bare(model, models / zoo(model))
    meant = write_gguf(models / f"{model}-{kind}.gguf", found, kind, architecture)
    assert kind in read_header(models / f"{model}-{kind}.gguf").dtypes.values()
    save_file({name: one.contiguous() for name, one in meant.items()}, models / f"{model}-{kind}.safetensors")
    packed, wide = (painted(model, f"{model}-{kind}.{ending}") for ending in ("gguf", "safetensors"))
    assert wide.std() > 5 and not numpy.array_equal(wide, painted(model))
    assert numpy.array_equal(packed, wide)


def test_weights_stay_in_their_blocks(engine: Engine, zoo: Any, call: Any, models: Path) -> None:
    meant = write_gguf(models / "small.gguf", bare("flux-dev", models / zoo("flux-dev")), "Q8_0", "flux")
    recipe = call(LoadDiffusionModel, source="small.gguf")
    with engine._context().weights(recipe) as denoiser:
        layers = dict(packed_layers(denoiser.network))
        held = sum(one.numel() * one.element_size() for _, one in denoiser.network.named_buffers())
    assert all(isinstance(one.packed, BlockNumbers) for one in layers.values()) and len(layers) > 20
    assert held < sum(one.numel() for one in meant.values()) * 1.2


@pytest.mark.parametrize("kind", [*KNOWN, *SCALES])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_blocks_are_widened_as_llama_cpp_does(kind: str, precision: torch.dtype) -> None:
    found, meant = blocks(torch.randn(6, 512), kind)
    packed = BlockNumbers(torch.from_numpy(found), kind)
    assert packed.shape == (6, 512) and torch.equal(packed.unpacked(precision), meant.to(precision))
    assert torch.equal(packed.rows(torch.tensor([4, 1])).unpacked(precision), meant[[4, 1]].to(precision))


def as_named(folder: Path, component: str, architecture: str) -> tuple[Tensors, Mapping[str, str]]:
    """A text model of a folder under transformers' names, and what GGUF calls its modules."""
    found, names = weights(folder, component), names_of(architecture)
    if architecture == "t5encoder":
        return found, names
    prefix = "model.language_model." if architecture == "qwen2vl" else "model."
    bare_names = {name.removeprefix("model.").removeprefix("language_model."): one for name, one in found.items()}
    text = {name: one for name, one in bare_names.items() if name.startswith(("layers.", "norm.", "embed_tokens."))}
    return under(text, prefix), names


TEXTS = [
    ("flux-dev", "text_encoder_2", "t5encoder", ("flux-dev/text_encoder",)),
    ("z-image", "text_encoder", "qwen3", ()),
    ("qwen-image", "text_encoder", "qwen2vl", ()),
]


@pytest.mark.parametrize(("model", "component", "architecture", "others"), TEXTS)
def test_a_text_encoder_in_blocks_reads_as_its_numbers_do(
    engine: Engine,
    zoo: Any,
    call: Any,
    models: Path,
    model: str,
    component: str,
    architecture: str,
    others: tuple[str, ...],
) -> None:
    found, names = as_named(models / zoo(model), component, architecture)
    if architecture == "t5encoder":
        bare(model, models / model)  # puts T5's tokenizer there
    file = models / f"{architecture}.gguf"
    meant = write_gguf(file, found, "Q8_0", architecture, names)
    if architecture == "qwen2vl":
        meant["visual.patch_embed.proj.weight"] = torch.zeros(1)  # by which a safetensors file is recognised
    save_file({name: one.contiguous() for name, one in meant.items()}, file.with_suffix(".safetensors"))
    whole = call(LoadCheckpoint, source=model)
    options = {} if others else {"tokenizer": f"{model}/tokenizer"}
    read = []
    for ending in (".gguf", ".safetensors"):
        sources = dict(zip(("source", "source_2"), (*others, file.name.replace(".gguf", ending)), strict=False))
        encoder = call(LoadTextEncoder, model=whole.model, **sources, **options)
        read.append(call(TextEncode, text_encoder=encoder, text=PROMPT).prompts[0].embeddings)
    assert torch.equal(*read) and read[0].std() > 0


def test_loras_and_merges_act_on_blocks_as_on_their_numbers(zoo: Any, models: Path, painted: Paint) -> None:
    found = bare("flux-dev", models / zoo("flux-dev"))
    meant = write_gguf(models / "base.gguf", found, "Q8_0", "flux")
    save_file({name: one.contiguous() for name, one in meant.items()}, models / "base.safetensors")
    save_file({name: one.float() * 0.5 + 0.01 for name, one in found.items()}, models / "other.safetensors")
    down, up = torch.randn(2, 64) * 0.2, torch.randn(64, 2) * 0.2
    module = "transformer.transformer_blocks.0.attn.to_q"
    save_file({f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}, models / "small_lora.safetensors")
    for changes in ({"lora": "small_lora.safetensors"}, {"mixed": "other.safetensors"}):
        packed, wide = (painted("flux-dev", f"base.{ending}", **changes) for ending in ("gguf", "safetensors"))
        plain = painted("flux-dev", "base.gguf")
        assert numpy.array_equal(packed, wide) and not numpy.array_equal(packed, plain)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "cut.gguf", {"x.weight": torch.randn(64, 64)}, "Q8_0", "flux")
    content = (tmp_path / "cut.gguf").read_bytes()
    for count in (6, 40, len(content) // 2):
        (tmp_path / "cut.gguf").write_bytes(content[:count])
        with refused("damaged-file", "cut.gguf"):
            read_header(tmp_path / "cut.gguf")


def test_blocks_of_other_types_are_refused(tmp_path: Path) -> None:
    text = b"x.weight"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(text)) + text
    (tmp_path / "odd.gguf").write_bytes(head + struct.pack("<IQIQ", 1, 256, 16, 0) + bytes(1000))
    with refused("unsupported-weights", "odd.gguf", "x.weight"):
        read_header(tmp_path / "odd.gguf")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "small.gguf", {"x.weight": torch.randn(64, 64)}, "Q8_0", "flux")
    assert Contents.of(tmp_path / "small.gguf").shapes == {"x.weight": (64, 64)}
    monkeypatch.setattr("weft.nodes.models.quantised_weights.find_spec", lambda name: None)
    with refused("missing-package", "small.gguf"):
        Contents.of(tmp_path / "small.gguf")
