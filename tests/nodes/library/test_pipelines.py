"""Whole pipelines as nodes: what they are refused for, encoded prompts, progress, cancel.

That they give what diffusers gives is held by `test_pipeline_table.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tests.nodes.oracle import diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.engine.events import NodeProgress
from weft.nodes import (
    ApplyLoRAToPipeline,
    EncodePipelinePrompt,
    LoadImage,
    LoadLoRA,
    LoadPipeline,
    RunPipeline,
    SaveImage,
    SetPipelineInput,
)
from weft.nodes.models.pipeline_parameters import admits, python_value
from weft.nodes.models.pipeline_source import exported, pipeline_class

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}


def graph_of(source: str = "epsilon", encoded: str = "", small: Any = None, **given: Any) -> Graph:
    """A graph whose output is a picture of a pipeline."""
    with Graph() as graph:
        pipeline = LoadPipeline(source)
        if encoded:
            given["inputs"] = EncodePipelinePrompt(pipeline, encoded)
        graph.output("image", RunPipeline(pipeline, **{**(small or SMALL), **given}).image)
    return graph


def pixels(engine: Engine, graph: Graph) -> Any:
    """The picture that a graph gives."""
    return engine.run(graph).outputs["image"].pixels


@pytest.mark.parametrize(
    ("given", "input", "code", "value"),
    [
        ({"prompt": "a", "strength": 0.5}, "strength", "unsupported-by-model", "strength"),
        ({"prompt": "a", "settings": {"etta": 0.5}}, "settings", "unknown-argument", "eta"),
        ({"prompt": "a", "settings": {"eta": "much"}}, "settings", "wrong-type", "eta"),
        ({"prompt": "a", "settings": {"width": 64}}, "settings", "conflicting-inputs", "width"),
        ({"prompt": "a", "settings": {"generator": 1}}, "settings", "unknown-argument", "generator"),
        ({"prompt": "a", "settings": {"latents": [1]}}, "settings", "wrong-type", "SetPipelineInput"),
        ({"prompt": "a", "settings": [1]}, "settings", "wrong-type", "settings"),
        ({}, "prompt", "missing-input", "prompt"),
        ({"prompt": "a", "encoded": "b"}, "", "", ""),
        ({"prompt": "a", "sampler": "dpmpp_sde"}, "sampler", "needs-sigmas", "sigmas"),
    ],
)
def test_what_a_pipeline_does_not_take_is_a_problem_before_a_run(
    engine: Engine, given: dict[str, Any], input: str, code: str, value: str
) -> None:
    problems = engine.check(graph_of(**given)).problems
    assert [(one.input, one.code) for one in problems] == ([(input, code)] if code else [])
    assert all(names(one, value) for one in problems)


def test_a_link_to_an_output_that_the_class_does_not_give_is_a_problem(engine: Engine) -> None:
    with Graph() as graph:
        graph.output("clip", RunPipeline(LoadPipeline("epsilon"), "a").video)
    (problem,) = engine.check(graph).problems
    assert problem.code == "output-not-given" and names(problem, "image")


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"unet": ["my_unet", "MyUNet"]}, "needs-code", "unet"),
        ({"_class_name": ["pipeline", "Mine"]}, "needs-code", "Mine"),
        ({"_class_name": "StableDiffusionPipelin"}, "unsupported-network", "StableDiffusionPipeline"),
        ({"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}, "missing-weights", "image_encoder"),
        ({"unet": None}, "missing-weights", "unet"),
    ],
)
def test_a_folder_that_needs_code_or_lacks_a_part_is_a_problem(
    models: Path, tmp_path: Path, change: dict[str, Any], code: str, value: str
) -> None:
    shutil.copytree(models / "epsilon", tmp_path / "changed")
    index = tmp_path / "changed" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **change}))
    with refused(code, value), Engine(store=None, device="cpu", models=[tmp_path]) as engine:
        engine.run(graph_of("changed", prompt="a"))


def test_an_encoded_prompt_gives_the_same_picture_and_another_seed_encodes_nothing(
    models: Path, tmp_path: Path
) -> None:
    with Engine(store=tmp_path / "store", device="cpu", models=[models], output=tmp_path) as engine:
        ran = [engine.run(graph_of(encoded="a lake", seed=seed)) for seed in (1, 2)]
        assert [("encode_pipeline_prompt" in one.ran, "run_pipeline" in one.ran) for one in ran] == [
            (True, True),
            (False, True),
        ]
        plain = pixels(engine, graph_of(prompt="a lake", seed=1))
        assert torch.equal(pixels(engine, graph_of(encoded="a lake", seed=1)), plain)


def test_each_picture_has_its_own_seed(engine: Engine) -> None:
    together = pixels(engine, graph_of(prompt="a", count=2, seed=5))
    alone = pixels(engine, graph_of(prompt="a", seed=6))
    assert numpy.abs(together[1].numpy() - alone[0].numpy()).max() < 1 / 255
    assert torch.equal(pixels(engine, graph_of(prompt="a", count=2, seed=[5, 6])), together)
    with refused("batch-mismatch", 3, 2):
        engine.run(graph_of(prompt="a", count=2, seed=[1, 2, 3]))


def test_a_sampler_by_our_name_is_the_scheduler_of_diffusers(engine: Engine, models: Path) -> None:
    bare: Any = diffusers.StableDiffusionPipeline.from_pretrained(models / "epsilon")
    bare.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        bare.scheduler.config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
    )
    bare.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {"num_inference_steps": 4, "width": 64, "height": 64, "output_type": "np"}
    wanted = bare("a", generator=torch.Generator().manual_seed(3), **options).images
    got = pixels(engine, graph_of(prompt="a", steps=4, seed=3, sampler="dpmpp_2m", schedule="karras"))
    assert numpy.array_equal(got.numpy(), wanted)


def test_loras_equal_those_of_diffusers_and_leave_no_trace(engine: Engine, models: Path) -> None:
    peft = pytest.importorskip("peft")
    bare: Any = diffusers.StableDiffusionPipeline.from_pretrained(models / "epsilon")
    bare.set_progress_bar_config(disable=True)
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
        bare.unet.add_adapter(config, adapter_name=f"n{seed}")
        layers = peft.get_peft_model_state_dict(bare.unet, adapter_name=f"n{seed}")
        diffusers.StableDiffusionPipeline.save_lora_weights(models, layers, weight_name=f"pipeline{seed}.safetensors")
    bare.unload_lora_weights()
    for seed in (1, 2):
        bare.load_lora_weights(models, weight_name=f"pipeline{seed}.safetensors", adapter_name=f"n{seed}")
    bare.set_adapters(["n1", "n2"], [0.7, 0.3])
    options: dict[str, Any] = {"num_inference_steps": 2, "width": 64, "height": 64, "output_type": "np"}
    wanted = bare("a", generator=torch.Generator().manual_seed(3), **options).images
    before = pixels(engine, graph_of(prompt="a", seed=3))
    with Graph() as graph:
        pipeline = LoadPipeline("epsilon")
        for seed, strength in ((1, 0.7), (2, 0.3)):
            pipeline = ApplyLoRAToPipeline(pipeline, LoadLoRA(f"pipeline{seed}.safetensors"), strength=strength)
        graph.output("image", RunPipeline(pipeline, "a", seed=3, **SMALL).image)
    assert numpy.array_equal(pixels(engine, graph).numpy(), wanted)
    assert torch.equal(pixels(engine, graph_of(prompt="a", seed=3)), before)


def test_a_cancelled_run_stops_at_the_next_step(engine: Engine) -> None:
    steps: list[int] = []

    def listen(event: Any) -> None:
        if isinstance(event, NodeProgress):
            steps.append(event.step)

    graph = graph_of(prompt="a", steps=50)
    result = engine.execute(engine.plan(graph), listener=listen, cancelled=lambda: len(steps) >= 2)
    assert result.status == "cancelled" and len(steps) <= 3


def test_latents_of_one_pipeline_go_into_another(engine: Engine) -> None:
    with Graph() as graph:
        pipeline = LoadPipeline("epsilon")
        first = RunPipeline(pipeline, "a", latents=True, seed=1, **SMALL)
        given = SetPipelineInput("latents", first.tensors)
        graph.output("image", RunPipeline(pipeline, "a", inputs=given, seed=1, **SMALL).image)
        graph.output("tensors", first.tensors)
    result = engine.run(graph)
    assert dict(result.outputs["tensors"].given)["latents"].shape == (1, 4, 8, 8)
    assert result.outputs["image"].pixels.shape == (1, 64, 64, 3)


def test_a_parameter_that_is_given_by_name_is_checked(engine: Engine) -> None:
    with Graph() as graph:
        given = SetPipelineInput("ip_adapter_imag", LoadImage("ramp.png"))
        SaveImage(RunPipeline(LoadPipeline("epsilon"), "a", inputs=given).image)
    (problem,) = engine.check(graph).problems
    assert (problem.input, problem.code) == ("inputs", "unknown-argument") and names(problem, "ip_adapter_image")


@pytest.mark.slow
def test_annotations_of_all_pipelines_are_read() -> None:
    """Run it by `pytest -m slow tests/nodes/library/test_pipelines.py`."""
    known = [pipeline_class(name) for name in exported() if name.endswith("Pipeline")]
    read = [one for one in known if one]
    assert len(read) > 250
    for one in read:
        for parameter in (*one.call.values(), *one.encode.values()):
            admits(parameter.annotation, 1), python_value(parameter.annotation, [1])
    flux = pipeline_class("FluxPipeline")
    assert flux and flux.loads_loras and flux.encoded == ("prompt_embeds", "pooled_prompt_embeds", "text_ids")


def test_a_pipeline_that_cannot_be_handed_embeddings_is_refused(models: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )
    diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    with Engine(store=None, device="cpu", models=[tmp_path]) as engine:
        problems = engine.check(graph_of("ddpm", encoded="a", small={"steps": 2})).problems
        assert [(one.input, one.code) for one in problems] == [("pipeline", "unsupported-by-model")]
        assert pixels(engine, graph_of("ddpm", small={"steps": 2}, seed=3)).shape == (1, 16, 16, 3)
