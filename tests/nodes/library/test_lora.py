"""LoRAs on one base: what is shared, what is left behind, when they act, and what is refused before a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import CLIPTextModel

from tests.nodes.conftest import Lend
from tests.nodes.families import lora_files as files
from tests.nodes.oracle import PROMPT, SEED, diffusers
from tests.refusals import names
from weft.engine import Context, Engine, Graph, InputError, NodeType
from weft.engine.events import NodeProgress
from weft.engine.store.codec import content_digest
from weft.nodes import (
    ApplyLoRA,
    ApplyLoRAToModel,
    CFGGuide,
    Checkpoint,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadLoRA,
    TextEncode,
)
from weft.nodes.families.sources import LoRASource
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.prompting.prompt_encoder import PromptEncoder

SIDE = 32

LORAS = ("first", "second")


@pytest.fixture(scope="module")
def loras(models: Path) -> Mapping[str, files.Tensors]:
    """Two LoRAs of the tiny SD 1 model, as files of the models folder; what is in them."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "epsilon" / "unet")
    text = CLIPTextModel.from_pretrained(models / "epsilon" / "text_encoder")
    made: dict[str, files.Tensors] = {}
    for seed, name in enumerate(LORAS):
        made[name] = files.kohya(files.low_rank(unet, seed, "attn"), "lora_unet_")
        words = {files.text_name(one): change for one, change in files.low_rank(text, seed).items()}
        made[name] |= files.kohya(words, "lora_te_")
        files.save(made[name], models / f"{name}.safetensors", ss_base_model_version="sd_v1")
    return made


@pytest.fixture
def fresh(models: Path, loras: Any, tmp_path: Path) -> Engine:
    """An engine that has loaded nothing."""
    return Engine(store=None, device="cpu", precision="float32", models=[models], output=tmp_path)


def branch(lora: str, strength: float = 1.0, *, steps: int = 2, **applied: Any) -> Any:
    """Latents of the tiny model under a LoRA; within a graph."""
    checkpoint = LoadCheckpoint("epsilon")
    loaded = LoadLoRA(f"{lora}.safetensors")
    model, text = ApplyLoRA(loaded, checkpoint.model, checkpoint.text_encoder, strength=strength, **applied)
    guide = CFGGuide(model, TextEncode(text, PROMPT), scale=3.0)
    return KSampler(guide, EmptyLatent(SIDE, SIDE), seed=SEED, steps=steps, sampler="euler")


def alone(lora: str, **given: Any) -> Graph:
    with Graph() as graph:
        graph.output("latent", branch(lora, **given))
    return graph


def both() -> Graph:
    with Graph() as graph:
        for lora in LORAS:
            graph.output(lora, branch(lora))
    return graph


def samples(result: Any, name: str = "latent") -> torch.Tensor:
    found: torch.Tensor = result.outputs[name].samples
    return found


def lent(engine: Engine) -> Context:
    return cast(Context, engine.run_now(cast(NodeType, Lend), {}))


def weights(engine: Engine) -> dict[str, torch.Tensor]:
    """The weights of the tiny model without any LoRA, as an engine has them now."""
    checkpoint: Checkpoint[Any] = engine.run_now(cast(NodeType, LoadCheckpoint), {"source": "epsilon"})
    context = lent(engine)
    with context.weights(checkpoint.model, Denoiser) as model, context.weights(checkpoint.text_encoder) as text:
        own = {name: one.detach().clone() for name, one in model.network.named_parameters()}
        (encoder,) = cast(PromptEncoder, text).networks
        return own | {f"text {name}": one.detach().clone() for name, one in encoder.named_parameters()}


@pytest.fixture(scope="module")
def base(models: Path) -> dict[str, torch.Tensor]:
    """The weights as they are in the files."""
    return weights(Engine(store=None, device="cpu", precision="float32", models=[models]))


def unchanged(engine: Engine, base: Mapping[str, torch.Tensor]) -> bool:
    """Whether an engine's weights are bit for bit those of the files."""
    found = weights(engine)
    return found.keys() == base.keys() and all(torch.equal(found[name], base[name]) for name in base)


def keeps_one_copy(engine: Engine, loras: Mapping[str, files.Tensors]) -> bool:
    """Whether an engine keeps one copy of the model and the LoRAs, and nothing else."""
    plain = Engine(store=None, device="cpu", precision="float32", models=engine.models)
    weights(plain)
    tensors = [one for lora in loras.values() for one in lora.values()]
    own: int = sum(4 * one.numel() for one in tensors)
    found: int = lent(engine).residency.used
    return bool(found == lent(plain).residency.used + own)


def test_two_branches_share_one_base(fresh: Engine, loras: Any, base: Any) -> None:
    result = fresh.run(both())
    assert keeps_one_copy(fresh, loras)
    assert unchanged(fresh, base)
    for name in LORAS:
        assert torch.equal(samples(result, name), samples(fresh.run(alone(name))))
    assert not torch.equal(samples(result, "first"), samples(result, "second"))


def test_two_submissions_at_once_share_one_base(fresh: Engine, loras: Any, base: Any) -> None:
    runs = [fresh.submit(alone(name)) for name in LORAS]
    found = [samples(run.result(60)) for run in runs]
    assert keeps_one_copy(fresh, loras)
    assert unchanged(fresh, base)
    assert all(torch.equal(one, samples(fresh.run(alone(name)))) for one, name in zip(found, LORAS, strict=True))


def test_a_run_that_is_cancelled_within_its_steps_leaves_the_base(fresh: Engine, base: Any) -> None:
    run = fresh.submit(alone("first", steps=50))
    for event in run:
        if isinstance(event, NodeProgress):
            run.cancel()
    assert run.result(60).status == "cancelled" and unchanged(fresh, base)


CHANGED = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"


def test_a_node_that_fails_under_a_lora_leaves_the_base(fresh: Engine, base: Any) -> None:
    with Graph() as graph:
        graph.output("model", ApplyLoRAToModel(LoadLoRA("first.safetensors"), LoadDiffusionModel("epsilon")))
    model = fresh.run(graph).outputs["model"]
    with pytest.raises(ZeroDivisionError), lent(fresh).weights(model, Denoiser) as denoiser:
        assert not torch.equal(denoiser.network.get_parameter(CHANGED), base[CHANGED])
        raise ZeroDivisionError
    assert unchanged(fresh, base)


def test_a_hundred_items_under_one_lora_are_patched_once(fresh: Engine, call: Any) -> None:
    applied = fresh.run(texts("first")).outputs["text"]
    places = set()
    for _ in range(100):
        with lent(fresh).weights(applied, PromptEncoder) as encoder:
            places.add(encoder.networks[0].get_parameter("encoder.layers.0.mlp.fc1.weight").data_ptr())
    assert len(places) == 1


def texts(lora: str, **applied: Any) -> Graph:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        made = ApplyLoRA(LoadLoRA(f"{lora}.safetensors"), checkpoint.model, checkpoint.text_encoder, **applied)
        graph.output("model", made.model)
        graph.output("text", made.text_encoder)
    return graph


def test_strength_0_is_the_model_without_the_lora(fresh: Engine) -> None:
    made = fresh.run(texts("first", strength=0.0)).outputs
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        graph.output("model", checkpoint.model)
        graph.output("text", checkpoint.text_encoder)
    plain = fresh.run(graph).outputs
    assert {name: content_digest(one) for name, one in made.items()} == {
        name: content_digest(one) for name, one in plain.items()
    }


def test_the_strength_of_the_text_encoder_is_that_of_the_model_unless_it_is_given(fresh: Engine) -> None:
    both = fresh.run(texts("first", strength=0.5)).outputs
    own = fresh.run(texts("first", strength=0.5, text_encoder_strength=0.0)).outputs
    assert both["text"].changes[0].loras[0].strength == 0.5 and own["text"].changes == ()


def in_halves(start: Callable[[Any], Any], end: Callable[[Any], Any]) -> Graph:
    """Four steps in two samplers, each with a model of its own."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        prompt = TextEncode(checkpoint.text_encoder, PROMPT)
        latent: Any = EmptyLatent(SIDE, SIDE)
        for make, given in ((start, {"end_step": 2}), (end, {"start_step": 2, "add_noise": False})):
            guide = CFGGuide(make(checkpoint.model), prompt, scale=3.0)
            latent = KSampler(guide, latent, seed=SEED, steps=4, sampler="euler", **cast(Any, given))
        graph.output("latent", latent)
    return graph


def with_lora(model: Any, **applied: Any) -> Any:
    return ApplyLoRAToModel(LoadLoRA("first.safetensors"), model, **applied)


@pytest.mark.parametrize(
    ("part", "start", "end"),
    [
        ({"end": 0.5}, with_lora, lambda model: model),
        ({"start": 0.5}, lambda model: model, with_lora),
        ({"start": 0.5, "strength": 0.7}, lambda model: model, lambda model: with_lora(model, strength=0.7)),
    ],
)
def test_a_part_of_the_steps(fresh: Engine, base: Any, part: Any, start: Any, end: Any) -> None:
    """A single-step sampler in two parts, one with the LoRA, gives the same."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guide = CFGGuide(with_lora(checkpoint.model, **part), TextEncode(checkpoint.text_encoder, PROMPT), scale=3.0)
        graph.output("latent", KSampler(guide, EmptyLatent(SIDE, SIDE), seed=SEED, steps=4, sampler="euler"))
    assert torch.equal(samples(fresh.run(graph)), samples(fresh.run(in_halves(start, end))))
    assert unchanged(fresh, base)


def checked(engine: Engine, lora: str, **applied: Any) -> Any:
    """The problems of a graph that adds a LoRA to the tiny model."""
    with Graph() as graph:
        graph.output("model", ApplyLoRAToModel(LoadLoRA(lora), LoadDiffusionModel("epsilon"), **applied))
    return engine.check(graph).problems


def test_a_lora_of_another_family_is_a_problem(fresh: Engine, models: Path) -> None:
    tensors = files.peft(files.one("single_transformer_blocks.0.norm.linear", 64, 64), "transformer.")
    (problem,) = checked(fresh, files.save(tensors, models / "flux.safetensors"))
    assert problem.code == "family-mismatch" and names(problem, "FLUX", "SD1")


def test_a_lora_that_could_be_of_several_families_is_refused_by_its_modules(fresh: Engine, models: Path) -> None:
    tensors = files.peft(files.one("single_transformer_blocks.0.proj_out", 64, 64), "transformer.")
    (problem,) = checked(fresh, files.save(tensors, models / "flux.safetensors"))
    assert problem.code == "wrong-lora" and names(problem, "single_transformer_blocks.0.proj_out")


@pytest.mark.parametrize("width", [768, 96])
def test_a_lora_of_other_widths_is_a_problem_that_names_both_ends(fresh: Engine, models: Path, width: int) -> None:
    changes = files.one("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 32, width)
    (problem,) = checked(fresh, files.save(files.kohya(changes, "lora_unet_"), models / "wide.safetensors"))
    assert problem.code == "wrong-lora" and names(problem, f"32 x {width}", "32 x 64", "wide.safetensors", "epsilon")


def test_a_lora_of_modules_that_a_model_lacks_is_a_problem_that_names_them(fresh: Engine, models: Path) -> None:
    tensors = files.peft(files.one("mid_block.attentions.7.proj_in", 64, 64), "unet.")
    (problem,) = checked(fresh, files.save(tensors, models / "deep.safetensors"))
    assert problem.code == "wrong-lora" and names(problem, "unet.mid_block.attentions.7.proj_in")


def test_a_tensor_that_is_not_read_is_a_problem_that_names_it(fresh: Engine, models: Path, loras: Any) -> None:
    tensors = {**loras["first"], "lora_unet_mid_block.oft_blocks": torch.ones(2)}
    name = files.save(tensors, models / "odd.safetensors")
    (problem,) = checked(fresh, name)
    assert problem.code == "unsupported-weights" and names(problem, "lora_unet_mid_block.oft_blocks")


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ("down_blocks.7=1", "unknown-layer"),
        ("IN20=1", "unknown-layer"),
        ("mid_block=", "malformed-blocks"),
        ("1, 0, 1", "malformed-blocks"),
    ],
)
def test_blocks_that_there_are_not_are_problems(fresh: Engine, blocks: str, code: str) -> None:
    (problem,) = checked(fresh, "first.safetensors", blocks=blocks)
    assert problem.code == code and problem.input == "blocks"


def test_a_number_for_each_block_is_counted_in_the_run_too(fresh: Engine, call: Any, context: Context) -> None:
    model = call(LoadDiffusionModel, source="epsilon")
    applied = call(ApplyLoRAToModel, lora=call(LoadLoRA, source="first.safetensors"), model=model, blocks="1, 0, 1")
    with pytest.raises(InputError) as refusal, context.weights(applied, Denoiser):
        pass
    assert refusal.value.code == "malformed-blocks"


def test_other_loaders_name_the_one_for_loras(fresh: Engine) -> None:
    with Graph() as graph:
        graph.output("model", LoadCheckpoint("first.safetensors").model)
    (problem,) = fresh.check(graph).problems
    assert problem.code == "wrong-kind-of-file" and names(problem, "LoadLoRA")


def test_a_check_of_a_lora_imports_nothing_heavy(models: Path, loras: Any) -> None:
    script = f"""if True:
        import sys
        from weft.engine import Engine, Graph
        from weft.nodes import *
        with Graph() as graph:
            graph.output("model", ApplyLoRAToModel(LoadLoRA("first.safetensors"), LoadDiffusionModel("epsilon")))
        engine = Engine(store=None, device="cpu", models=[{str(models)!r}])
        assert not engine.check(graph).problems, engine.check(graph).problems
        print([name for name in ("torch", "diffusers", "numpy") if name in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_lora_of_a_wider_text_encoder_is_a_problem(fresh: Engine, models: Path) -> None:
    changes = files.one("text_model.encoder.layers.1.mlp.fc1", 96, 96)
    name = files.save(files.kohya(changes, "lora_te_"), models / "words.safetensors")
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        graph.output("text", ApplyLoRA(LoadLoRA(name), checkpoint.model, checkpoint.text_encoder).text_encoder)
    (problem,) = fresh.check(graph).problems
    assert problem.code == "wrong-lora" and names(problem, "words.safetensors", "clip_l")


def texts_problems(engine: Engine, tensors: files.Tensors, path: Path) -> Any:
    """The problems of a graph that adds a LoRA to the tiny model and its text encoder."""
    name = files.save(tensors, path)
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        graph.output("text", ApplyLoRA(LoadLoRA(name), checkpoint.model, checkpoint.text_encoder).text_encoder)
    return engine.check(graph).problems


@pytest.mark.parametrize(
    "module", ["final_layer_norm", "encoder_layers_1_layer_norm2", "embeddings_position_embedding"]
)
def test_whatever_a_text_encoder_has_may_be_changed(
    fresh: Engine, models: Path, tmp_path: Path, loras: Any, module: str
) -> None:
    """LyCORIS trains normalisations too (`w_norm`); a check knows them as a run does."""
    shape = (77, 64) if "position" in module else (64,)
    role = "w_norm" if "norm" in module else "diff"
    changed = {f"lora_te_text_model_{module}.{role}": torch.ones(shape), **loras["first"]}
    assert not texts_problems(fresh, changed, models / "norms.safetensors")
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        for lora in ("norms.safetensors", "first.safetensors"):
            text = ApplyLoRA(LoadLoRA(lora), checkpoint.model, checkpoint.text_encoder).text_encoder
            graph.output(lora[:5], TextEncode(text, PROMPT))
    norms, first = (fresh.run(graph).outputs[one].prompts[0].embeddings for one in ("norms", "first"))
    assert not torch.equal(norms, first)


@pytest.mark.parametrize("prefix", ["lora_te2_", "lora_te3_"])
def test_a_lora_that_changes_nothing_that_there_is_is_a_problem(fresh: Engine, models: Path, prefix: str) -> None:
    tensors = files.kohya(files.one("text_model.encoder.layers.1.mlp.fc1", 64, 64), prefix)
    (problem,) = texts_problems(fresh, tensors, models / "others.safetensors")
    assert problem.code == "wrong-lora" and names(problem, "others.safetensors", "clip_l")


def test_a_lora_of_text_encoders_alone_changes_no_model(fresh: Engine, models: Path) -> None:
    tensors = files.kohya(files.one("text_model.encoder.layers.1.mlp.fc1", 64, 64), "lora_te_")
    (problem,) = checked(fresh, files.save(tensors, models / "texts.safetensors"))
    assert problem.code == "wrong-lora" and names(problem, "texts.safetensors", "ApplyLoRA")


def test_a_folder_of_peft_has_the_scale_in_its_configuration(fresh: Engine, models: Path, base: Any) -> None:
    """Another alpha is another content: results are made again."""
    folder, digests = models / "adapter", set()
    changes = files.one(CHANGED.removesuffix(".weight"), 64, 64)
    files.save(files.peft(changes, "base_model.model."), folder / "adapter_model.safetensors")
    for alpha in (8, 2):
        (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": alpha, "use_rslora": True}))
        with Graph() as graph:
            graph.output("model", ApplyLoRAToModel(LoadLoRA("adapter"), LoadDiffusionModel("epsilon")))
        model = fresh.run(graph).outputs["model"]
        digests.add(content_digest(model))
        with lent(fresh).weights(model, Denoiser) as denoiser:
            found = denoiser.network.get_parameter(CHANGED)
            assert torch.allclose(found, base[CHANGED] + alpha / 4**0.5 * 4, atol=1e-5)
    assert len(digests) == 2


def test_a_list_of_models_says_what_a_lora_was_made_for(fresh: Engine, loras: Any) -> None:
    (found,) = (one for name, one in LoRASource().available(fresh.places()) if name == "first.safetensors")
    assert (found.kind, found.family) == ("LoRA", "SD1") and "rank 4" in found.about and "sd_v1" in found.about


KOHYA = {
    "ss_sd_model_name": "v1-5-pruned.safetensors",
    "ss_base_model_version": "sd_v1",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "None",
    "ss_network_alpha": "1.0",
    "ss_network_args": '{"conv_dim": "4", "algo": "lora"}',
    "ss_clip_skip": "2",
    "ss_v2": "False",
    "ss_v_parameterization": "True",
    "ss_prior_loss_weight": "1.0",
    "ss_training_comment": "ein Stil \u30b9\u30bf\u30a4\u30eb",
    "ss_tag_frequency": json.dumps({"10_style": {f"tag {number}": number for number in range(5000)}}),
    "ss_bucket_info": '{"buckets": {"0": {"resolution": [512, 512], "count": 10}}}',
    "ss_dataset_dirs": '{"10_style": {"n_repeats": 10, "img_count": 1}}',
    "ss_output_name": "style",
    "sshs_model_hash": "0" * 64,
    "sshs_legacy_hash": "0" * 8,
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-v1/lora",
    "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
    "modelspec.title": "style",
    "modelspec.prediction_type": "v",
    "modelspec.thumbnail": "data:image/jpeg;base64,",
}
"""What kohya's scripts write into the header of a LoRA, as files on Civitai have it."""


def test_a_file_with_the_metadata_of_kohyas_scripts(fresh: Engine, models: Path, loras: Any, base: Any) -> None:
    """Tensors alone say what is changed and by how much; what the trainer noted is shown."""
    name = files.save(loras["first"], models / "civitai.safetensors", **KOHYA)
    (found,) = (one for text, one in LoRASource().available(fresh.places()) if text == name)
    assert found.family == "SD1" and "sd_v1" in found.about and len(found.about) < 200
    files.save(loras["first"], models / "bare.safetensors")
    assert torch.equal(samples(fresh.run(alone("civitai"))), samples(fresh.run(alone("bare"))))


def test_weights_in_half_precision_are_rounded_once(fresh: Engine, models: Path, loras: Any) -> None:
    """Two LoRAs in a row: the float32 sum of the weight and both changes, rounded."""
    half = Engine(store=None, device="cpu", precision="bfloat16", models=[models])
    with Graph() as graph:
        model: Any = LoadDiffusionModel("epsilon")
        for name, strength in zip(LORAS, (0.5, -0.3), strict=True):
            model = ApplyLoRAToModel(LoadLoRA(f"{name}.safetensors"), model, strength=strength)
        graph.output("model", model)
    flat = f"lora_unet_{CHANGED.removesuffix('.weight').replace('.', '_')}"
    with lent(half).weights(half.run(graph).outputs["model"].base, Denoiser) as denoiser:
        wanted = denoiser.network.get_parameter(CHANGED).float()
    for name, strength in zip(LORAS, (0.5, -0.3), strict=True):
        wanted = wanted + strength / 2 * loras[name][f"{flat}.lora_up.weight"] @ loras[name][f"{flat}.lora_down.weight"]
    with lent(half).weights(half.run(graph).outputs["model"], Denoiser) as denoiser:
        found = denoiser.network.get_parameter(CHANGED)
        assert found.dtype is torch.bfloat16 and torch.equal(found, wanted.to(torch.bfloat16))
