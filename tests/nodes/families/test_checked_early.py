"""What headers and configurations say against a graph is a problem of its check, before anything runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SIZE, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph, Problem
from weft.engine.events import Previewed
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
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
        ("flux-dev", "transformer", {"in_channels": 384, "out_channels": 64}),
        ("flux-dev", "transformer", {"in_channels": 128, "out_channels": 64}),
        ("sd3", "transformer", {"in_channels": 33}),
        ("clip", "unet", {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 64}),
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
