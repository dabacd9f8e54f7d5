"""Pictures edited by instruction with Qwen-Image-Edit equal those of diffusers' own pipelines."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from transformers import BatchFeature, Qwen2VLImageProcessorPil

from tests.nodes.conftest import read_pixels
from tests.nodes.families import tiny
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    EncodeEditPrompt,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    ReferenceGuide,
    SamplerName,
    SaveImage,
    ScheduleName,
    VAEDecode,
)
from weft.nodes.prompting.language_sight import places_of_tokens

STEPS = 2


@pytest.fixture(scope="module")
def edit(models: Path) -> str:
    """A checkpoint of Qwen-Image-Edit, whose tokenizer has tokens for pictures."""
    if not (models / "qwen-edit").exists():
        torch.manual_seed(0)
        tiny.PIPELINES["qwen-edit"]().to(torch.float16).save_pretrained(models / "qwen-edit")
    return "qwen-edit"


def painting(
    model: str,
    images: tuple[str, ...],
    numbered: bool,
    clean: bool = False,
    normalise: bool = True,
    schedule: ScheduleName = "model",
) -> Graph:
    sampler: SamplerName = "model" if schedule == "model" else "euler"
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        shown: Any = [LoadImage(name) for name in images]
        prompts = [
            EncodeEditPrompt(checkpoint.text_encoder, text, shown, numbered=numbered) for text in (PROMPT, NEGATIVE)
        ]
        guide: Any = CFGGuide(checkpoint.model, *prompts, scale=SCALE, normalise=normalise)
        for one in shown:
            guide = ReferenceGuide(guide, checkpoint.vae, one, clean=clean)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler=sampler, schedule=schedule)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


class Processor:
    """transformers' Qwen2VLProcessor without its part for clips, which wants torchvision."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.pictures: Any = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 12_845_056})

    def __call__(self, text: list[str], images: Any, **options: Any) -> BatchFeature:
        shown = self.pictures(images, return_tensors="pt")
        parts = text[0].split("<|image_pad|>")
        counts = [int(grid.prod()) // 4 for grid in shown.image_grid_thw]
        whole = parts[0] + "".join("<|image_pad|>" * n + part for n, part in zip(counts, parts[1:], strict=True))
        return BatchFeature({**self.tokenizer([whole], **options), **shown})


def place_tokens(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers place the tokens of pictures as the model was trained with.

    From version 5 on it does so only where it is given which tokens these are, and diffusers does not give it.
    """
    pad, forward = pipe.tokenizer.convert_tokens_to_ids("<|image_pad|>"), pipe.text_encoder.forward

    def placed(*args: Any, input_ids: Any, **given: Any) -> Any:
        return forward(*args, input_ids=input_ids, mm_token_type_ids=(input_ids == pad).int(), **given)

    monkeypatch.setattr(pipe.text_encoder, "forward", placed)


BOTH = ("ramp.png", "stripes.png")

CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "the first version": ("QwenImageEditPipeline", BOTH[:1], {}),
    "2509": ("QwenImageEditPlusPipeline", BOTH, {}),
    "2511": ("QwenImageEditPlusPipeline", BOTH, {"clean": True}),
    "without the norm of guidance": ("QwenImageEditPlusPipeline", BOTH[:1], {"normalise": False}),
    **{f"over {name}": ("QwenImageEditPlusPipeline", BOTH[:1], {"schedule": name}) for name in ("karras", "beta")},
}
"""Pipelines of diffusers, with their pictures and what differs."""


@pytest.mark.parametrize("name", CASES)
def test_an_edited_picture(
    engine: Engine, oracle: Oracle, pictures: Path, edit: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, images, options = CASES[name]
    kind, numbered = getattr(diffusers, pipeline), pipeline.endswith("PlusPipeline")
    for size in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):
        monkeypatch.setattr(f"{kind.__module__}.{size}", SIZE * SIZE, raising=False)
    monkeypatch.setattr(
        f"{kind.__module__}.calculate_dimensions", lambda *_: (SIZE, SIZE) if numbered else (SIZE, SIZE, None)
    )
    whole = diffusers.QwenImagePipeline.from_pretrained(oracle.models / edit, torch_dtype=torch.float32)
    pipe = kind(**whole.components, processor=Processor(whole.tokenizer))
    place_tokens(pipe, monkeypatch)
    if "schedule" in options:
        pipe.scheduler = oracle.scheduler(edit, "euler", options["schedule"], {})
    if options.get("clean"):
        config = {**whole.transformer.config, "zero_cond_t": True}
        pipe.transformer = diffusers.QwenImageTransformer2DModel.from_config(config)
        pipe.transformer.load_state_dict(whole.transformer.state_dict())
    if not options.get("normalise", True):
        module = sys.modules[kind.__module__]
        monkeypatch.setattr(module, "torch", SimpleNamespace(**{**vars(torch), "norm": lambda *_, **__: 1.0}))
    shown = [Pictures.open(pictures / one).convert("RGB") for one in images]
    theirs = pipe(
        image=shown if numbered else shown[0],
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        true_cfg_scale=SCALE,
        height=SIZE,
        width=SIZE,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(SEED),
        output_type="np",
    ).images
    theirs = (theirs * 255).round().astype("uint8")
    assert_same(read_pixels(engine.run(painting(edit, images, numbered, **options)).paths), theirs)


def test_tokens_of_a_picture_have_its_rows_and_columns() -> None:
    pictured = [False, *[True] * 6, False]
    rows = [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1), (1, 2, 2), (1, 2, 3)]
    assert places_of_tokens(pictured, [(2, 3)]) == [(0, 0, 0), *rows, (4, 4, 4)]


def test_text_encoders_that_see_no_pictures_are_refused_before_the_run(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint("epsilon")
        graph.output("prompt", EncodeEditPrompt(checkpoint.text_encoder, PROMPT, LoadImage("ramp.png")))
    with refused("unsupported-by-model", node="encode_edit_prompt"):
        engine.run(graph)
