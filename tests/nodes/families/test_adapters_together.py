"""Adapters of all kinds at once: pictures equal diffusers' own pipelines, from a store and in one batch too.

All: `pytest -m "slow or not slow" tests/nodes/families/test_adapters_together.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from tests.nodes.conftest import Lend, read_pixels
from tests.nodes.families import lora_files as files
from tests.nodes.families.image_adapters import SIDE
from tests.nodes.families.test_text_to_image import GUIDED
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, Oracle, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyControlNet,
    ApplyIPAdapter,
    ApplyLoRA,
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    FreeU,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    LoadImageEncoder,
    LoadIPAdapter,
    LoadLoRA,
    PerturbedAttention,
    SaveImage,
    ScaleImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.library.sampler_batch import sampled_together
from weft.nodes.models.denoiser import Denoiser

pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")

WIDE, HIGH, STEPS, BATCH = 72, 40, 2, 2

FACTORS: dict[str, Any] = {"s1": 0.9, "s2": 0.2, "b1": 1.5, "b2": 1.6}

MODELS = {
    "epsilon": ("StableDiffusionControlNetPAGPipeline", "sd1-plus", "edges"),
    "sdxl": ("StableDiffusionXLControlNetPAGPipeline", "sdxl-plus", "sdxl-edges"),
}
"""The pipeline that has all of them, the IP-Adapter and the ControlNet, by checkpoint."""

Loaded = Callable[[str], str]


@pytest.fixture
def oracle(models: Path) -> Oracle:
    """diffusers' pipelines, loaded for one test alone: adapters stay in them."""
    return Oracle(models)


@pytest.fixture(scope="module")
def ready(models: Path, adapters: Path, zoo: Any) -> Loaded:
    """A checkpoint with all adapters for it in the models folder."""

    def give(model: str) -> str:
        known = model if (models / model).exists() else zoo(model)
        for name in MODELS[model][1:]:
            if not name.endswith("plus") and not (models / name).exists():
                zoo(name)
        pipe = diffusers.DiffusionPipeline.from_pretrained(models / known).to(torch.float32)
        changes = files.peft(files.low_rank(pipe.unet, 1, "attn"), "unet.")
        for seed, name in enumerate(("text_encoder", "text_encoder_2")):
            if encoder := getattr(pipe, name, None):
                words = {files.text_name(one): change for one, change in files.low_rank(encoder, 2 + seed).items()}
                changes |= files.peft(words, f"{name}.")
        files.save(changes, models / f"together-{model}.safetensors")
        return known

    return give


def sampled(model: str, *, seed: int = SEED, strength: float = 0.6, batch: int = BATCH) -> tuple[Any, Any, Any]:
    """A guide under everything, what it samples from, and what it samples; within a graph."""
    _, adapter, net = MODELS[model]
    checkpoint = LoadCheckpoint(model)
    lora = LoadLoRA(f"together-{model}.safetensors")
    denoiser, text = ApplyLoRA(lora, checkpoint.model, checkpoint.text_encoder, strength=strength)
    apply: Any = ApplyControlNet
    positive, negative = (TextEncode(text, words) for words in (PROMPT, NEGATIVE))
    for picture, factor in (("ramp.png", 0.8), ("stripes.png", 0.5)):
        positive, negative = apply(
            positive, negative, LoadControlNet(net), ScaleImage(LoadImage(picture), WIDE, HIGH), strength=factor
        )
    seen = EncodeImage(LoadImageEncoder("vision"), LoadImage("ramp.png"))
    prompt: Any = ApplyIPAdapter
    positive, negative = prompt(positive, negative, LoadIPAdapter(f"{adapter}.safetensors"), seen, scale=0.7)
    guide = CFGGuide(FreeU(denoiser, **FACTORS), positive, negative, scale=SCALE)
    lead, size = PerturbedAttention(guide, scale=2.0), EmptyLatent(WIDE, HIGH, batch)
    return lead, size, VAEDecode(checkpoint.vae, KSampler(lead, size, seed=seed, steps=STEPS, sampler="euler"))


def painting(model: str, **given: Any) -> Graph:
    with Graph() as graph:
        SaveImage(sampled(model, **given)[2])
    return graph


@pytest.mark.parametrize("model", ["epsilon", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_everything_at_once(
    engine: Engine, models: Path, oracle: Oracle, pictures: Path, ready: Loaded, model: str
) -> None:
    kind, adapter, net = MODELS[ready(model)]
    pipe = oracle.pipeline(model)
    pipe.load_lora_weights(str(models / f"together-{model}.safetensors"), adapter_name="lora")
    pipe.set_adapters(["lora"], [0.6])
    vision = CLIPVisionModelWithProjection.from_pretrained(models / "vision")
    prepare: Any = CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    pipe.register_modules(image_encoder=vision, feature_extractor=prepare)
    pipe.load_ip_adapter(str(models), subfolder="", weight_name=f"{adapter}.safetensors", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(0.7)
    pipe.enable_freeu(**FACTORS)
    ramp, stripes = (Pictures.open(pictures / name) for name in ("ramp.png", "stripes.png"))
    theirs = oracle.paint(
        getattr(diffusers, kind),
        "euler",
        model=model,
        batch=BATCH,
        parts={"controlnet": [oracle.control_net(net).to(torch.float32)] * 2, "pag_applied_layers": ["mid"]},
        image=[
            ramp.resize((WIDE, HIGH), Pictures.Resampling.LANCZOS),
            stripes.resize((WIDE, HIGH), Pictures.Resampling.LANCZOS),
        ],
        controlnet_conditioning_scale=[0.8, 0.5],
        ip_adapter_image=[ramp],
        pag_scale=2.0,
        height=HIGH,
        width=WIDE,
        num_inference_steps=STEPS,
    )
    assert_same(read_pixels(engine.run(painting(model)).paths), theirs)


FLOWS = {
    "sd3": ("StableDiffusion3", "sd3-edges", "SD3ControlNetModel"),
    "sd35": ("StableDiffusion3", "sd35-edges", "SD3ControlNetModel"),
    "flux-dev": ("Flux", "flux-edges", "FluxControlNetModel"),
    "qwen-image": ("QwenImage", "qwen-edges", "QwenImageControlNetModel"),
}
"""diffusers' pipeline, the ControlNet and its class, by checkpoint."""


@pytest.mark.slow
@pytest.mark.parametrize("model", FLOWS)
def test_a_lora_under_a_control_net_of_flows(
    engine: Engine, models: Path, oracle: Oracle, pictures: Path, zoo: Any, model: str
) -> None:
    """Less than 0 in strength, two items, and no square."""
    kind, net, net_class = FLOWS[zoo(model)]
    width, height = 96, 48
    pipe = oracle.pipeline(model)
    changes = files.low_rank(pipe.transformer, 5, "blocks.*attn")
    lora = files.save(files.peft(changes, "transformer."), models / f"flow-{model}.safetensors")
    picture = Pictures.open(pictures / "ramp.png").resize((width, height), Pictures.Resampling.LANCZOS)
    picture.save(pictures / "low.png")
    pipe.load_lora_weights(str(models / lora), adapter_name="lora")
    pipe.set_adapters(["lora"], [-0.8])
    latents = torch.cat(
        [
            torch.randn(1, 16, height // 8, width // 8, generator=torch.Generator().manual_seed(SEED + one))
            for one in (0, 1)
        ]
    )
    if kind != "StableDiffusion3":
        latents = diffusers.FluxPipeline._pack_latents(latents, BATCH, 16, height // 8, width // 8)
    theirs = oracle.paint(
        getattr(diffusers, f"{kind}ControlNetPipeline"),
        "model",
        model=model,
        batch=BATCH,
        parts={
            "controlnet": getattr(diffusers, net_class).from_pretrained(models / zoo(net)).float(),
            "vae": oracle.certain_vae(model),
        },
        control_image=picture,
        controlnet_conditioning_scale=0.7,
        latents=latents,
        **{"height": height, "width": width, "num_inference_steps": STEPS, **GUIDED.get(model, {})},
    )
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        denoiser = ApplyLoRAToModel(LoadLoRA(lora), checkpoint.model, strength=-0.8)
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
        control, low = LoadControlNet(net), LoadImage("low.png")
        steered = ApplyControlNet(positive, negative, control, low, checkpoint.vae, strength=0.7)
        guide = CFGGuide(denoiser, steered.positive, steered.negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(width, height, BATCH), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    assert_same(read_pixels(engine.run(graph).paths), theirs)


@pytest.mark.slow
def test_a_store_gives_what_is_computed_and_only_what_changed_runs(
    engine: Engine, models: Path, pictures: Path, ready: Loaded, tmp_path: Path
) -> None:
    ready("epsilon")
    folders: dict[str, Any] = {"models": [models], "inputs": [pictures], "output": tmp_path / "out"}
    kept = Engine(store=tmp_path / "store", device="cpu", precision="float32", guarded=True, **folders)
    with Graph() as graph:
        graph.output("image", sampled("epsilon", batch=1)[2])
    with Graph() as stronger:
        stronger.output("image", sampled("epsilon", batch=1, strength=-0.9)[2])
    fresh = {name: engine.run(one).outputs["image"].pixels for name, one in (("one", graph), ("other", stronger))}
    first, again, other, back = (kept.run(one) for one in (graph, graph, stronger, graph))
    assert all(torch.equal(one.outputs["image"].pixels, fresh["one"]) for one in (first, again, back))
    assert torch.equal(other.outputs["image"].pixels, fresh["other"]) and not torch.equal(*fresh.values())
    assert not again.ran and not back.ran
    assert not {"load_lo_ra", "load_control_net", "encode_image", "load_ip_adapter"} & {*other.ran}


@pytest.mark.slow
def test_in_one_batch_each_is_what_it_is_alone_and_nothing_stays(
    engine: Engine, models: Path, ready: Loaded, call: Any
) -> None:
    ready("epsilon")
    seeds = (SEED, 40)
    with Graph() as graph:
        for seed in seeds:
            for name, one in zip(("guide", "latent", "image"), sampled("epsilon", seed=seed, batch=1), strict=True):
                graph.output(f"{name}{seed}", one)
    context = engine.run_now(Lend, {})  # type: ignore[arg-type]
    plain = call(LoadCheckpoint, source="epsilon").model
    with context.weights(plain, Denoiser) as denoiser:
        before = {name: one.clone() for name, one in denoiser.network.state_dict().items()}
    outputs = engine.run(graph).outputs
    own = {"steps": STEPS, "sampler": "euler"}
    calls = [
        {"guide": outputs[f"guide{seed}"], "latent": outputs[f"latent{seed}"], "seed": seed, **own} for seed in seeds
    ]
    together: Any = sampled_together(lambda **given: call(KSampler, **given), calls)
    for seed, latent in zip(seeds, together, strict=True):
        alone: Any = call(KSampler, **next(one for one in calls if one["seed"] == seed))
        assert torch.allclose(latent.samples, alone.samples, atol=1e-4)
    with context.weights(plain, Denoiser) as denoiser:
        assert all(torch.equal(one, before[name]) for name, one in denoiser.network.state_dict().items())
