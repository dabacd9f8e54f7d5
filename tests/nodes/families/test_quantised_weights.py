"""Weights with scales are those of the multiplied file, and what is quantised otherwise is refused from its header."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.layouts import CONTROL, Tensors, renamed, sd1, under, weights, z_image
from tests.nodes.oracle import PROMPT, SEED, SIZE
from tests.refusals import refused
from weft.engine import Engine, Graph, InputError, SearchPaths
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadTextEncoder,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.families import of_checkpoint, of_control_net, of_denoiser, of_text_models
from weft.nodes.families.sources import CheckpointSource, ModelSource, TextEncoderSource
from weft.nodes.models.contents import Contents
from weft.nodes.models.single_file import tensors

EIGHT = torch.float8_e4m3fn

Split = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def whole(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight in 8 bits with a scale of no dimension."""
    scale = weight.float().abs().max() / 448
    return (weight.float() / scale).to(EIGHT), scale.reshape(())


def one(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight in 8 bits with a list of one scale."""
    found, scale = whole(weight)
    return found, scale.reshape(1)


def by_row(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight in 8 bits with a scale for each row."""
    scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-6) / 448
    return (weight.float() / scale).to(torch.float8_e5m2), scale


FORMS: dict[str, tuple[str, Split]] = {
    "scale_weight": ("scale_weight", one),
    "number": ("weight_scale", whole),
    "rows": ("weight_scale", by_row),
}
"""How a file names its scales, and their shape."""


def quantised(found: Tensors, form: str) -> tuple[Tensors, Tensors]:
    """A file of scaled weights, and the file of their products."""
    name_of_scale, split = FORMS[form]
    stored: Tensors = {"scaled_fp8": torch.empty(0, dtype=EIGHT)}
    products: Tensors = {}
    for name, tensor in found.items():
        stem = name.removesuffix(".weight")
        if tensor.ndim == 2 and stem != name and "embed" not in name:
            weight, scale = split(tensor)
            stored |= {name: weight, f"{stem}.{name_of_scale}": scale, f"{stem}.input_scale": torch.ones(())}
            products[name] = weight.float() * scale.float()
        else:
            stored[name] = products[name] = tensor.contiguous()
    return stored, products


WHOLE: dict[str, Callable[[Path], Tensors]] = {"clip": sd1, **{name: SINGLE_FILES[name] for name in ("sdxl", "sd35")}}
"""Whole checkpoints in one file, by the folders that they are made from."""

ALONE: dict[str, tuple[str, Callable[[Path], Tensors]]] = {
    "t5": ("flux-dev", lambda folder: weights(folder, "text_encoder_2")),
    "qwen3": ("z-image", lambda folder: under(weights(folder, "text_encoder"), "model.")),
    "transformer": ("z-image", z_image),
    "control_net": (
        "edges",
        lambda folder: renamed(load_file(folder / "diffusion_pytorch_model.safetensors"), CONTROL, "control_model."),
    ),
}
"""Parts that come alone, by what they are: the folder that each is made from, and how."""

RECOGNISED = (of_checkpoint, of_denoiser, of_text_models, of_control_net)


def files(folder: Path, found: Tensors, form: str) -> tuple[Path, Path]:
    """A file of scaled weights, and one of their products."""
    paths = (folder / "scaled.safetensors", folder / "products.safetensors")
    for path, content in zip(paths, quantised(found, form), strict=True):
        save_file(content, path)
    return paths


def assert_equal_models(scaled: Path, products: Path) -> None:
    """Holds that two files are recognised as the same and give the same weights."""
    one, other = Contents.of(scaled), Contents.of(products)
    assert one.scaled and replace(one, scaled=False) == other
    assert any(recognise(one) for recognise in RECOGNISED)
    read, wanted = tensors(scaled), tensors(products)
    assert read.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in read.items())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", WHOLE)
def test_a_whole_file_with_scales_is_the_file_of_the_products(
    zoo: Any, models: Path, tmp_path: Path, model: str, form: str
) -> None:
    folder = models / (model if model == "clip" else zoo(model))
    assert_equal_models(*files(tmp_path, WHOLE[model](folder), form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", ALONE)
def test_a_part_with_scales_is_the_file_of_the_products(
    zoo: Any, models: Path, tmp_path: Path, part: str, form: str
) -> None:
    model, make = ALONE[part]
    folder = models / (model if model == "edges" else zoo(model))
    assert_equal_models(*files(tmp_path, make(folder), form))


@pytest.mark.parametrize("model", ["flux-dev", "sdxl"])
def test_a_file_with_scales_paints_what_the_products_paint(
    zoo: Any, weft_paints: Any, models: Path, model: str
) -> None:
    for path in files(models, SINGLE_FILES[model](models / zoo(model)), "scale_weight"):
        path.replace(models / f"{model}-{path.name}")
    names = (f"{model}.safetensors", f"{model}-scaled.safetensors", f"{model}-products.safetensors")
    plain, scaled, products = (weft_paints(zoo(name) if name == names[0] else name, sampler="model") for name in names)
    assert plain.std() > 5 and not numpy.array_equal(plain, scaled)
    assert numpy.array_equal(scaled, products)


SLOW_FORMS = [pytest.param(form, marks=pytest.mark.slow) for form in ("rows", "none")]
"""Slow: `pytest -m slow tests/nodes/families/test_quantised_weights.py`."""


@pytest.mark.parametrize("form", ["scale_weight", *SLOW_FORMS])
def test_pictures_by_a_t5_in_8_bits_are_those_of_its_numbers(engine: Engine, zoo: Any, models: Path, form: str) -> None:
    found = weights(models / zoo("flux-dev"), "text_encoder_2")
    SINGLE_FILES["flux-dev"](models / "flux-dev")  # puts T5's tokenizer there
    if form == "none":
        stored = {name: one.to(EIGHT) for name, one in found.items()}
        products = {name: one.float() for name, one in stored.items()}
    else:
        stored, products = quantised(found, form)
    for name, tensors_of in (("eight", stored), ("wide", products), ("whole", found)):
        save_file({key: one.contiguous() for key, one in tensors_of.items()}, models / f"t5-{name}.safetensors")
    packed, wide, exact = (painted_by_t5(engine, f"t5-{name}.safetensors") for name in ("eight", "wide", "whole"))
    assert numpy.array_equal(packed, wide) and wide.std() > 5
    assert numpy.abs(packed.astype(int) - exact.astype(int)).mean() < 3


def painted_by_t5(engine: Engine, t5: str) -> Any:
    """A picture of FLUX.1 whose T5 is a file of its own."""
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint("flux-dev")
        encoder: Any = LoadTextEncoder(checkpoint.model, "flux-dev/text_encoder", t5)
        guide = CFGGuide(checkpoint.model, TextEncode(encoder, PROMPT), None, scale=1.0)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, 1), seed=SEED, steps=2, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in SINGLE_FILES if name not in ("flux-dev", "sdxl")]
"""Slow: `pytest -m slow tests/nodes/families/test_quantised_weights.py`."""


@pytest.mark.parametrize("model", ["flux-dev", "sdxl", *OTHERS])
def test_a_file_in_8_bits_throughout_paints_what_its_numbers_paint(
    zoo: Any, weft_paints: Any, models: Path, model: str
) -> None:
    """Many files have biases and norms in 8 bits too."""
    eight = {name: one.to(EIGHT) for name, one in SINGLE_FILES[model](models / zoo(model)).items()}
    names = (f"{model}-eight.safetensors", f"{model}-widened.safetensors")
    save_file(eight, models / names[0])
    save_file({name: one.float() for name, one in eight.items()}, models / names[1])
    packed, wide = (weft_paints(name, sampler="model") for name in names)
    assert wide.std() > 5 and numpy.array_equal(packed, wide)


def test_a_product_is_rounded_once(tmp_path: Path) -> None:
    scaled, products = files(tmp_path, {"layer.weight": torch.randn(8, 8)}, "rows")
    (read,), (wanted,) = tensors(scaled, dtype=torch.bfloat16).values(), tensors(products).values()
    assert read.dtype == torch.bfloat16 and torch.equal(read, wanted.bfloat16())


def test_weights_in_8_bits_without_scales_are_read_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "plain.safetensors"
    save_file({"layer.weight": torch.randn(8, 8).to(EIGHT)}, file)
    assert Contents.of(file).shapes == {"layer.weight": (8, 8)}
    assert tensors(file)["layer.weight"].dtype == EIGHT


WHOLE_NUMBERS = torch.ones(4, 4, dtype=torch.uint8)

REFUSED: dict[str, Tensors] = {
    "nf4": {"x.weight": WHOLE_NUMBERS, "x.weight.absmax": torch.ones(4), "x.weight.quant_map": torch.ones(16)},
    "nf4-state": {"x.weight": torch.ones(4), "x.weight.quant_state.bitsandbytes__nf4": torch.ones(4)},
    "int8": {"x.weight": torch.ones(4, 4, dtype=torch.int8), "x.SCB": torch.ones(4)},
    "int8-scaled": {"x.weight": torch.ones(4, 4, dtype=torch.int8), "x.weight_scale": torch.ones(1)},
    "gptq": {"x.qweight": torch.ones(4, 4, dtype=torch.int32), "x.qzeros": torch.ones(1), "x.scales": torch.ones(4)},
    "nunchaku": {"x.qweight": torch.ones(4, 4, dtype=torch.int8), "x.wscales": torch.ones(4)},
    "torchao": {"x._weight_qdata": torch.ones(4, 4, dtype=torch.int8), "x._weight_scale": torch.ones(4)},
    "quanto": {"x.weight._data": torch.ones(4, 4, dtype=torch.int8), "x.weight._scale": torch.ones(4)},
    "compressed": {"x.weight_packed": torch.ones(4, 4, dtype=torch.int32), "x.weight_scale": torch.ones(4)},
    "nvfp4": {"x.weight": WHOLE_NUMBERS, "x.weight_scale": torch.ones(4, 1), "x.weight_scale_2": torch.ones(())},
    "blocks": {"x.weight": torch.ones(4, 4).to(EIGHT), "x.weight_scale_inv": torch.ones(2, 2)},
    "blocks-by-name": {"x.weight": torch.ones(4, 4).to(EIGHT), "x.weight_scale": torch.ones(2, 2)},
    "packed": {"x.weight": WHOLE_NUMBERS},
}
"""Files of weights that are quantised otherwise, by how."""


@pytest.mark.parametrize("form", REFUSED)
def test_other_quantised_weights_are_refused_by_name(tmp_path: Path, form: str) -> None:
    save_file({"first.weight": torch.ones(2), **REFUSED[form]}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError) as caught:
        Contents.of(tmp_path / "odd.safetensors")
    assert caught.value.code == "unsupported-weights" and "x." in caught.value.message and caught.value.hint


@pytest.mark.parametrize("dtype", ["F8_E8M0", "F4", "F6_E2M3"])
def test_types_of_blocks_are_refused(tmp_path: Path, dtype: str) -> None:
    text = json.dumps({"x.scales": {"dtype": dtype, "shape": [8], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with refused("unsupported-weights", "odd.safetensors", "x.scales"):
        Contents.of(tmp_path / "odd.safetensors")


def test_a_scale_without_its_weight_is_refused(tmp_path: Path) -> None:
    save_file({"x.scale_weight": torch.ones(1)}, tmp_path / "odd.safetensors")
    with refused("missing-weights", "odd.safetensors", "x.scale_weight", "x.weight"):
        Contents.of(tmp_path / "odd.safetensors")


def resolve(source: ModelSource, folder: Path) -> object:
    return source.resolve(folder.name, SearchPaths(working=folder.parent, models=(folder.parent,)))


def test_a_folder_that_says_it_is_quantised_is_refused(models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "epsilon", tmp_path / "small")
    config = folder / "text_encoder" / "config.json"
    given = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    config.write_text(json.dumps(json.loads(config.read_text()) | given))
    for source, root in ((CheckpointSource(), folder), (TextEncoderSource(), folder / "text_encoder")):
        with refused("unsupported-weights", "text_encoder", "bitsandbytes"):
            resolve(source, root)


@pytest.mark.parametrize("form", [*FORMS, "nf4"])
def test_a_folder_whose_files_are_quantised_is_refused(models: Path, tmp_path: Path, form: str) -> None:
    folder = shutil.copytree(models / "epsilon", tmp_path / "small")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    found = load_file(file)
    save_file(quantised(found, form)[0] if form in FORMS else {**found, **REFUSED[form]}, file)
    with refused("unsupported-weights", "unet/diffusion_pytorch_model.safetensors"):
        resolve(CheckpointSource(), folder)


@pytest.mark.parametrize(
    "ending", ["weight.scale", "scale", "weight_scales", "_scale", "qscale", "weight_s", "weight_scale.value", "zero"]
)
def test_weights_in_8_bits_next_to_what_is_not_known_are_refused(models: Path, tmp_path: Path, ending: str) -> None:
    layer = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"
    found = sd1(models / "clip")
    found[f"{layer}.weight"] = found[f"{layer}.weight"].to(EIGHT)
    save_file(found, tmp_path / "plain.safetensors")
    assert of_checkpoint(Contents.of(tmp_path / "plain.safetensors"))
    name = layer + ending if ending.startswith("_") else f"{layer}.{ending}"
    save_file({**found, name: torch.ones(())}, tmp_path / "other.safetensors")
    with refused("unsupported-weights", name):
        Contents.of(tmp_path / "other.safetensors")
