"""Pictures of models with LoRAs equal those of diffusers' own pipelines with PEFT, for every layout of their files.

Two are stacked, at strengths 0.5 and -0.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nodes.conftest import read_pixels
from tests.nodes.families import lora_files as files
from tests.nodes.families.lora_files import Changes, Tensors
from tests.nodes.families.test_text_to_image import GUIDED
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadLoRA,
    SaveImage,
    TextEncode,
    VAEDecode,
)

pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")

STRENGTHS = (0.5, -0.3)

STEPS = 2

PIPELINES = {
    "epsilon": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "sd35": "StableDiffusion3Pipeline",
    "flux-dev": "FluxPipeline",
    "z-image": "ZImagePipeline",
    "qwen-image": "QwenImagePipeline",
}
"""diffusers' pipelines, by checkpoint."""

Networks = dict[str, Any]

Named = Callable[[Changes], Changes]


def by_name(changes: Changes) -> Changes:
    return changes


def whole(write: files.Write, prefix: str, texts: tuple[str, ...] = (), named: Named | None = None) -> Any:
    """The file of a LoRA of a denoiser and the text encoders that have a prefix, in their order."""

    def of(networks: Networks, drawn: dict[str, Changes]) -> Tensors:
        denoiser, *others = drawn
        unet = files.unet_names(networks[denoiser]) if denoiser == "unet" else by_name
        found = write((named or (unet if "original" in prefix else by_name))(drawn[denoiser]), prefix.split("!")[0])
        for name, own in zip(others, texts, strict=False):
            text = {files.text_name(one): change for one, change in drawn[name].items()}
            found |= write(text, own)
        return found

    return of


UNETS = {
    "peft": whole(files.peft, "unet.", ("text_encoder.", "text_encoder_2.")),
    "processors": whole(files.processors, "unet.", ("text_encoder.", "text_encoder_2.")),
    "kohya": whole(files.kohya, "lora_unet_", ("lora_te_",)),
    "kohya-original": whole(files.kohya, "lora_unet_!original", ("lora_te1_", "lora_te2_")),
    "wrapped": whole(files.peft, "base_model.model.", ("base_model.model.text_encoder.", "text_encoder_2.")),
    "named-adapter": whole(files.named_adapter, "base_model.model.unet.", ("text_encoder.", "text_encoder_2.")),
    "comfy-original": whole(
        files.dotted,
        "diffusion_model.!original",
        ("text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."),
    ),
}

CLIPS, COMFY_CLIPS = (
    ("text_encoder.", "text_encoder_2."),
    ("text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."),
)


def transformers(named: Named | None, *, texts: bool = False) -> dict[str, Any]:
    """The layouts of a transformer's LoRAs; its authors' names too, where they have others than diffusers."""
    clips, kohya, comfy = (CLIPS, ("lora_te1_", "lora_te2_"), COMFY_CLIPS) if texts else ((), (), ())
    layouts = {
        "peft": whole(files.peft, "transformer.", clips),
        "wrapped": whole(files.peft, "base_model.model.", clips),
        "ai-toolkit": whole(files.peft, "diffusion_model.", clips),
        "bare": whole(files.named_adapter, "", clips),
        "kohya": whole(files.kohya, "lora_unet_" if named is None else "lora_transformer_", kohya),
    }
    if named is not None:
        layouts["kohya-original"] = whole(files.kohya, "lora_unet_", kohya, named)
        layouts["original"] = whole(files.peft, "diffusion_model.", comfy, named)
        layouts["comfy-original"] = whole(files.dotted, "diffusion_model.", comfy, named)
    return layouts


ATTENTION = r"^transformer_blocks\..*attn|^single.*(to_[qkv]|proj_out)$"
"""What XLabs' trainer changes in FLUX.1."""


def only(pattern: str, write: Any) -> Any:
    """A file that changes the denoiser's modules of a pattern alone."""

    def of(networks: Networks, drawn: dict[str, Changes]) -> Tensors:
        denoiser, changes = next(iter(drawn.items()))
        found: Tensors = write(networks, {denoiser: {one: changes[one] for one in changes if re.search(pattern, one)}})
        return found

    return of


SD3 = transformers(files.sd3_names, texts=True)

LAYOUTS: dict[str, dict[str, Any]] = {
    "epsilon": {**UNETS, "attention": only("attentions", whole(files.peft, "unet."))},
    "sd2": {name: UNETS[name] for name in ("peft", "processors", "kohya")},
    "sdxl": {**UNETS, "kohya": whole(files.kohya, "lora_unet_", ("lora_te1_", "lora_te2_"))},
    "sd3": {**SD3, "denoiser": whole(files.peft, "transformer.")},
    "sd35": {name: SD3[name] for name in ("peft", "original")},
    "flux-dev": {
        **transformers(files.flux_names, texts=True),
        "attention": only(ATTENTION, whole(files.peft, "transformer.")),
        "xlabs": only(ATTENTION, whole(files.xlabs, "")),
        "xlabs-comfy": only(ATTENTION, whole(files.xlabs, "diffusion_model.")),
    },
    "z-image": transformers(files.z_image_names),
    "qwen-image": transformers(None),
}
"""How a LoRA is written, by checkpoint and layout."""


def lora_files(networks: Networks, number: int) -> dict[str, Changes]:
    """One of two random LoRAs of a pipeline's networks: its denoiser and CLIP's text encoders."""
    return {name: files.low_rank(network, 10 * number + seed) for seed, (name, network) in enumerate(networks.items())}


def networks_of(pipeline: Any) -> Networks:
    texts = {name: getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2")}
    denoiser = "unet" if hasattr(pipeline, "unet") else "transformer"
    clips = {name: one for name, one in texts.items() if type(one).__name__.startswith("CLIP")}
    return {denoiser: getattr(pipeline, denoiser), **clips}


class LoRAOracle(Oracle):
    """diffusers' pipelines with LoRAs; each set of files is painted once."""

    def __init__(self, models: Path) -> None:
        super().__init__(models)
        self.painted: dict[Any, Pixels] = {}

    def with_loras(
        self,
        model: str,
        paths: Sequence[Path],
        strengths: Sequence[Any] = STRENGTHS,
        sampler: tuple[str, str] = ("model", "model"),
        **call: Any,
    ) -> Pixels:
        key = repr((model, paths, strengths, sampler, call))
        if key not in self.painted:
            pipeline = self.pipeline(model)
            names = [f"lora_{number}" for number in range(len(paths))]
            for name, path in zip(names, paths, strict=True):
                pipeline.load_lora_weights(str(path), adapter_name=name)
            pipeline.set_adapters(names, [*strengths])
            kind = getattr(diffusers, PIPELINES[model])
            size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": STEPS}
            given = {**size, **GUIDED.get(model, {}), **call}
            self.painted[key] = self.paint(kind, *sampler, model=model, **given)
            pipeline.unload_lora_weights()
        return self.painted[key]


@pytest.fixture(scope="module")
def oracle(models: Path) -> LoRAOracle:
    return LoRAOracle(models)


Written = Callable[[str, str], tuple[str, ...]]


@pytest.fixture(scope="module")
def written(zoo: Any, models: Path, oracle: LoRAOracle) -> Written:
    """The names of two LoRAs of a checkpoint in a layout, written where they are not yet."""
    drawn: dict[str, Any] = {}

    def give(model: str, layout: str) -> tuple[str, ...]:
        networks = networks_of(oracle.pipeline(zoo(model) if model != "epsilon" else model))
        names = tuple(f"loras/{model}-{layout}-{number}.safetensors" for number in (1, 2))
        for number, name in enumerate(names, 1):
            changes = drawn.setdefault(f"{model}{number}", lora_files(networks, number))
            files.save(LAYOUTS[model][layout](networks, changes), models / name)
        return names

    return give


def painted(
    engine: Engine,
    model: str,
    loras: Sequence[str],
    strengths: Sequence[float] = STRENGTHS,
    sampler: tuple[str, str] = ("model", "model"),
    scale: float = SCALE,
    **applied: Any,
) -> Pixels:
    """Paint with a model under LoRAs."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        own, text = checkpoint.model, checkpoint.text_encoder
        for name, strength in zip(loras, strengths, strict=True):
            own, text = ApplyLoRA(LoadLoRA(name), own, text, strength=strength, **applied)
        guide = CFGGuide(own, TextEncode(text, PROMPT), TextEncode(text, NEGATIVE), scale=scale)
        taken: Any = {"sampler": sampler[0], "schedule": sampler[1]}
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, **taken)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


QUICK: dict[str, tuple[str, ...]] = {
    "epsilon": tuple(UNETS),
    "sdxl": ("peft", "kohya-original"),
    "flux-dev": ("peft", "kohya-original", "comfy-original"),
    "z-image": ("peft", "comfy-original"),
    "qwen-image": ("peft", "kohya"),
}
"""The layouts that are tried by default; `pytest -m slow tests/nodes/families/test_loras.py` tries all."""

CASES = [
    pytest.param(model, layout, marks=[] if layout in QUICK.get(model, ()) else [pytest.mark.slow])
    for model, own in LAYOUTS.items()
    for layout in own
]


def test_the_pairs_are_counted() -> None:
    print(f"{len(CASES)} pairs of checkpoint and layout")
    assert len(CASES) >= 50


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_two_stacked_loras(
    engine: Engine, models: Path, written: Written, oracle: LoRAOracle, model: str, layout: str
) -> None:
    alone = {"xlabs": "attention", "xlabs-comfy": "attention", "attention": "attention", "denoiser": "denoiser"}
    usual = alone.get(layout, "peft")
    theirs = oracle.with_loras(model, [models / name for name in written(model, usual)])
    assert_same(painted(engine, model, written(model, layout)), theirs)


ITSELF = {
    "epsilon": ("processors", "kohya"),
    "sdxl": ("processors", "kohya-original"),
    "flux-dev": ("xlabs", "xlabs-comfy"),
    "z-image": ("ai-toolkit",),
    "qwen-image": ("ai-toolkit", "bare", "kohya"),
}
"""Layouts that diffusers reads itself, whatever the size of the model."""


@pytest.mark.slow
@pytest.mark.parametrize(("model", "layout"), [(model, layout) for model, own in ITSELF.items() for layout in own])
def test_files_that_diffusers_reads_itself(
    engine: Engine, models: Path, written: Written, oracle: LoRAOracle, model: str, layout: str
) -> None:
    loras = written(model, layout)
    assert_same(painted(engine, model, loras), oracle.with_loras(model, [models / name for name in loras]))


def test_strengths_of_blocks(engine: Engine, models: Path, written: Written, oracle: LoRAOracle) -> None:
    name = written("epsilon", "attention")[0]
    parts = {"down": 0.4, "mid": -1.0, "up": {"block_0": 0.2, "block_1": 0.9}}
    theirs = oracle.with_loras("epsilon", [models / name], [{"unet": parts}])
    ours = painted(
        engine,
        "epsilon",
        [name],
        [1.0],
        blocks="down_blocks=0.4, mid_block=-1, up_blocks.0=0.2, up_blocks.1=0.9",
    )
    assert_same(ours, theirs)


FAST = {"lcm": (("lcm", "model"), 1.5), "tcd": (("tcd", "model"), 1.0), "lightning": (("euler", "sgm_uniform"), 1.0)}
"""The sampler, the schedule and the scale of LoRAs that make a model take few steps."""


@pytest.mark.parametrize("kind", [pytest.param(one, marks=[] if one == "lcm" else [pytest.mark.slow]) for one in FAST])
def test_loras_of_few_steps_with_their_samplers(
    engine: Engine, models: Path, written: Written, oracle: LoRAOracle, kind: str
) -> None:
    name, (sampler, scale) = written("epsilon", "kohya")[0], FAST[kind]
    theirs = oracle.with_loras(
        "epsilon", [models / written("epsilon", "peft")[0]], [1.0], sampler, guidance_scale=scale
    )
    assert_same(painted(engine, "epsilon", [name], [1.0], sampler, scale), theirs)


@pytest.mark.parametrize("prefix", ["lora_te3_", "text_encoders.t5xxl.transformer."])
def test_changes_of_t5(engine: Engine, zoo: Any, models: Path, prefix: str) -> None:
    """diffusers leaves these out. The pooled vector is CLIP's alone."""
    write = files.kohya if prefix.endswith("_") else files.dotted
    name = files.save(
        write(files.one("encoder.block.1.layer.0.SelfAttention.q", 64, 160), prefix), models / "t5.safetensors"
    )
    with Graph() as graph:
        checkpoint = LoadCheckpoint(zoo("flux-dev"))
        text = ApplyLoRA(LoadLoRA(name), checkpoint.model, checkpoint.text_encoder).text_encoder
        for output, encoder in (("changed", text), ("plain", checkpoint.text_encoder)):
            graph.output(output, TextEncode(encoder, PROMPT))
    (changed,), (plain,) = (engine.run(graph).outputs[one].prompts for one in ("changed", "plain"))
    assert not torch.equal(changed.embeddings, plain.embeddings) and torch.equal(changed.pooled, plain.pooled)
