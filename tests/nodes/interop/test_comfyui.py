"""Graphs of ComfyUI become Weft's, from every format, and compute what ComfyUI would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.interop.classic import api, editor
from tests.nodes.oracle import diffusers
from weft.engine import Engine, Graph
from weft.engine.cli import call
from weft.engine.graph import document


def read(tree: Any) -> Graph:
    return document.read(json.dumps(tree))


def test_both_versions_of_the_editor_and_the_api_format_are_one_graph() -> None:
    plain = read(api())
    assert not plain.faults and plain.nodes["load_checkpoint"].inputs["source"] == "SD1.5/tiny.safetensors"
    assert plain.nodes["save_image"].inputs["name"] == "ComfyUI"
    assert {*plain.parameters} >= {"prompt", "negative_prompt", "seed", "width", "height", "checkpoint"}
    for version in (0.4, 1):
        edited = read(editor(version))
        assert edited.notes == "Paints a house." and replace(edited, notes="") == plain


def test_what_was_imported_is_read_again_as_it_is() -> None:
    graph = read(api())
    assert document.read(document.write(graph)) == graph == read(api())


def test_pictures_carry_graphs_of_comfyui(tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("prompt", json.dumps(api()))
    texts.add_text("workflow", json.dumps(editor()))
    Pictures.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=texts)
    assert Graph.load(tmp_path / "made.png").nodes == read(api()).nodes


def test_what_has_no_counterpart_is_named_all_at_once_with_its_package() -> None:
    tree = editor()
    named = {"properties": {"cnr_id": "comfyui-sharp"}}
    tree["nodes"] += [{"id": one, "type": f"Sharp{one}", "mode": 0, **named} for one in (20, 21)]
    graph = read(tree)
    assert [(one.node, one.code) for one in graph.faults] == [("20", "unmapped-node"), ("21", "unmapped-node")]
    assert all("comfyui-sharp" in one.message for one in graph.faults) and len(graph.nodes) == 9


def test_a_part_is_run_with_what_is_left_out_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"class_type": "FancyNode", "inputs": {"image": ["8", 0]}}
    saved = {"class_type": "SaveImage", "inputs": {"images": ["20", 0], "filename_prefix": "y"}}
    (tmp_path / "made.json").write_text(json.dumps({**api(), "20": other, "21": saved}))
    for verb in ("check", "plan", "show", "run"):
        call([verb, str(tmp_path / "made.json"), "--partial"])
        assert "FancyNode" in capsys.readouterr().err
    (tmp_path / "job.json").write_text(json.dumps({"weft_job": 1, "graph": "made.json", "sweep": {"seed": [1, 2]}}))
    call(["farm", "plan", str(tmp_path / "job.json"), "--partial"])
    assert "FancyNode" in capsys.readouterr().err


def test_a_link_to_nowhere_is_a_problem_of_its_node() -> None:
    tree = api()
    tree["8"]["inputs"]["samples"] = ["99", 0]
    assert [(one.node, one.input, one.code) for one in read(tree).faults] == [("8", "samples", "unknown-node")]


@pytest.fixture(scope="module")
def checkpoint(models: Path) -> Path:
    """A tiny SD 1.x checkpoint under the name that the classic graph has for it."""
    (models / "SD1.5").mkdir(exist_ok=True)
    save_file(layouts.sd1(models / "clip"), models / "SD1.5" / "tiny.safetensors")
    return models


@pytest.mark.parametrize("scheduler", ["normal", "ddim_uniform"])
def test_sd1_paints_what_the_formulas_give(checkpoint: Path, tmp_path: Path, scheduler: str) -> None:
    graph = read(api(scheduler=scheduler, steps=4))
    with Engine(store=None, models=[checkpoint], output=tmp_path) as engine:
        paths = engine.run(graph).paths
    ours = numpy.stack([numpy.asarray(Pictures.open(path)) for path in paths])
    theirs = restated(diffusers.StableDiffusionPipeline.from_pretrained(checkpoint / "clip"), scheduler)
    assert theirs.std() > 5 and numpy.abs(ours.astype(int) - theirs).max() <= 1


LEVELS = {"normal": (999, 666, 333, 0), "ddim_uniform": (751, 501, 251, 1)}
"""The timesteps of four steps."""


def restated(pipeline: Any, scheduler: str) -> Any:
    """The classic graph by torch and diffusers' modules: noise, noise levels, Euler's steps, guidance, VAE."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    places = LEVELS[scheduler]
    sigmas = [*(((1 - alphas[place]) / alphas[place]).sqrt().item() for place in places), 0.0]
    positive = embedded(pipeline, (("a red", 1.0), ("house", 1.3), ("by the lake", 1.0)))
    prompts = [positive, embedded(pipeline, (("night", 1.0),))]
    noise = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    whole = places[0] == 999  # else the run begins with empty latents under the noise of its first level
    x = noise * ((1 + sigmas[0] ** 2) ** 0.5 if whole else sigmas[0])
    with torch.inference_mode():
        for place, sigma, target in zip(places, sigmas, sigmas[1:], strict=False):
            seen = x / (1 + sigma**2) ** 0.5
            with_prompt, without = (pipeline.unet(seen, place, one.expand(2, -1, -1)).sample for one in prompts)
            x = x + (target - sigma) * (without + 4.0 * (with_prompt - without))
        pixels = pipeline.vae.decode(x / 0.18215).sample
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).floor().permute(0, 2, 3, 1).numpy().astype(int)


def embedded(pipeline: Any, words: tuple[tuple[str, float], ...]) -> Any:
    """A prompt whose tokens are moved away from those of the empty prompt by their weights."""
    tokenizer = pipeline.tokenizer
    numbers = [[(one, weight) for one in tokenizer(text, add_special_tokens=False).input_ids] for text, weight in words]
    tokens = [pair for run in numbers for pair in run]
    end = tokenizer.eos_token_id

    def encoded(given: list[int]) -> Any:
        row = [tokenizer.bos_token_id, *given, *[end] * (76 - len(given))]
        with torch.inference_mode():
            return pipeline.text_encoder(torch.tensor([row])).last_hidden_state

    weights = torch.ones(1, 77, 1)
    weights[0, 1 : len(tokens) + 1, 0] = torch.tensor([weight for _, weight in tokens])
    empty = encoded([])
    return empty + weights * (encoded([one for one, _ in tokens]) - empty)


PARAMETERS = """a red (house:1.3) by the lake
Negative prompt: night
Steps: 3, Sampler: DPM++ 2M Karras, CFG scale: 4, Seed: 7, Size: 64x64, Model hash: 0123, Model: tiny, Clip skip: 1"""


def test_the_parameters_of_a_picture_by_a1111_are_a_graph_that_runs(checkpoint: Path, tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("parameters", PARAMETERS)
    Pictures.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=texts)
    graph = Graph.load(tmp_path / "made.png")
    assert not graph.faults and graph.nodes["sampler"].inputs["sampler"] == "dpmpp_2m"
    assert graph.nodes["sigmas"].inputs["schedule"] == "karras" and graph.nodes["negative"].inputs["text"] == "night"
    # The file lies in ComfyUI's folder for checkpoints in a folder of models.
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    source = checkpoint / "SD1.5" / "tiny.safetensors"
    (tmp_path / "models" / "checkpoints" / "tiny.safetensors").hardlink_to(source)
    with Engine(store=None, models=[tmp_path / "models"], output=tmp_path / "out") as engine:
        assert engine.run(graph).status == "done"


def test_zeros_stand_for_a_prompt_and_turbo_runs_its_timesteps() -> None:
    tree = api()
    tree["10"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    tree["11"] = {"class_type": "SDTurboScheduler", "inputs": {"model": ["4", 0], "steps": 1, "denoise": 1.0}}
    tree["12"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler_ancestral"}}
    links = {name: tree["3"]["inputs"][name] for name in ("model", "positive", "latent_image")}
    given = {"negative": ["10", 0], "sampler": ["12", 0], "sigmas": ["11", 0], "cfg": 2.0, "noise_seed": 5}
    tree["3"] = {"class_type": "SamplerCustom", "inputs": {**links, **given, "add_noise": True}}
    graph = read(tree)
    sigmas = next(one for one in graph.nodes.values() if one.type == "MakeComfySigmas")
    assert not graph.faults and dict(sigmas.inputs) | {"model": None} == {
        "model": None,
        "steps": 10,
        "schedule": "simple",
        "end_step": 1,
        "to_zero": True,
    }
    assert "ZeroPrompt" in {one.type for one in graph.nodes.values()}
