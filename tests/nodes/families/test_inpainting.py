"""Models that see a picture while they paint: inpainting and InstructPix2Pix, equal to diffusers' own pipelines."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    CFGGuide,
    EditGuide,
    EmptyLatent,
    Image,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    Mask,
    PerturbedAttention,
    ProjectedGuidance,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)

SAMPLERS = ("model", "euler", "ddim", "dpmpp_2m")


def guide(checkpoint: Any, **options: Any) -> Any:
    positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
    return CFGGuide(checkpoint.model, positive, negative, **{"scale": SCALE, **options})


def inpainted(model: str, **sampling: Any) -> Graph:
    """Repaint where the stripes are white."""
    partly = {"start": Link("vae_encode")} if "denoise" in sampling else {}
    with Graph(outputs={"guide": Link("inpaint_guide"), **partly}) as graph:
        checkpoint, picture = LoadCheckpoint(model), LoadImage("ramp.png")
        seen = InpaintGuide(guide(checkpoint), checkpoint.vae, picture, ImageToMask(LoadImage("stripes.png")))
        start = VAEEncode(checkpoint.vae, picture) if partly else EmptyLatent(SIZE, SIZE)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(seen, start, seed=SEED, steps=STEPS, **sampling)))
    return graph


@pytest.mark.parametrize("denoise", [1.0, 0.6])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("model", "kind"),
    [("inpaint", "StableDiffusion"), ("sd2-inpaint", "StableDiffusion"), ("sdxl-inpaint", "StableDiffusionXL")],
)
def test_inpainting(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, model: str, kind: str, sampler: Any, denoise: float
) -> None:
    """Pictures' mean latents are given to the pipeline, which would draw them from the VAE's distribution."""
    partly: dict[str, Any] = {} if denoise == 1 else {"denoise": denoise}
    ours = engine.run(inpainted(zoo(model), sampler=sampler, **partly))
    picture = ours.outputs["start"].samples if partly else Pictures.open(pictures / "ramp.png")
    theirs = oracle.paint(
        getattr(diffusers, f"{kind}InpaintPipeline"),
        sampler,
        model=model,
        image=picture,
        mask_image=Pictures.open(pictures / "stripes.png"),
        masked_image_latents=ours.outputs["guide"].beside[:, 1:],
        strength=denoise,
        height=SIZE,
        width=SIZE,
    )
    assert_same(read_pixels(ours.paths), theirs)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_instruct_pix2pix(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, sampler: Any) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint(zoo("edit"))
        seen = EditGuide(guide(checkpoint), checkpoint.vae, LoadImage("ramp.png"), image_scale=1.3)
        latent = KSampler(seen, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler=sampler)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    theirs = oracle.paint(
        diffusers.StableDiffusionInstructPix2PixPipeline,
        sampler,
        model="edit",
        image=Pictures.open(pictures / "ramp.png"),
        image_guidance_scale=1.3,
    )
    assert_same(read_pixels(engine.run(graph).paths), theirs)


@pytest.mark.parametrize("around", [[], [ProjectedGuidance], [PerturbedAttention, ProjectedGuidance]])
@pytest.mark.parametrize(("model", "hint"), [("inpaint", "InpaintGuide"), ("edit", "EditGuide")])
def test_a_model_that_wants_to_see_a_picture_says_so_before_a_run(
    zoo: Any, engine: Engine, model: str, hint: str, around: list[Any]
) -> None:
    """Also where what guides it is inside other guides."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(zoo(model), id="checkpoint")
        guided = reduce(lambda inner, outer: outer(inner), around, guide(checkpoint))
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guided, EmptyLatent(SIZE, SIZE))))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-guide", "k_sampler", "guide")
    assert names(problem, "checkpoint", "cfg_guide") and hint in problem.hint


def test_a_model_that_sees_no_picture_is_given_none(engine: Engine) -> None:
    (problem,) = engine.check(inpainted("epsilon")).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-guide", "k_sampler", "guide")
    assert names(problem, "inpaint_guide")


def test_a_mask_is_a_channel_of_a_picture(call: Any) -> None:
    pixels = torch.tensor([[[[1.0, 0.0, 0.5, 0.25]]]])
    masks = {name: call(ImageToMask, image=Image(pixels), channel=name) for name in ("red", "alpha", "brightness")}
    assert [round(mask.coverage.item(), 3) for mask in masks.values()] == [1.0, 0.25, 0.356]
    assert call(ImageToMask, image=Image(pixels), channel="red", invert=True).coverage.item() == 0
    with refused("no-alpha"):
        call(ImageToMask, image=Image(pixels[..., :3]), channel="alpha")


def test_a_mask_of_another_size_is_refused(zoo: Any, call: Any) -> None:
    checkpoint = call(LoadCheckpoint, source=zoo("inpaint"))
    prompt = call(TextEncode, text_encoder=checkpoint.text_encoder, text=PROMPT)
    given = {"guide": call(CFGGuide, model=checkpoint.model, positive=prompt), "vae": checkpoint.vae}
    picture = {"image": Image(torch.zeros(1, 64, 64, 3)), "mask": Mask(torch.zeros(1, 32, 64))}
    with refused("size-mismatch", "64 x 32", "64 x 64"):
        call(InpaintGuide, **given, **picture)
