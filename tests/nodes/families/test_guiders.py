"""Perturbed-attention and adaptive projected guidance: pictures equal those of diffusers' pipelines and guiders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nodes.conftest import read_pixels
from tests.nodes.families.conftest import Zoo
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Context, Engine, Graph
from weft.nodes import (
    CFGGuide,
    EditGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    PerturbedAttention,
    ProjectedGuidance,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.sampling.pag import self_attentions

EDGE = SIZE // 8
"""Latent elements along a side."""

TEXTS = {"dit": ("207", "0"), "ddpm": ("", "")}
"""The prompts of models that read other ones."""


def graph_of(model: str, lead: Callable[[Any], Any], scale: float = SCALE, **options: Any) -> Graph:
    """A guide of the tests' prompts, led by something more; KSampler's options are those with an underscore."""
    sampling = {name[1:]: options.pop(name) for name in tuple(options) if name.startswith("_")}
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        texts = TEXTS.get(model, (PROMPT, NEGATIVE))
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in texts)
        guide = lead(CFGGuide(checkpoint.model, positive, negative, scale=scale, **options))
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), **{"seed": SEED, "steps": STEPS, **sampling})
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def painted(engine: Engine, graph: Graph) -> Pixels:
    return read_pixels(engine.run(graph).paths)


def perturbing(layers: list[str] | None = None) -> Callable[[Any], Any]:
    return lambda guide: PerturbedAttention(guide, scale=3.0, layers=layers)


def projecting(**options: Any) -> Callable[[Any], Any]:
    return lambda guide: ProjectedGuidance(guide, **options)


PIPELINES = {"epsilon": "StableDiffusionPAG", "sdxl": "StableDiffusionXLPAG", "sd3": "StableDiffusion3PAG"}


@pytest.mark.parametrize("scale", [SCALE, 1.0])
@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
@pytest.mark.parametrize("model", PIPELINES)
def test_perturbed_attention(zoo: Zoo, engine: Engine, oracle: Oracle, model: str, sampler: str, scale: float) -> None:
    ours = painted(engine, graph_of(zoo(model), perturbing(), scale, _sampler=sampler))
    kind = getattr(diffusers, f"{PIPELINES[model]}Pipeline")
    sides: Any = {"height": SIZE, "width": SIZE}
    assert_same(ours, oracle.paint(kind, sampler, model=model, guidance_scale=scale, pag_scale=3.0, **sides))


@pytest.mark.parametrize("layers", [["down_blocks.0"], ["mid_block", "up_blocks.1"]])
def test_perturbed_attention_in_other_layers_and_rescaled(engine: Engine, oracle: Oracle, layers: list[str]) -> None:
    ours = painted(engine, graph_of("epsilon", perturbing(layers), rescale=0.7, _sampler="model"))
    kind, parts = diffusers.StableDiffusionPAGPipeline, {"pag_applied_layers": layers}
    assert_same(ours, oracle.paint(kind, "model", parts=parts, pag_scale=3.0, guidance_rescale=0.7))


APG: tuple[dict[str, float], ...] = (
    {"eta": 0.0, "norm_threshold": 15.0, "momentum": -0.5},
    {"eta": 0.5, "norm_threshold": 2.5, "momentum": 0.3},
    {"eta": 1.0, "norm_threshold": 0.0, "momentum": 0.0},
)


@pytest.mark.parametrize("options", APG)
@pytest.mark.parametrize("about", [{}, {"rescale": 0.7, "start": 0.2, "end": 0.8}])
def test_projected_guidance(engine: Engine, oracle: Oracle, options: dict[str, float], about: dict[str, float]) -> None:
    ours = painted(engine, graph_of("epsilon", projecting(**options), scale=8.0, _sampler="euler", **about))
    assert_same(ours, by_guider(oracle, options, about))


def by_guider(oracle: Oracle, options: Mapping[str, float], about: Mapping[str, float]) -> Pixels:
    """A picture from diffusers' own parts: its guider says what is asked, and how it combines the predictions."""
    pipe = oracle.pipeline("epsilon")
    guider = diffusers.guiders.AdaptiveProjectedGuidance(
        8.0,
        options["momentum"] or None,
        options["norm_threshold"],
        eta=options["eta"],
        guidance_rescale=about.get("rescale", 0.0),
        start=about.get("start", 0.0),
        stop=about.get("end", 1.0),
    )
    scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(STEPS)
    prompts = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
    latents = torch.randn(1, 4, EDGE, EDGE, generator=torch.Generator().manual_seed(SEED)) * scheduler.init_noise_sigma
    with torch.no_grad():
        for step, timestep in enumerate(scheduler.timesteps):
            guider.set_state(step, STEPS, timestep)
            asked = guider.prepare_inputs({"encoder_hidden_states": prompts})
            seen = scheduler.scale_model_input(latents, timestep)
            for one in asked:
                one.noise_pred = pipe.unet(seen, timestep, one.encoder_hidden_states).sample
            latents = scheduler.step(guider(asked).pred, timestep, latents).prev_sample
        decoded: Tensor = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("model", ["sd35", "sdxl-lcm", "distilled", "dit", "ddpm"])
def test_perturbed_attention_needs_neither_text_nor_a_scale_of_its_own(zoo: Zoo, engine: Engine, model: str) -> None:
    """The networks that have it and that diffusers has no pipeline for: with and without, pictures differ."""
    lead, plain = (painted(engine, graph_of(zoo(model), made)) for made in (perturbing(), lambda guide: guide))
    assert lead.shape == plain.shape and (lead != plain).any()


@pytest.mark.parametrize(
    ("model", "lead", "code", "values"),
    [
        ("epsilon", perturbing(["middle"]), "unknown-layer", ["middle", "mid_block"]),
        ("sdxl-lcm", projecting(), "unsupported-by-model", ["ProjectedGuidance"]),
    ],
)
def test_what_has_no_meaning_is_refused(
    zoo: Zoo, engine: Engine, model: str, lead: Callable[[Any], Any], code: str, values: list[str]
) -> None:
    with refused(code, *values):
        painted(engine, graph_of(zoo(model), lead))


@pytest.mark.parametrize(
    ("model", "lead", "code"),
    [
        ("epsilon", perturbing(["mid_block", "up_blocks.1"]), ""),
        ("epsilon", perturbing(["middle"]), "unknown-layer"),
        ("epsilon", perturbing(["down_blocks.1"]), "unknown-layer"),
        ("sd35", perturbing(["transformer_blocks.1"]), ""),
        ("sd35", perturbing(["transformer_blocks.9"]), "unknown-layer"),
        ("epsilon", projecting(), ""),
        ("sdxl-lcm", projecting(), "unsupported-by-model"),
        ("flux-dev", projecting(), "unsupported-by-model"),
    ],
)
def test_what_has_no_meaning_is_known_before_a_run(
    zoo: Zoo, engine: Engine, model: str, lead: Callable[[Any], Any], code: str
) -> None:
    assert [one.code for one in engine.check(graph_of(zoo(model), lead)).problems] == ([code] if code else [])


def test_a_family_that_cannot_be_perturbed_says_so_before_a_run(zoo: Zoo, engine: Engine) -> None:
    (problem,) = engine.check(graph_of(zoo("flux-dev"), perturbing())).problems
    assert (problem.code, problem.where) == ("unsupported-by-model", "perturbed_attention.guide")
    assert names(problem, "load_checkpoint", "FLUX")


def test_a_network_that_cannot_be_perturbed_says_so_in_a_run(zoo: Zoo, context: Context, call: Any) -> None:
    model = call(LoadCheckpoint, source=zoo("flux-schnell")).model
    with context.weights(model) as module, refused("unsupported-by-model", "FLUX"):
        self_attentions(module, ())


@pytest.mark.parametrize("projected", [False, True])
def test_a_picture_to_edit_is_led_by_perturbed_attention_and_not_projected(
    zoo: Zoo, engine: Engine, projected: bool
) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint(zoo("edit"))
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT))
        lead = projecting() if projected else perturbing()
        seen = EditGuide(lead(guide), checkpoint.vae, LoadImage("ramp.png"))
        SaveImage(VAEDecode(checkpoint.vae, KSampler(seen, EmptyLatent(SIZE, SIZE), steps=2)))
    assert [one.code for one in engine.check(graph).problems] == (["wrong-guide"] if projected else [])
    with refused("wrong-guide") if projected else nullcontext():
        engine.run(graph)
