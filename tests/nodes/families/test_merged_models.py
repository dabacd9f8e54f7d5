"""Models of every family are merged, from folders and single files alike; what cannot be merged is a problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.nodes.conftest import read_pixels
from tests.nodes.families.other_weights import with_other_weights
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Context, Engine, Graph, named
from weft.nodes import (
    AddModels,
    AddTextEncoders,
    ApplyHypernetwork,
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    FreeU,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadLoRA,
    LoadTextEncoder,
    LoadVAE,
    MergeModels,
    MergeTextEncoders,
    MergeVAEs,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.models.stored_weights import weights_of

Zoo = Callable[[str], str]

Folders = Callable[[str], str]

Call = Callable[..., Any]

FAMILIES = (
    *("sd2.safetensors", "sdxl.safetensors", "sd3.safetensors", "flux-dev", "z-image", "qwen-image", "dit"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("sd2", "sdxl", "sd3", "sd35.safetensors")),
    pytest.param("flux-dev.safetensors", marks=pytest.mark.slow),
)
"""One form of each family; `pytest -m slow tests/nodes/families/test_merged_models.py` tries the others."""

TEXTS = (
    "sd2.safetensors",
    *(pytest.param(f"{name}.safetensors", marks=pytest.mark.slow) for name in ("sdxl", "sd3", "flux-dev")),
    pytest.param("qwen-image", marks=pytest.mark.slow),
)

RATIO = 0.3


def network(models: Path, name: str) -> dict[str, Tensor]:
    """The weights of the denoiser of a folder, in float32."""
    folder = models / name.partition(".")[0]
    (path,) = [path for part in ("unet", "transformer") for path in (folder / part).glob("*.safetensors")]
    return {key: one.float() for key, one in load_file(path).items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_merge_is_the_sum_of_the_files_in_every_family(
    name: str, models: Path, zoo: Zoo, call: Call, context: Context
) -> None:
    zoo(name)
    first, second = (call(LoadCheckpoint, source=one).model for one in (name, with_other_weights(models, name)))
    a, b = network(models, name), network(models, with_other_weights(models, name))
    with context.weights(call(MergeModels, model=first, other=second, ratio=RATIO)) as denoiser:
        found = weights_of(denoiser)
        assert found.keys() == a.keys()
        assert all(torch.equal(found[key], (1 - RATIO) * a[key] + RATIO * b[key]) for key in a)
    with context.weights(first) as denoiser:
        assert all(torch.equal(one, a[key]) for key, one in weights_of(denoiser).items())


@pytest.mark.parametrize("name", TEXTS)
def test_text_encoders_and_vaes_of_other_families_are_merged(
    name: str, models: Path, zoo: Zoo, call: Call, context: Context
) -> None:
    zoo(name)
    first, second = (call(LoadCheckpoint, source=one) for one in (name, with_other_weights(models, name)))
    for node, inputs in ((MergeTextEncoders, ("text_encoder", "other")), (MergeVAEs, ("vae", "other"))):
        recipes = [getattr(one, inputs[0]) for one in (first, second)]
        weights = []
        for recipe in recipes:
            with context.weights(recipe) as loaded:
                weights.append({key: one.clone() for key, one in weights_of(loaded).items()})
        with context.weights(call(node, **dict(zip(inputs, recipes, strict=True)), ratio=RATIO)) as loaded:
            for key, one in weights_of(loaded).items():
                assert torch.equal(one, (1 - RATIO) * weights[0][key] + RATIO * weights[1][key]), key
        with context.weights(recipes[0]) as loaded:
            assert all(torch.equal(one, weights[0][key]) for key, one in weights_of(loaded).items())


def test_a_transformer_has_shares_by_the_names_of_its_modules(
    models: Path, zoo: Zoo, call: Call, context: Context
) -> None:
    name = zoo("flux-dev")
    first, second = (call(LoadCheckpoint, source=one).model for one in (name, with_other_weights(models, name)))
    a, b = network(models, name), network(models, with_other_weights(models, name))
    blocks = "transformer_blocks.0-1=1, single_transformer_blocks.1=0.5"
    with context.weights(call(MergeModels, model=first, other=second, ratio=0.0, blocks=blocks)) as denoiser:
        for key, found in weights_of(denoiser).items():
            half = key.startswith("single_transformer_blocks.1.")
            share = 1.0 if key.startswith("transformer_blocks.") else 0.5 if half else 0.0
            assert torch.equal(found, (1 - share) * a[key] + share * b[key])
    with refused("unknown-layer"), context.weights(call(MergeModels, model=first, other=second, blocks="layers.7=1")):
        pass


def test_an_inpainting_model_takes_on_a_style(models: Path, zoo: Zoo, call: Call, context: Context) -> None:
    inpainting, plain = zoo("inpaint"), "epsilon"
    first, second = (call(LoadCheckpoint, source=one).model for one in (inpainting, plain))
    a, b = network(models, inpainting), network(models, plain)
    merged = call(AddModels, model=first, other=second, minus=second, strength=1.0)
    with context.weights(merged) as denoiser:
        found = weights_of(denoiser)["conv_in.weight"]
        assert torch.equal(found, a["conv_in.weight"])
    with context.weights(call(MergeModels, model=first, other=second, ratio=1.0)) as denoiser:
        found = weights_of(denoiser)["conv_in.weight"]
        assert torch.equal(found[:, :4], b["conv_in.weight"]) and torch.equal(found[:, 4:], a["conv_in.weight"][:, 4:])


def test_distilled_models_keep_what_plain_ones_lack(models: Path, zoo: Zoo, call: Call, context: Context) -> None:
    dev, schnell = zoo("flux-dev"), zoo("flux-schnell")
    first, second = (call(LoadCheckpoint, source=one).model for one in (dev, schnell))
    a, b = network(models, dev), network(models, schnell)
    with context.weights(call(MergeModels, model=first, other=second)) as denoiser:
        for key, found in weights_of(denoiser).items():
            assert torch.equal(found, 0.5 * a[key] + 0.5 * b[key] if key in b else a[key])
    with context.weights(call(MergeModels, model=second, other=first)) as denoiser:
        assert weights_of(denoiser).keys() == b.keys()


def merging(first: str, second: str, **options: Any) -> Graph:
    """A graph that merges two models and paints."""
    with Graph() as graph:
        model, other = named("first", LoadCheckpoint)(first), named("second", LoadCheckpoint)(second)
        merged = named("merge", MergeModels)(model.model, other.model, **options)
        guide = CFGGuide(merged, TextEncode(model.text_encoder, "a lake"))
        graph.output("image", VAEDecode(model.vae, KSampler(guide, EmptyLatent(64, 64), steps=1)))
    return graph


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("sdxl", "flux-dev", "family-mismatch"),
        ("epsilon", "v_prediction", "wrong-prediction"),
        ("sdxl", "sdxl-refiner", "wrong-size"),
        ("sdxl.safetensors", "sdxl-refiner.safetensors", "wrong-size"),
        ("epsilon", "inpaint", "wrong-channels"),
    ],
)
def test_models_that_cannot_be_merged_are_problems_that_name_both(
    first: str, second: str, code: str, models: Path, zoo: Zoo, engine: Engine
) -> None:
    known = {name: zoo(name) if not (models / name).exists() else name for name in (first, second)}
    with refused(code, "first", "second"):
        engine.run(merging(known[first], known[second]))


def test_layers_that_the_other_model_lacks_are_a_problem(folders: Folders, engine: Engine) -> None:
    """By the headers of both files, also where configurations agree."""
    (problem,) = engine.check(merging(folders("gligen"), "epsilon")).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-size", "merge", "other") and names(problem, "fuser")
    assert not engine.check(merging("epsilon", folders("gligen"))).problems


def test_a_file_and_a_folder_have_the_same_layers(zoo: Zoo, engine: Engine) -> None:
    """Layouts of authors have other names, and some weights under no name of diffusers'."""
    for file in ("flux-dev.safetensors", "sd35.safetensors", "sdxl.safetensors"):
        folder = zoo(file).removesuffix(".safetensors")
        assert not engine.check(merging(file, folder)).problems and not engine.check(merging(folder, file)).problems


@pytest.mark.parametrize(("blocks", "known"), [("transformer_blocks.0-1=0.5", True), ("transformer_blocks.7=1", False)])
def test_blocks_of_a_transformer_are_known_before_a_run(blocks: str, known: bool, zoo: Zoo, engine: Engine) -> None:
    codes = [one.code for one in engine.check(merging(zoo("flux-dev"), "flux-dev", blocks=blocks)).problems]
    assert codes == ([] if known else ["unknown-layer"])


@pytest.mark.parametrize(("blocks", "known"), [("clip_l=0.5", True), ("clip_l.encoder=0", True), ("clip_g=1", False)])
def test_parts_of_text_encoders_are_known_before_a_run(blocks: str, known: bool, engine: Engine) -> None:
    with Graph() as graph:
        first, second = LoadCheckpoint("epsilon"), LoadCheckpoint("v_prediction")
        mixed = MergeTextEncoders(first.text_encoder, second.text_encoder, blocks=blocks)
        graph.output("text", TextEncode(mixed, "a lake"))
    assert [one.code for one in engine.check(graph).problems] == ([] if known else ["unknown-layer"])


def test_parts_of_text_encoders_have_one_name_with_any_class(engine: Engine) -> None:
    """Some of transformers' classes have `text_model` before the names of modules, others have not."""
    with Graph() as graph:
        first, second = LoadCheckpoint("epsilon"), LoadCheckpoint("v_prediction")
        for output, part in (("bare", "clip_l.encoder"), ("whole", "clip_l.text_model.encoder"), ("none", "clip_l=0")):
            blocks = f"clip_l=0, {part}=0.5" if output != "none" else part
            mixed = AddTextEncoders(first.text_encoder, second.text_encoder, blocks=blocks)
            graph.output(output, TextEncode(mixed, "a lake"))
    bare, whole, none = (engine.run(graph).outputs[one].prompts[0].embeddings for one in ("bare", "whole", "none"))
    assert torch.equal(bare, whole) and not torch.equal(bare, none)


@pytest.mark.parametrize(
    ("blocks", "code"), [("IN01", "malformed-blocks"), ("IN07=1", "unknown-layer"), ("1,2,3", "malformed-blocks")]
)
def test_blocks_that_are_not_there_are_problems(blocks: str, code: str, engine: Engine) -> None:
    with refused(code, node="merge"):
        engine.run(merging("epsilon", "epsilon", blocks=blocks))


@pytest.mark.parametrize("kind", ["FreeU", "hypernetwork", "LoRA"])
def test_changes_of_more_than_weights_are_problems_of_a_merge(kind: str, models: Path, engine: Engine) -> None:
    save_file(HYPERNETWORK, models / "zero.safetensors")
    weight = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_{}.weight"
    lora = {weight.format("A"): torch.zeros(1, 64), weight.format("B"): torch.zeros(64, 1)}
    save_file(lora, models / "part.safetensors")
    with Graph() as graph:
        first, second = LoadCheckpoint("epsilon"), LoadCheckpoint("epsilon")
        changes: dict[str, Callable[[Any], Any]] = {
            "FreeU": FreeU,
            "hypernetwork": lambda model: ApplyHypernetwork(model, "zero.safetensors"),
            "LoRA": lambda model: ApplyLoRAToModel(LoadLoRA("part.safetensors"), model, start=0.5),
        }
        between = MergeModels(changes[kind](second.model), first.model)
        graph.output("model", named("merge", MergeModels)(first.model, between))
    with refused("unsupported-by-model", node="merge"):
        engine.run(graph)


HYPERNETWORK = {
    **{f"64.{side}.linear.0.weight": torch.zeros(64, 64) for side in (0, 1)},
    **{f"64.{side}.linear.0.bias": torch.zeros(64) for side in (0, 1)},
}


def test_text_encoders_and_vaes_that_cannot_be_merged_are_problems(zoo: Zoo, engine: Engine) -> None:
    with Graph() as graph:
        sdxl, refiner = LoadCheckpoint(zoo("sdxl")), LoadCheckpoint(zoo("sdxl-refiner"))
        encoder = named("texts", MergeTextEncoders)(sdxl.text_encoder, refiner.text_encoder)
        graph.output("text", TextEncode(encoder, "a lake"))
    with refused("wrong-text-models", node="texts"):
        engine.run(graph)
    with Graph() as graph:
        words, others = LoadCheckpoint("epsilon"), LoadCheckpoint("clip")
        encoder = named("texts", MergeTextEncoders)(words.text_encoder, others.text_encoder)
        graph.output("text", TextEncode(encoder, "a lake"))
    assert [(one.node, one.code) for one in engine.check(graph).problems] == [("texts", "wrong-text-models")]
    with Graph() as graph:
        whole = LoadCheckpoint("epsilon")
        vae = named("vaes", MergeVAEs)(whole.vae, LoadVAE(whole.model, f"{zoo('tiny-vae')}/vae"))
        graph.output("image", VAEDecode(vae, EmptyLatent(64, 64)))
    with refused("wrong-size", node="vaes"):
        engine.run(graph)


def test_parts_from_files_of_their_own_are_merged(engine: Engine) -> None:
    with Graph() as graph:
        alone = LoadDiffusionModel("epsilon/unet")
        encoder = LoadTextEncoder(alone, "epsilon/text_encoder")
        whole = LoadCheckpoint("epsilon")
        mixed = MergeTextEncoders(encoder, whole.text_encoder, ratio=0.5)
        guide = CFGGuide(MergeModels(alone, whole.model, ratio=0.25), TextEncode(mixed, "a lake"))
        graph.output("image", VAEDecode(whole.vae, KSampler(guide, EmptyLatent(64, 64), steps=1)))
        plain = CFGGuide(alone, TextEncode(encoder, "a lake"))
        graph.output("plain", VAEDecode(whole.vae, KSampler(plain, EmptyLatent(64, 64), steps=1)))
    outputs = engine.run(graph).outputs
    assert torch.allclose(outputs["image"].pixels, outputs["plain"].pixels, atol=1e-4)


def summed(models: Path, name: str, component: str, total: Callable[[Tensor, Tensor, str], Tensor]) -> None:
    """Put the sums of two SD 1 models' weights into a component of a copy of the first."""
    first, second, made = (
        models / folder / component for folder in ("epsilon", with_other_weights(models, "epsilon"), name)
    )
    if not (models / name).exists():
        copytree(models / "epsilon", models / name)
    (path,) = first.glob("*.safetensors")
    a, b = load_file(path), load_file(second / path.name)
    save_file({key: total(a[key], b[key], key) for key in a}, made / path.name, {"format": "pt"})


@pytest.mark.parametrize("case", ["mixed", "added", "in blocks", "with text"])
def test_pictures_of_merged_models_are_those_of_diffusers_with_the_sums(
    case: str, models: Path, oracle: Oracle, engine: Engine
) -> None:
    sums: dict[str, Callable[[Tensor, Tensor, str], Tensor]] = {
        "mixed": lambda a, b, key: 0.6 * a + 0.4 * b,
        "added": lambda a, b, key: a + 0.25 * (b - a),
        "in blocks": lambda a, b, key: 0.5 * a + 0.5 * b if key.startswith("mid_block") else a,
        "with text": lambda a, b, key: 0.9 * a + 0.1 * b,
    }
    name = f"summed {case}"
    summed(models, name, "unet", sums[case])
    if case == "with text":
        summed(models, name, "text_encoder", sums[case])
    with Graph() as graph:
        one, two = LoadCheckpoint("epsilon"), LoadCheckpoint(with_other_weights(models, "epsilon"))
        model: Any = MergeModels(one.model, two.model, ratio=0.1 if case == "with text" else 0.4)
        text: Any = one.text_encoder
        if case == "added":
            model = AddModels(one.model, two.model, minus=one.model, strength=0.25)
        if case == "in blocks":
            model = MergeModels(one.model, two.model, ratio=0.0, blocks="M00=0.5")
        if case == "with text":
            text = MergeTextEncoders(text, two.text_encoder, ratio=0.1)
        guide = CFGGuide(model, TextEncode(text, PROMPT), TextEncode(text, NEGATIVE), scale=SCALE)
        SaveImage(VAEDecode(one.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="ddim")))
    pictures = read_pixels(engine.run(graph).paths)
    assert_same(pictures, oracle.paint(diffusers.StableDiffusionPipeline, "ddim", model=name))
