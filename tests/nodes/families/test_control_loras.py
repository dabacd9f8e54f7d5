"""Control LoRAs of FLUX.1, which make the model read a picture too, equal those of diffusers' own pipelines.

All: `pytest -m "slow or not slow" tests/nodes/families/test_control_loras.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.families import lora_files as files
from tests.nodes.families.test_flux_pictures import CALLS, controlled, graph_of, ours, theirs
from tests.nodes.oracle import Oracle, Pixels, assert_same
from weft.engine import Engine, Graph
from weft.nodes import ApplyLoRAToModel, LoadCheckpoint, LoadLoRA, MergeModels
from weft.nodes.models.denoiser import Denoiser

NORM = re.compile(r"attn\.norm_(added_)?[qk]$")

Made = Callable[..., str]


@pytest.fixture(scope="module")
def made(models: Path, zoo: Any) -> Made:
    """Write a Control LoRA for `flux-dev` by names of diffusers or of Black Forest Labs; the name of its file.

    Those of other seeds have other numbers.
    """

    def give(layout: str, seed: int = 5) -> str:
        network = Oracle(models).pipeline(zoo("flux-dev")).transformer
        generator = torch.Generator().manual_seed(seed)
        changes = files.low_rank(network, seed + 1, "attn|embedder|norm")
        narrow = changes["x_embedder"]
        wide = torch.randn(files.RANK, 2 * narrow.down.shape[1], generator=generator) / narrow.down.shape[1] ** 0.5
        changes["x_embedder"] = files.LowRank(wide, 3 * narrow.up)
        biases = {name: 0.05 * torch.randn(len(one.up), generator=generator) for name, one in changes.items()}
        norms = {
            name: 1 + 0.3 * torch.randn(module.weight.shape, generator=generator)
            for name, module in network.named_modules()
            if NORM.search(name)
        }
        if layout == "diffusers":
            tensors = files.peft(changes, "transformer.")
            tensors |= {f"transformer.{name}.lora_B.bias": one for name, one in biases.items()}
            tensors |= {f"transformer.{name}.weight": one for name, one in norms.items()}
        else:
            changes = {
                name: files.LowRank(one.down, torch.cat([one.up, biases[name][:, None]], 1))
                for name, one in changes.items()
            }
            tensors = {}
            for name, one in files.flux_names(changes).items():
                tensors[f"{name}.lora_A.weight"] = one.down
                tensors[f"{name}.lora_B.weight"] = one.up[:, :-1]
                tensors[f"{name}.lora_B.bias"] = one.up[:, -1]
            tensors |= {_published(name): one for name, one in norms.items()}
        return files.save(tensors, models / f"control-{layout}-{seed}.safetensors")

    return give


def _published(norm: str) -> str:
    """The name of a norm by Black Forest Labs."""
    found = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.attn\.norm_(added_)?([qk])", norm)
    assert found
    single, number, added, kind = found.groups()
    stem = f"single_blocks.{number}" if single else f"double_blocks.{number}.{'txt' if added else 'img'}_attn"
    return f"{stem}.norm.{'query' if kind == 'q' else 'key'}_norm.scale"


def under(name: str, strength: float = 0.8, **options: Any) -> Callable[[Any], Any]:
    return lambda model: ApplyLoRAToModel(LoadLoRA(name), model, strength=strength, **options)


@pytest.mark.parametrize("strength", [0.8, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["two at once", pytest.param("four steps", marks=pytest.mark.slow)])
def test_a_control_lora(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, made: Made, name: str, strength: float
) -> None:
    own = Oracle(models)
    pipe = own.pipeline(zoo("flux-dev"))
    pipe.load_lora_weights(str(models / made("diffusers")), adapter_name="lora")
    pipe.set_adapters(["lora"], [strength])
    picture = Pictures.open(pictures / "stripes.png")
    expected = theirs(own, "FluxControlPipeline", "flux-dev", CALLS[name], control_image=picture)
    found = ours(
        engine, "flux-dev", controlled, changed=under("control-diffusers-5.safetensors", strength), **CALLS[name]
    )
    assert_same(found, expected)
    assert numpy.abs(found - ours(engine, "flux-dev", **CALLS[name]).astype(int)).max() > 20


@pytest.mark.slow
@pytest.mark.parametrize("strengths", [(0.7, 0.5), (0.4, 1.0)])
def test_of_two_control_loras_the_last_has_the_norms(
    zoo: Any,
    models: Path,
    engine: Engine,
    oracle: Oracle,
    pictures: Path,
    made: Made,
    strengths: tuple[float, float],
) -> None:
    """Their low ranks add up; norms have no strength."""
    own = Oracle(models)
    pipe = own.pipeline(zoo("flux-dev"))
    names = [made("diffusers", seed) for seed in (5, 15)]
    for name in names:
        pipe.load_lora_weights(str(models / name), adapter_name=name[: -len(".safetensors")])
    pipe.set_adapters([name[: -len(".safetensors")] for name in names], list(strengths))
    picture = Pictures.open(pictures / "stripes.png")
    expected = theirs(own, "FluxControlPipeline", "flux-dev", CALLS["two at once"], control_image=picture)
    first, second = (under(name, strength) for name, strength in zip(names, strengths, strict=True))

    def paint(*changes: Callable[[Any], Any]) -> Pixels:
        def changed(model: Any) -> Any:
            for one in changes:
                model = one(model)
            return model

        return ours(engine, "flux-dev", controlled, changed=changed, **CALLS["two at once"])

    found = paint(first, second)
    assert_same(found, expected)
    assert (found != paint(second, first)).any()


def painted(engine: Engine, name: str, *around: Any, **options: Any) -> Pixels:
    return ours(engine, "flux-dev", *around, changed=under(name, **options))


def test_the_names_of_its_authors_mean_the_same(engine: Engine, pictures: Path, made: Made) -> None:
    own, published = (painted(engine, made(layout), controlled) for layout in ("diffusers", "published"))
    assert_same(own, published)


def test_the_model_is_what_it_was_afterwards(call: Any, context: Any, pictures: Path, made: Made) -> None:
    plain = call(LoadCheckpoint, source="flux-dev").model
    wide = call(ApplyLoRAToModel, lora=call(LoadLoRA, source=made("diffusers")), model=plain)
    with context.weights(plain, Denoiser) as denoiser:
        before = {name: one.clone() for name, one in denoiser.network.state_dict().items()}
        config, extra = dict(denoiser.network.config), denoiser.extra_channels
    with context.weights(wide, Denoiser) as denoiser:
        assert denoiser.extra_channels == 16 and denoiser.network.x_embedder.in_features == 128
    with context.weights(plain, Denoiser) as denoiser:
        assert dict(denoiser.network.config) == config and denoiser.extra_channels == extra == 0
        after = denoiser.network.state_dict()
        assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_what_does_not_go_with_it_is_a_problem_of_the_graph(engine: Engine, pictures: Path, made: Made) -> None:
    """No guide for its picture, a part of the steps, and a merge; at strength 0 it is not there."""
    name = made("diffusers")
    codes = [
        [one.code for one in engine.check(graph_of("flux-dev", *around, changed=under(name, **options))).problems]
        for around, options in (((), {}), ((controlled,), {"end": 0.5}), ((controlled,), {"strength": 0.0}))
    ]
    assert codes == [["wrong-guide"], ["conflicting-inputs"], ["wrong-guide"]]
    with Graph() as graph:
        checkpoint = LoadCheckpoint("flux-dev")
        changed: Any = ApplyLoRAToModel(LoadLoRA(name), checkpoint.model)
        graph.output("merged", MergeModels(checkpoint.model, changed))
    assert [one.node for one in engine.check(graph).problems] == ["merge_models"]
