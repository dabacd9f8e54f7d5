"""Clips by motion adapters equal those of diffusers' AnimateDiff pipelines in every frame.

More samplers, batches and adapters at once: `pytest -m slow tests/nodes/families/test_motion_adapters.py`.
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
from safetensors.torch import load_file, save_file

from tests.nodes.families.tiny import motion_adapter
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ApplyControlNet,
    ApplyLoRAToModel,
    ApplyMotionAdapter,
    BatchImages,
    CFGGuide,
    DrawNoise,
    EmptyLatent,
    EmptyVideoLatent,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    LoadLoRA,
    MakeVideo,
    TextEncode,
    VAEDecode,
    VAEDecodeVideo,
    VAEEncodeVideo,
)
from weft.nodes.media_values import Video

STEPS, FRAMES = 3, 5

LINEAR = {"beta_schedule": "linear", "clip_sample": False, "steps_offset": 1}
"""What the documentation of diffusers' pipelines sets for AnimateDiff."""


@pytest.fixture(scope="module")
def motion(models: Path, zoo: Callable[[str], str]) -> Path:
    """The models folder with adapters: `motion`, `motion-flat` without a middle, `motion-deep` for other UNets."""
    for name in ("motion", "motion-flat", "motion-deep"):
        zoo(name)
    return models


Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(motion: Path, oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes."""

    def made(
        sampler: str = "ddim",
        kind: str = "",
        adapter: str = "motion",
        batch: int = 1,
        lora: tuple[str, float] | None = None,
        **call: Any,
    ) -> Pixels:
        pipe = oracle.pipeline("epsilon")
        parts = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet")}
        controls = {"controlnet": oracle.control_net(call.pop("controlnet"))} if "controlnet" in call else {}
        clips = getattr(diffusers, f"AnimateDiff{kind}Pipeline")(
            **parts,
            **controls,
            motion_adapter=diffusers.MotionAdapter.from_pretrained(motion / adapter, torch_dtype=torch.float32),
            scheduler=oracle.scheduler("epsilon", sampler, "model", LINEAR),
        )
        if lora:
            clips.load_lora_weights(motion, weight_name=lora[0], adapter_name="zoom")
            clips.set_adapters(["zoom"], [lora[1]])
        clips.set_progress_bar_config(disable=True)
        given = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch, "guidance_scale": SCALE}
        given |= {"num_inference_steps": STEPS, "width": SIZE, "height": SIZE, "num_frames": FRAMES}
        seeds = [torch.Generator().manual_seed(SEED + item) for item in range(batch)]
        asked = {name: one for name, one in {**given, **call}.items() if one is not None}
        found = clips(**asked, generator=seeds, output_type="np").frames
        return (found * 255).round().astype("uint8")

    return made


def graph_of(
    source: str = "motion",
    frames: int = FRAMES,
    batch: int = 1,
    prompted: Callable[[Any], Any] = lambda prompts: prompts,
    changed: Callable[[Any], Any] = lambda model: model,
    start: Callable[[Any], Any] | None = None,
    **sampling: Any,
) -> Graph:
    """A clip by a motion adapter."""
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        loaded: Any = LoadCheckpoint("epsilon")
        model = changed(ApplyMotionAdapter(loaded.model, source, noise="linear"))
        prompts = prompted([TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)])
        guide = CFGGuide(model, *prompts, scale=SCALE)
        latent = start(loaded) if start else EmptyVideoLatent(SIZE, SIZE, frames, batch)
        clip = {"clip": False} if sampling.get("sampler", "ddim") in ("ddim", "ddpm") else {}
        sampled = KSampler(guide, latent, **{"seed": SEED, "steps": STEPS, "sampler": "ddim", **clip, **sampling})
        VAEDecodeVideo(loaded.vae, sampled)
    return graph


def ours(engine: Engine, graph: Graph) -> Pixels:
    video = engine.run(graph).outputs["video"]
    assert isinstance(video, Video)
    return video.frames.numpy()


SAMPLERS = ["ddim", "euler", "dpmpp_2m"]

MORE = ["ddpm", "pndm", "lms", "euler_ancestral", "heun", "dpm2", "dpmpp_2m_sde", "dpmpp_2s", "deis", "unipc", "lcm"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", MORE)
def test_a_clip_of_any_sampler_equals_that_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("adapter", ["motion", "motion-flat"])
def test_clips_of_a_batch_equal_those_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str, adapter: str) -> None:
    both = theirs(sampler, adapter=adapter, batch=2)
    assert_same(ours(engine, graph_of(adapter, batch=2, sampler=sampler)), numpy.concatenate(both))


def test_a_control_net_reads_a_picture_for_each_frame(engine: Engine, theirs: Clip, pictures: Path) -> None:
    shown = [Pictures.open(pictures / f"{name}.png") for name in ("ramp", "stripes", "ramp")]

    def prompted(prompts: Any) -> Any:
        images = BatchImages([LoadImage(f"{name}.png") for name in ("ramp", "stripes", "ramp")])
        positive, negative = prompts
        return ApplyControlNet(positive, negative, LoadControlNet("edges"), images)

    wanted = theirs("euler", "ControlNet", num_frames=3, controlnet="edges", conditioning_frames=shown)
    assert_same(ours(engine, graph_of(frames=3, sampler="euler", prompted=prompted)), wanted[0])


@pytest.mark.parametrize("sampler", [pytest.param(one, marks=[pytest.mark.slow] * (one != "ddim")) for one in SAMPLERS])
def test_a_clip_made_of_another_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, oracle: Oracle, pictures: Path, sampler: str
) -> None:
    """The pipeline is given latents: of a clip it draws the noise frame by frame, other than for clips from text."""
    names = ("ramp", "stripes", "ramp")
    frames = numpy.stack([numpy.asarray(Pictures.open(pictures / f"{name}.png").convert("RGB")) for name in names])
    vae = oracle.pipeline("epsilon").vae
    levels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        encoded = (vae.encode(levels).latent_dist.mode() * vae.config.scaling_factor).movedim(0, 1)[None]
    # This way the pipeline walks the last of `steps / strength` steps.
    walked = {"enforce_inference_steps": True, "strength": 0.6, "num_inference_steps": 3, "num_frames": None}
    wanted = theirs(sampler, "VideoToVideo", latents=encoded, **walked)

    def start(loaded: Any) -> Any:
        return VAEEncodeVideo(loaded.vae, MakeVideo(BatchImages([LoadImage(f"{name}.png") for name in names])))

    assert_same(ours(engine, graph_of(start=start, sampler=sampler, steps=5, denoise=0.6)), wanted[0])


@pytest.fixture(scope="module")
def zoom(motion: Path) -> str:
    """A LoRA for motion, as diffusers saves those of AnimateDiff's authors."""
    layers = {name: one for name, one in motion_adapter().named_modules() if name.endswith(("to_q", "to_v"))}
    numbers = torch.Generator().manual_seed(5)
    tensors = {}
    for name, layer in layers.items():
        rows, columns = layer.weight.shape
        tensors[f"unet.{name}.lora_A.weight"] = torch.randn(2, columns, generator=numbers) * 0.3
        tensors[f"unet.{name}.lora_B.weight"] = torch.randn(rows, 2, generator=numbers) * 0.3
    save_file(tensors, motion / "zoom.safetensors")
    return "zoom.safetensors"


def test_a_lora_for_motion_changes_motion_as_in_the_pipeline(engine: Engine, theirs: Clip, zoom: str) -> None:
    graph = graph_of(
        sampler="euler", changed=lambda model: ApplyLoRAToModel(lora=LoadLoRA(zoom), model=model, strength=0.7)
    )
    wanted = theirs("euler", lora=(zoom, 0.7))[0]
    assert_same(ours(engine, graph), wanted)
    assert numpy.abs(wanted.astype(int) - theirs("euler")[0]).max() > 2


def test_motion_modules_of_the_authors_file_make_the_same_clip(engine: Engine, motion: Path) -> None:
    weights = load_file(motion / "motion" / "diffusion_pytorch_model.safetensors")
    save_file({_published(name): one for name, one in weights.items()}, motion / "mm.safetensors")
    clips = [ours(engine, graph_of(source, sampler="euler")) for source in ("motion", "mm.safetensors")]
    assert_same(clips[0], clips[1])


def _published(name: str) -> str:
    """The name of a tensor in the files that AnimateDiff's authors published."""
    for ours, theirs in (
        (".pos_embed.pe", ".attention_blocks.0.pos_encoder.pe"),
        (".transformer_blocks.", ".temporal_transformer.transformer_blocks."),
        (".attn1.", ".attention_blocks.0."),
        (".attn2.", ".attention_blocks.1."),
        (".norm1.", ".norms.0."),
        (".norm2.", ".norms.1."),
        (".norm3.", ".ff_norm."),
    ):
        name = name.replace(ours, theirs)
    for ours in ("norm.", "proj_in.", "proj_out."):
        name = re.sub(rf"(motion_modules\.\d+)\.{ours}", rf"\1.temporal_transformer.{ours}", name)
    return name


def test_a_picture_is_the_same_after_a_clip(engine: Engine, motion: Path) -> None:
    with Graph(outputs={"image": Link("vae_decode")}) as graph:
        loaded: Any = LoadCheckpoint("epsilon")
        guide = CFGGuide(loaded.model, TextEncode(loaded.text_encoder, PROMPT))
        VAEDecode(loaded.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), steps=2))
    before = engine.run(graph).outputs["image"].pixels
    ours(engine, graph_of())
    assert (engine.run(graph).outputs["image"].pixels == before).all()


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_frames_have_a_share_of_their_noise_in_common(engine: Engine, motion: Path, alike: float) -> None:
    with Graph(outputs={"noise": Link("draw_noise")}) as graph:
        model = ApplyMotionAdapter(LoadCheckpoint("epsilon").model, "motion")
        DrawNoise(model, EmptyVideoLatent(256, 256, 4), seed=3, alike=alike)
    (frames,) = engine.run(graph).outputs["noise"].samples.transpose(1, 2)
    found = torch.corrcoef(frames.flatten(1))
    assert (frames.flatten(1).std(1) - 1).abs().max() < 0.05
    assert (found - torch.eye(4) - alike * (1 - torch.eye(4))).abs().max() < 0.05


def test_what_makes_no_clip_is_refused_before_a_run(engine: Engine, motion: Path) -> None:
    with refused("wrong-adapter"):
        engine.run(graph_of("motion-deep"))
    with refused("wrong-size", 24, 25):
        engine.run(graph_of(frames=25))
    with refused("wrong-latent"):
        engine.run(graph_of(start=lambda loaded: EmptyLatent(SIZE, SIZE)))
    with refused("wrong-kind-of-file"):
        engine.run(graph_of("edges"))
    with Graph(outputs={"latent": Link("k_sampler")}) as graph:
        loaded: Any = LoadCheckpoint("epsilon")
        KSampler(CFGGuide(loaded.model, TextEncode(loaded.text_encoder, PROMPT)), EmptyVideoLatent(SIZE, SIZE, 2))
    with refused("wrong-latent"):
        engine.run(graph)
