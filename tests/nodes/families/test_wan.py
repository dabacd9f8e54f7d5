"""Clips of Wan equal those of diffusers' pipeline in every frame.

More samplers and a batch: `pytest -m slow tests/nodes/families/test_wan.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes import layouts
from tests.nodes.families import lora_files as files
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ApplyLoRAToModel,
    BatchImages,
    CFGGuide,
    EmptyLatent,
    EmptyVideoLatent,
    EncodeImage,
    ImageToVideoGuide,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadImage,
    LoadImageEncoder,
    LoadLoRA,
    ProjectedGuidance,
    SwitchGuide,
    TextEncode,
    VAEDecodeVideo,
)
from weft.nodes.media_values import Video

STEPS, FRAMES, TOKENS = 3, 5, 226

STRENGTHS = (0.5, -0.3)

Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes.

    They clean prompts by a package of its own before they encode them; these are clean, and are given encoded.
    """
    for name in ("wan", "wan-pictures", "wan-ends", "wan-5b", "wan-5b-pictures", "wan-experts", "wan-experts-pictures"):
        zoo(name)

    def made(
        sampler: str = "model", batch: int = 1, model: str = "wan", loras: Sequence[Path] = (), **call: Any
    ) -> Pixels:
        pipe = oracle.pipeline(model)
        for number, path in enumerate(loras):
            pipe.load_lora_weights(str(path), adapter_name=f"lora_{number}")
        if loras:
            pipe.set_adapters([f"lora_{number}" for number, _ in enumerate(loras)], [*STRENGTHS])
        pipe.scheduler = oracle.scheduler(model, sampler, "model", {})
        pipe.set_progress_bar_config(disable=True)
        prompts = [encoded(pipe, text).repeat(batch, 1, 1) for text in (PROMPT, NEGATIVE)]
        seeds = [torch.Generator().manual_seed(SEED + item) for item in range(batch)]
        if sampler.endswith("_sde"):
            # The pipeline leaves noise of later steps to torch's own generator, whatever seeds it is given.
            pipe.scheduler.step = partial(pipe.scheduler.step, generator=seeds)
        given = {"num_inference_steps": STEPS, "width": SIZE, "height": SIZE, "num_frames": FRAMES}
        found = pipe(
            prompt_embeds=prompts[0],
            negative_prompt_embeds=prompts[1],
            guidance_scale=SCALE,
            generator=seeds,
            output_type="np",
            **{**given, **call},
        ).frames
        if loras:
            pipe.unload_lora_weights()
        return numpy.asarray((found * 255).round().astype("uint8"))

    return made


@torch.no_grad()
def encoded(pipe: Any, text: str) -> torch.Tensor:
    """A prompt as the pipeline encodes it: what is not read of it is zero."""
    options = {"padding": "max_length", "max_length": TOKENS, "truncation": True, "return_tensors": "pt"}
    tokens = pipe.tokenizer([text], return_attention_mask=True, **options)
    found = pipe.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    read: torch.Tensor = found * tokens.attention_mask[..., None]
    return read


def graph_of(
    frames: int = FRAMES,
    batch: int = 1,
    latent: Any = None,
    model: str = "wan",
    guided: Callable[[Any, Any, Any], Any] = lambda guide, loaded, start: guide,
    changed: Callable[[Any], Any] = lambda model: model,
    **sampling: Any,
) -> Graph:
    """A clip.

    Args:
        guided: makes another guide, of a guide, the checkpoint and the latent.
        changed: makes another model.
    """
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        loaded: Any = LoadCheckpoint(model)
        prompts = [TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        start = latent() if latent else EmptyVideoLatent(SIZE, SIZE, frames, batch)
        guide = guided(CFGGuide(changed(loaded.model), *prompts, scale=SCALE), loaded, start)
        sampled = KSampler(guide, start, **{"seed": SEED, "steps": STEPS, "sampler": "model", **sampling})
        VAEDecodeVideo(loaded.vae, sampled)
    return graph


def ours(engine: Engine, graph: Graph) -> Pixels:
    video = engine.run(graph).outputs["video"]
    assert isinstance(video, Video)
    return video.frames.numpy()


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["heun", "deis", "unipc", "dpmpp_3m", "dpmpp_2m_sde", "dpmpp_3m_sde"])
def test_a_clip_of_any_sampler_equals_that_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize("batch", [1, 2])
def test_clips_of_any_length_equal_those_of_the_pipeline(engine: Engine, theirs: Clip, frames: int, batch: int) -> None:
    both = theirs(batch=batch, num_frames=frames)
    assert_same(ours(engine, graph_of(frames, batch)), numpy.concatenate(both))


def test_what_a_clip_begins_with_is_held_to_the_model_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("unsupported-by-model"):
        engine.run(graph_of(guided=beginning()))
    with refused("wrong-guide"):
        engine.run(graph_of(model="wan-pictures"))
    with refused("missing-input"):
        engine.run(graph_of(model="wan-pictures", guided=beginning(encoded=False)))
    with refused("size-mismatch"):
        engine.run(graph_of(model="wan-pictures", latent=lambda: EmptyVideoLatent(96, 64, 5), guided=beginning()))


def test_what_is_no_clip_is_refused_before_a_run(engine: Engine, zoo: Callable[[str], str]) -> None:
    zoo("wan")
    with refused("wrong-size", 5, 9):
        engine.run(graph_of(frames=7))
    with refused("wrong-latent"):
        engine.run(graph_of(latent=lambda: EmptyLatent(SIZE, SIZE)))


def beginning(model: str = "wan-pictures", *, ends: bool = False, encoded: bool = True) -> Any:
    """A guide whose clip begins with a picture, and perhaps ends with one."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        first, last = LoadImage("ramp.png"), LoadImage("stripes.png") if ends else None
        shown = BatchImages([first, last]) if last else first
        embedding = EncodeImage(LoadImageEncoder(model), shown) if encoded else None
        return ImageToVideoGuide(guide, loaded.vae, start, first, last, embedding)

    return guided


@pytest.fixture
def shown(pictures: Path) -> list[Any]:
    return [Pictures.open(pictures / f"{name}.png") for name in ("ramp", "stripes")]


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    made = ours(engine, graph_of(model="wan-pictures", guided=beginning(), sampler=sampler))
    assert_same(made, theirs(sampler, model="wan-pictures", image=shown[0])[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_clips_between_two_pictures_equal_those_of_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    guided = beginning("wan-ends", ends=True)
    made = ours(engine, graph_of(9, model="wan-ends", guided=guided, sampler=sampler))
    first, last = shown
    assert_same(made, theirs(sampler, model="wan-ends", image=first, last_image=last, num_frames=9)[0])


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_of_the_small_model_equals_that_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(model="wan-5b", sampler=sampler)), theirs(sampler, model="wan-5b")[0])


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_of_the_small_model_begins_with_a_picture_as_in_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    model = "wan-5b-pictures"
    made = ours(engine, graph_of(model=model, guided=beginning(encoded=False), sampler=sampler))
    assert_same(made, theirs(sampler, model=model, image=shown[0])[0])


def switching(model: str, boundary: float, scale: float = 2.0, pictured: bool = False) -> Any:
    """A guide whose second model takes over at a share of the noise, with a scale of its own."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        other = LoadDiffusionModel(f"{model}/transformer_2")
        prompts = [TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        both = SwitchGuide(guide, CFGGuide(other, *prompts, scale=scale), boundary=boundary)
        return ImageToVideoGuide(both, loaded.vae, start, LoadImage("ramp.png")) if pictured else both

    return guided


@pytest.mark.parametrize("sampler", ["model", "euler", "heun"])
def test_two_models_make_a_clip_as_in_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    made = ours(engine, graph_of(model="wan-experts", guided=switching("wan-experts", 0.875), sampler=sampler))
    assert_same(made, theirs(sampler, model="wan-experts", guidance_scale_2=2.0)[0])


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_two_models_begin_a_clip_with_a_picture_as_in_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    model = "wan-experts-pictures"
    made = ours(engine, graph_of(model=model, guided=switching(model, 0.9, pictured=True), sampler=sampler))
    assert_same(made, theirs(sampler, model=model, image=shown[0], guidance_scale_2=2.0)[0])


def test_two_models_of_other_kinds_are_refused_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("wrong-guide", "load_diffusion_model"):
        engine.run(graph_of(guided=switching("wan-experts-pictures", 0.9)))
    guided = switching("wan-experts", 0.875)
    with refused("wrong-guide", "projected_guidance"):
        engine.run(graph_of(model="wan-experts", guided=lambda *parts: ProjectedGuidance(guided(*parts))))


LORAS: dict[str, Callable[[files.Changes], files.Tensors]] = {
    "peft": lambda changes: files.peft(changes, "transformer."),
    "original": lambda changes: files.peft(files.wan_names(changes), "diffusion_model."),
    "comfy": lambda changes: files.dotted(files.wan_names(changes), "diffusion_model."),
    "kohya": lambda changes: files.kohya(files.wan_names(changes), "lora_unet_"),
}
"""How publishers of LoRAs for Wan name tensors: diffusers' trainers, ComfyUI's, lightx2v's and musubi-tuner's."""


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")
@pytest.mark.parametrize("layout", [pytest.param(one, marks=[pytest.mark.slow] * (one != "original")) for one in LORAS])
@pytest.mark.parametrize("model", ["wan", pytest.param("wan-pictures", marks=pytest.mark.slow)])
def test_two_loras_of_any_layout_act_as_in_the_pipeline(
    engine: Engine, theirs: Clip, oracle: Oracle, models: Path, shown: list[Any], layout: str, model: str
) -> None:
    network = oracle.pipeline(model).transformer
    names = []
    for number in (1, 2):
        changes = files.low_rank(network, number, r"^blocks\.")
        names.append(files.save(LORAS[layout](changes), models / f"{model}-{layout}-{number}.safetensors"))

    def changed(given: Any) -> Any:
        for name, strength in zip(names, STRENGTHS, strict=True):
            given = ApplyLoRAToModel(LoadLoRA(name), given, strength=strength)
        return given

    pictured = {"image": shown[0]} if model == "wan-pictures" else {}
    guided = {"guided": beginning()} if pictured else {}
    made = ours(engine, graph_of(model=model, changed=changed, **guided))
    assert_same(made, theirs(model=model, loras=[models / name for name in names], **pictured)[0])


@pytest.mark.parametrize("kind", ["wan-128", pytest.param("wan-128-ends", marks=pytest.mark.slow)])
def test_a_file_in_the_layout_of_the_authors_makes_the_clip_of_its_folder(
    engine: Engine, theirs: Clip, zoo: Callable[[str], str], models: Path, kind: str
) -> None:
    folder, encoded = models / zoo(kind), kind != "wan-128"
    found = layouts.renamed(layouts.weights(folder, "transformer"), layouts.WAN, "model.diffusion_model.")
    name = files.save(found, models / f"{kind}-alone.safetensors")
    guided = {"guided": beginning(kind, ends=True)} if encoded else {}
    one, other = (
        ours(engine, graph_of(model=kind, changed=changed, **guided))
        for changed in (lambda model: model, lambda model: LoadDiffusionModel(name))
    )
    assert one.std() > 5 and numpy.array_equal(one, other)


def test_a_run_with_one_of_two_models_is_warned_of(engine: Engine, theirs: Clip) -> None:
    alone, both = graph_of(model="wan-experts"), graph_of(model="wan-experts", guided=switching("wan-experts", 0.9))
    found = [{one.code for one in engine.check(graph).warnings} for graph in (alone, both)]
    assert ["unread-component" in codes for codes in found] == [True, False]
