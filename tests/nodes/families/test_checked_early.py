"""What headers and configurations say against a graph is a problem of its check, before anything runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph, Problem
from weft.engine.events import Previewed
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    CombinePrompts,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadDiffusionModel,
    LoadImage,
    LoadTextEncoder,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)

Copied = Callable[..., str]


@pytest.fixture
def copied(zoo: Any, models: Path, tmp_path: Path) -> Copied:
    """Copy a checkpoint to change it; its name. `changes` are entries of the configuration of one component."""

    def give(name: str, component: str = "", *, without: str = "", **changes: Any) -> str:
        source = models / (name if name == "clip" else zoo(name))
        folder = tmp_path / "models" / f"changed-{name}"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(without) if without else None)
        if component:
            path = folder / component / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return folder.name

    return give


@pytest.fixture
def checking(tmp_path: Path, models: Path) -> Engine:
    """An engine over the changed copies."""
    folders: Any = [tmp_path / "models", models]
    return Engine(store=None, device="cpu", precision="float32", models=folders, output=tmp_path / "out")


def text_to_image(model: str, width: int = SIZE, height: int = SIZE, vae: str = "", **sampling: Any) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        encoder = checkpoint.text_encoder
        guide = CFGGuide(checkpoint.model, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE))
        latent = KSampler(guide, EmptyLatent(width, height), **{"steps": 2, "sampler": "model", **sampling})
        SaveImage(VAEDecode(LoadVAE(checkpoint.model, vae) if vae else checkpoint.vae, latent))
    return graph


def only_problem(engine: Engine, graph: Graph) -> Problem:
    (problem,) = engine.check(graph).problems
    assert problem.hint
    return problem


@pytest.mark.parametrize(
    ("model", "side", "sides"),
    [("sd3", 72, (16, 64)), ("flux-dev", 72, (16, 64)), ("sd3", 1024, (256,)), ("dit", 72, (16, 64))],
)
def test_a_size_that_the_model_cannot_take(
    zoo: Any, checking: Engine, model: str, side: int, sides: tuple[int, ...]
) -> None:
    """No multiple of its patches, or beyond its table of positions."""
    graph = text_to_image(zoo(model), side, SIZE)
    problem = only_problem(checking, graph)
    assert (problem.code, problem.node) == ("wrong-size", "k_sampler") and names(problem, side, *sides)


@pytest.mark.parametrize(
    ("model", "component", "changes"),
    [
        ("flux-dev", "transformer", {"in_channels": 132, "out_channels": 64}),
        ("sd3", "transformer", {"in_channels": 33}),
        ("clip", "unet", {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 64}),
        ("sd2", "unet", {"num_class_embeds": 4}),
        ("sdxl", "unet", {"encoder_hid_dim_type": "text_proj", "encoder_hid_dim": 32}),
    ],
)
def test_a_denoiser_that_reads_what_no_node_gives(
    copied: Copied, checking: Engine, model: str, component: str, changes: dict[str, Any]
) -> None:
    name = copied(model, component, **changes)
    problem = only_problem(checking, text_to_image(name))
    assert (problem.code, problem.node) == ("unsupported-network", "load_checkpoint") and names(problem, name)
    with Graph() as graph:
        LoadDiffusionModel(f"{name}/{component}")
    assert {one.code for one in checking.check(graph, only=["load_diffusion_model"]).problems} == {
        "unsupported-network"
    }


def test_an_sdxl_folder_without_its_first_text_encoder(copied: Copied, checking: Engine) -> None:
    """It is no refiner: that reads prompts of one text encoder."""
    name = copied("sdxl", without="text_encoder")
    problem = only_problem(checking, text_to_image(name))
    assert (problem.code, problem.node) == ("wrong-text-models", "load_checkpoint")
    assert names(problem, name, "clip_g", "clip_l", 64, 128)


def test_a_text_encoder_that_is_not_read_is_a_problem(copied: Copied, checking: Engine) -> None:
    problem = only_problem(checking, text_to_image(copied("clip", "text_encoder", model_type="bert")))
    assert (problem.code, problem.node) == ("wrong-text-models", "load_checkpoint")


def test_a_vae_that_is_not_read_is_a_problem_where_it_is_used(copied: Copied, checking: Engine) -> None:
    name = copied("clip", "vae", _class_name="AsymmetricAutoencoderKL")
    problem = only_problem(checking, text_to_image(name))
    assert (problem.code, problem.node) == ("wrong-kind-of-file", "load_checkpoint")
    assert names(problem, name, "AsymmetricAutoencoderKL", "LoadVAE")
    assert not checking.check(text_to_image(name, vae="clip/vae")).problems


def test_a_vae_of_other_latents_is_a_problem(copied: Copied, checking: Engine) -> None:
    problem = only_problem(checking, text_to_image(copied("clip", "vae", latent_channels=16)))
    assert problem.code == "wrong-kind-of-file" and names(problem, 4, 16)


def test_latents_of_a_vqvae_are_no_pixels(copied: Copied, checking: Engine, tmp_path: Path) -> None:
    name = copied("ddpm")
    (tmp_path / "models" / name / "vqvae").mkdir()
    (tmp_path / "models" / name / "vqvae" / "config.json").write_text('{"_class_name": "VQModel"}')
    problem = only_problem(checking, text_to_image(name))
    assert problem.code == "unknown-family" and names(problem, "vqvae")


def test_a_model_of_grey_pixels_saves_grey_pictures(zoo: Any, engine: Engine, oracle: Any) -> None:
    theirs = oracle.run(diffusers.DDPMPipeline, "model", model=zoo("ddpm-grey"), batch=1, batch_size=1)
    with Graph() as graph:
        checkpoint = LoadCheckpoint("ddpm-grey")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, ""))
        latent = KSampler(guide, EmptyLatent(32, 32), seed=7, steps=5, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    seen: list[Any] = []
    painted = read_pixels(engine.run(graph, listener=Previewed(seen.append)).paths)
    assert any(getattr(event, "preview", b"") for event in seen)
    assert theirs.std() > 5 and painted.shape == (1, 32, 32, 3)
    for channel in range(3):
        assert abs(painted[..., channel].astype(int) - theirs.reshape(1, 32, 32).astype(int)).max() <= 1


def test_prompts_of_another_width_are_a_problem(zoo: Any, checking: Engine) -> None:
    """Those of SDXL's base model for its refiner, which is of the same family; also in a list of prompts."""
    with Graph() as graph:
        base, refiner = LoadCheckpoint(zoo("sdxl")), LoadCheckpoint(zoo("sdxl-refiner"))
        prompt = CombinePrompts([TextEncode(base.text_encoder, PROMPT), TextEncode(refiner.text_encoder, PROMPT)])
        latent = KSampler(CFGGuide(refiner.model, prompt, scale=1.0), EmptyLatent(SIZE, SIZE), steps=2, sampler="model")
        SaveImage(VAEDecode(refiner.vae, latent))
    problem = only_problem(checking, graph)
    assert (problem.code, problem.node) == ("wrong-channels", "k_sampler")
    assert names(problem, "text_encode", "load_checkpoint", "load_checkpoint_2", 128, 64)


def test_prompts_of_text_encoders_that_come_alone_are_checked_too(zoo: Any, checking: Engine) -> None:
    with Graph() as graph:
        base, refiner = LoadCheckpoint(zoo("sdxl")), LoadCheckpoint(zoo("sdxl-refiner"))
        encoder: Any = LoadTextEncoder(base.model, "sdxl/text_encoder", "sdxl/text_encoder_2")
        guide = CFGGuide(refiner.model, TextEncode(encoder, PROMPT), scale=1.0)
        SaveImage(VAEDecode(refiner.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), steps=2, sampler="model")))
    assert only_problem(checking, graph).code == "wrong-channels"


@pytest.mark.parametrize(("net", "fits"), [("edges", True), ("other", False)])
def test_a_control_net_of_another_structure_is_a_problem(
    checking: Engine, pictures: Path, net: str, fits: bool
) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        picture = LoadImage(str(pictures / "stripes.png"))
        controlled = ApplyControlNet(TextEncode(checkpoint.text_encoder, PROMPT), None, LoadControlNet(net), picture)
        guide = CFGGuide(checkpoint.model, controlled.positive, scale=1.0)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), steps=2, sampler="model")))
    problems = [one for one in checking.check(graph).problems if one.node == "k_sampler"]
    assert [one.code for one in problems] == ([] if fits else ["wrong-control-net"])
    assert all(names(one, "load_control_net", "block_out_channels") for one in problems)


def test_a_file_without_text_encoders_is_a_source_of_its_parts(
    zoo: Any, models: Path, tmp_path: Path, engine: Engine, weft_paints: Any
) -> None:
    """As SD 3 is published too: the denoiser and the VAE in one file."""
    tensors = load_file(models / zoo("sd3.safetensors"))
    own = {name: one for name, one in tensors.items() if not name.startswith("text_encoders.")}
    save_file(own, models / "sd3-without.safetensors")
    with Graph() as graph:
        model: Any = LoadDiffusionModel("sd3-without.safetensors")
        encoder = LoadCheckpoint("sd3.safetensors").text_encoder
        guide = CFGGuide(model, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(LoadVAE(model, "sd3-without.safetensors"), latent))
    painted = read_pixels(engine.run(graph).paths)
    assert (painted == weft_paints("sd3.safetensors", sampler="model")).all()
    problem = only_problem(engine, text_to_image("sd3-without.safetensors"))
    assert problem.code == "wrong-kind-of-file" and names(problem, "SD3", "clip_l", "clip_g", "LoadDiffusionModel")


def test_several_text_encoders_in_one_file_are_assigned_by_their_places(
    zoo: Any, models: Path, engine: Engine, weft_paints: Any
) -> None:
    tensors = load_file(models / zoo("sdxl.safetensors"))
    own = {name: one for name, one in tensors.items() if name.startswith("conditioner.")}
    save_file(own, models / "sdxl-texts.safetensors")
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint("sdxl.safetensors")
        encoder = LoadTextEncoder(checkpoint.model, "sdxl-texts.safetensors")
        guide = CFGGuide(checkpoint.model, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    assert (read_pixels(engine.run(graph).paths) == weft_paints("sdxl.safetensors", sampler="model")).all()


def test_a_tokenizer_that_is_missing_is_a_problem(
    zoo: Any, models: Path, tmp_path: Path, checking: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    shutil.copy(models / zoo("sd3.safetensors"), tmp_path / "models" / "lonely.safetensors")
    problem = only_problem(checking, text_to_image("lonely.safetensors"))
    assert (problem.code, problem.node) == ("no-tokenizer", "load_checkpoint")


@pytest.mark.parametrize(
    ("tensors", "source"),
    [
        ({"decoder.conv_in.weight": (64, 4, 3, 3)}, "LoadVAE"),
        ({"control_model.input_hint_block.0.weight": (16, 3, 3, 3)}, "LoadControlNet"),
        ({"double_blocks.0.img_attn.qkv.weight": (4, 4)}, "LoadDiffusionModel"),
        ({"text_model.final_layer_norm.weight": (4,)}, "LoadTextEncoder"),
    ],
)
def test_no_refusal_expects_what_it_found(
    checking: Engine, tmp_path: Path, tensors: dict[str, tuple[int, ...]], source: str
) -> None:
    """A part of an unknown structure is called so, and not one thing where the same thing is expected."""
    (tmp_path / "models").mkdir()
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "models" / "odd.safetensors")
    with Graph() as graph:
        model: Any = LoadCheckpoint("epsilon").model
        loaders: dict[str, Any] = {
            "LoadVAE": lambda: LoadVAE(model, "odd.safetensors"),
            "LoadControlNet": lambda: LoadControlNet("odd.safetensors"),
            "LoadDiffusionModel": lambda: LoadDiffusionModel("odd.safetensors"),
            "LoadTextEncoder": lambda: LoadTextEncoder(model, "odd.safetensors"),
        }
        node = loaders[source]()
    (problem,) = checking.check(graph, only=[node.node]).problems
    assert problem.code == "unknown-family" and problem.hint


def test_a_sampler_that_cannot_shift_by_size_is_a_problem(copied: Copied, checking: Engine, tmp_path: Path) -> None:
    name = copied("sd3")
    path = tmp_path / "models" / name / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_dynamic_shifting": True}))
    problem = only_problem(checking, text_to_image(name, sampler="heun"))
    assert (problem.code, problem.node) == ("sampler-cannot-follow", "k_sampler") and names(problem, "heun", "euler")
    assert not checking.check(text_to_image(name, sampler="dpmpp_2m")).problems
