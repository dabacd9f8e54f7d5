"""Pictures in place of SDXL's pooled vector equal diffusers' own pipeline given an image embedding as that vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from tests.nodes.conftest import read_pixels
from tests.nodes.families.image_adapters import SIDE, clip_vision
from tests.nodes.families.tiny import WIDTH
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyReVision,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    Image,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    SaveImage,
    TextEncode,
    VAEDecode,
)


@pytest.fixture(scope="module")
def encoder(models: Path) -> str:
    """An image encoder that makes vectors as wide as SDXL's pooled ones."""
    torch.manual_seed(0)
    clip_vision(WIDTH).save_pretrained(models / "pooled-vision")
    return "pooled-vision"


def painting(model: str, encoder: str, images: tuple[str, ...], **options: Any) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
        embedding = EncodeImage(LoadImageEncoder(encoder), [LoadImage(name) for name in images])
        guide = CFGGuide(checkpoint.model, ApplyReVision(positive, embedding, **options), negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=2, sampler="euler")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


@pytest.mark.parametrize("images", [("ramp.png",), ("ramp.png", "stripes.png")])
def test_a_picture_as_the_pooled_vector(
    engine: Engine, oracle: Oracle, zoo: Any, models: Path, pictures: Path, encoder: str, images: tuple[str, ...]
) -> None:
    pipe = oracle.pipeline(zoo("sdxl"))
    vision = CLIPVisionModelWithProjection.from_pretrained(models / encoder)
    prepare: Any = CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    prepared = prepare([Pictures.open(pictures / name) for name in images], return_tensors="pt")
    with torch.no_grad():
        vector = vision(prepared.pixel_values).image_embeds.sum(0, keepdim=True)
        tokens, against, _, pooled_against = pipe.encode_prompt(PROMPT, negative_prompt=NEGATIVE)
    given = {"prompt_embeds": tokens, "pooled_prompt_embeds": vector, "negative_prompt_embeds": against}
    theirs = oracle.run(
        diffusers.StableDiffusionXLPipeline,
        "euler",
        model="sdxl",
        guidance_scale=SCALE,
        negative_pooled_prompt_embeds=pooled_against,
        **{**given, "num_inference_steps": 2, "height": SIZE, "width": SIZE},
    )
    assert_same(read_pixels(engine.run(painting("sdxl", encoder, images)).paths), theirs)


def test_strength_moves_from_words_to_pictures(engine: Engine, zoo: Any, encoder: str) -> None:
    with Graph() as graph:
        words = TextEncode(LoadCheckpoint(zoo("sdxl")).text_encoder, PROMPT)
        embedding = EncodeImage(LoadImageEncoder(encoder), LoadImage("ramp.png"))
        for name, strength in (("none", 0.0), ("half", 0.5), ("all", 1.0)):
            graph.output(name, ApplyReVision(words, embedding, strength=strength))
        graph.output("words", words)
    found = {name: one.prompts[0].pooled for name, one in engine.run(graph).outputs.items()}
    assert torch.equal(found["none"], found["words"])
    assert torch.allclose(found["half"], (found["none"] + found["all"]) / 2, atol=1e-6)


@pytest.mark.parametrize(("model", "width"), [("sdxl", WIDTH), ("epsilon", 0), ("flux-dev", WIDTH), ("z-image", 0)])
def test_vectors_of_other_widths_are_refused_before_a_run(
    engine: Engine, adapters: Path, zoo: Any, model: str, width: int
) -> None:
    known = model if model == "epsilon" else zoo(model)
    (problem,) = engine.check(painting(known, "vision", ("ramp.png",))).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-channels", "apply_re_vision", "embedding")
    assert names(problem, 48, width)


def test_vectors_of_other_widths_are_refused_in_a_run(engine: Engine, adapters: Path, call: Any) -> None:
    prompt = call(TextEncode, text_encoder=call(LoadCheckpoint, source="epsilon").text_encoder, text=PROMPT)
    encoder = call(LoadImageEncoder, source="vision")
    embedding = call(EncodeImage, image_encoder=encoder, image=Image(torch.rand(1, 8, 8, 3)))
    with refused("wrong-channels", 48, 0):
        call(ApplyReVision, prompt=prompt, embedding=embedding)


def test_pictures_are_summed_by_their_strengths_without_the_words(
    engine: Engine, zoo: Any, models: Path, pictures: Path, encoder: str
) -> None:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(zoo("sdxl"))
        prompt: Any = TextEncode(checkpoint.text_encoder, PROMPT)
        encoded = [EncodeImage(LoadImageEncoder(encoder), LoadImage(name)) for name in ("ramp.png", "stripes.png")]
        first = ApplyReVision(prompt, encoded[0], strength=0.75, mode="replace")
        graph.output("both", ApplyReVision(first, encoded[1], strength=0.5, mode="add"))
        graph.output("first", encoded[0])
        graph.output("second", encoded[1])
    found = engine.run(graph).outputs
    expected = 0.75 * found["first"].vectors + 0.5 * found["second"].vectors
    assert torch.allclose(found["both"].prompts[0].pooled, expected, atol=1e-6)
