"""Pictures as prompts by IP-Adapters equal those of diffusers' own pipelines.

More scales, families and blocks: `pytest -m slow tests/nodes/families/test_ip_adapters.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from diffusers.callbacks import IPAdapterScaleCutoffCallback
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image as Pictures
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from tests.nodes.conftest import controlled, read_pixels
from tests.nodes.families.image_adapters import SIDE
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from weft.engine import Context, Engine, Graph
from weft.nodes import (
    ApplyIPAdapter,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    ImageToMask,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    LoadIPAdapter,
    PerturbedAttention,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.library.sampler_batch import sampled_together
from weft.nodes.models.image_attention import ImageLayers

STEPS = 2

Theirs = Callable[..., Pixels]


@pytest.fixture(scope="module")
def pictured(adapters: Path, oracle: Oracle, pictures: Path) -> Theirs:
    """diffusers' pictures under adapters, called as its documentation does."""
    own = Oracle(adapters)

    def paint(
        model: str,
        names: Sequence[str],
        scales: Any,
        images: Any,
        batch: int = 1,
        kind: Any = None,
        **call: Any,
    ) -> Pixels:
        pipe = own.pipeline(model)
        vision = CLIPVisionModelWithProjection.from_pretrained(adapters / "vision")
        prepare = CLIPImageProcessor(size=SIDE, crop_size=SIDE)
        pipe.register_modules(image_encoder=vision, feature_extractor=prepare)
        files = [f"{name}.safetensors" for name in names]
        pipe.load_ip_adapter(str(adapters), subfolder="", weight_name=files, image_encoder_folder=None)
        pipe.set_ip_adapter_scale(scales)
        given = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch, "guidance_scale": SCALE}
        try:
            return own.run(
                kind or type(pipe),
                "euler",
                model=model,
                batch=batch,
                ip_adapter_image=images,
                **{"num_inference_steps": STEPS, "height": SIZE, "width": SIZE, **given, **call},
            )
        finally:
            pipe.unload_ip_adapter()

    return paint


Applied = Mapping[str, Any]

Change = Callable[..., Any]


def painting(
    model: str,
    applied: Sequence[Applied],
    batch: int = 1,
    steps: int = STEPS,
    sampler: Any = "euler",
    encoder: str = "vision",
    prompted: Change = lambda prompts: prompts,
    guided: Change = lambda guide: guide,
    width: int = SIZE,
    height: int = SIZE,
    **guiding: Any,
) -> Graph:
    """A graph under adapters: each with its file, the names of its pictures, and the options of the node."""
    apply: Any = ApplyIPAdapter
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        prompts: Any = prompted([TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)])
        reader = LoadImageEncoder(encoder)
        for one in applied:
            given = {**one}
            adapter, image = LoadIPAdapter(f"{given.pop('adapter')}.safetensors"), given.pop("image")
            if "mask" in given:
                given["mask"] = ImageToMask(LoadImage(given.pop("mask")), invert=given.pop("invert", False))
            names = [image] if isinstance(image, str) else image
            encoded = EncodeImage(reader, [LoadImage(name) for name in names])
            prompts = apply(*prompts, adapter, encoded, **given)
        guide = guided(CFGGuide(checkpoint.model, *prompts, **{"scale": SCALE, **guiding}))
        latent = KSampler(guide, EmptyLatent(width, height, batch), seed=SEED, steps=steps, sampler=sampler)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def ours(engine: Engine, *given: Any, **options: Any) -> Pixels:
    return read_pixels(engine.run(painting(*given, **options)).paths)


FAMILIES = {"sd1": "epsilon", "sdxl": "sdxl"}


@pytest.fixture(scope="module")
def plain(engine: Engine, adapters: Path) -> Mapping[str, Pixels]:
    """Pictures without adapters, by model."""
    return {model: ours(engine, model, [], 2) for model in FAMILIES.values()}


@pytest.mark.parametrize("scale", [0.6, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_picture(
    engine: Engine,
    pictured: Theirs,
    oracle: Oracle,
    pictures: Path,
    plain: Mapping[str, Pixels],
    family: str,
    kind: str,
    scale: float,
) -> None:
    adapter, model = f"{family}-{kind}", FAMILIES[family]
    theirs = pictured(model, [adapter], scale, Pictures.open(pictures / "ramp.png"), batch=2)
    assert_same(ours(engine, model, [{"adapter": adapter, "image": "ramp.png", "scale": scale}], 2), theirs)
    assert numpy.abs(theirs - plain[model].astype(int)).max() > 20, "the picture makes a difference"


def test_several_pictures_are_one_prompt(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    images = [Pictures.open(pictures / name) for name in ("ramp.png", "stripes.png")]
    theirs = pictured("epsilon", ["sd1-plus"], 0.7, [images])
    with_both = painting("epsilon", [{"adapter": "sd1-plus", "image": ("ramp.png", "stripes.png"), "scale": 0.7}])
    assert_same(read_pixels(engine.run(with_both).paths), theirs)


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_several_adapters(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path, family: str) -> None:
    images = [Pictures.open(pictures / name) for name in ("ramp.png", "stripes.png")]
    theirs = pictured(FAMILIES[family], [f"{family}-plain", f"{family}-plus"], [0.7, 0.4], images)
    first = {"adapter": f"{family}-plain", "image": "ramp.png", "scale": 0.7}
    second = {"adapter": f"{family}-plus", "image": "stripes.png", "scale": 0.4}
    assert_same(ours(engine, FAMILIES[family], [first, second]), theirs)


BLOCKS: Mapping[str, tuple[str, Any, str]] = {
    "the style": ("sdxl", {"up": {"block_0": [0.0, 1.0]}}, "up_blocks.0.attentions.1=1"),
    "style and layout": (
        "sdxl",
        {"down": {"block_1": [0.5]}, "up": {"block_0": [0.0, 1.0]}},
        "down_blocks.1=0.5, up_blocks.0.attentions.1=1",
    ),
    "the middle": ("sd1", {"mid": 0.9}, "M00=0.9"),
    "the way down, and a part of the way up": (
        "sd1",
        {"down": 0.3, "up": {"block_1": [0.2, 0.8]}},
        "IN=0.3, up_blocks.1.attentions.0=0.2, up_blocks.1.attentions.1=0.8",
    ),
}
"""Scales of blocks: the family, as diffusers has them, and as Weft has."""

SLOW = [case for case in BLOCKS if case != "style and layout"]


@pytest.mark.parametrize("case", ["style and layout", *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)])
def test_scales_of_blocks(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path, case: str) -> None:
    family, scales, blocks = BLOCKS[case]
    theirs = pictured(FAMILIES[family], [f"{family}-plain"], scales, Pictures.open(pictures / "ramp.png"))
    own = {"adapter": f"{family}-plain", "image": "ramp.png", "blocks": blocks}
    assert_same(ours(engine, FAMILIES[family], [own]), theirs)
    assert not numpy.array_equal(theirs, ours(engine, FAMILIES[family], [{**own, "blocks": ""}]))


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_a_picture_under_a_mask(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path, family: str) -> None:
    stripes = Pictures.open(pictures / "stripes.png")
    masks = IPAdapterMaskProcessor().preprocess(stripes, height=SIZE, width=SIZE)
    given = {"cross_attention_kwargs": {"ip_adapter_masks": masks}}
    theirs = pictured(FAMILIES[family], [f"{family}-plus"], 0.8, Pictures.open(pictures / "ramp.png"), **given)
    own = {"adapter": f"{family}-plus", "image": "ramp.png", "mask": "stripes.png", "scale": 0.8}
    assert_same(ours(engine, FAMILIES[family], [own]), theirs)


def test_two_pictures_each_under_a_mask(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    ramp, stripes = (Pictures.open(pictures / name) for name in ("ramp.png", "stripes.png"))
    inverse = Pictures.eval(stripes, lambda level: 255 - level)
    masks = IPAdapterMaskProcessor().preprocess([stripes, inverse], height=SIZE, width=SIZE)
    given = {"cross_attention_kwargs": {"ip_adapter_masks": [masks.reshape(1, 2, SIZE, SIZE)]}}
    theirs = pictured("epsilon", ["sd1-plain"], [[0.7, 0.5]], [[ramp, stripes]], batch=2, **given)
    shared = {"adapter": "sd1-plain", "mask": "stripes.png"}
    first = {**shared, "image": "ramp.png", "scale": 0.7}
    second = {**shared, "image": "stripes.png", "scale": 0.5, "invert": True}
    assert_same(ours(engine, "epsilon", [first, second], 2), theirs)


def test_without_guidance(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    theirs = pictured("epsilon", ["sd1-plain"], 0.8, Pictures.open(pictures / "ramp.png"), guidance_scale=1.0)
    own = {"adapter": "sd1-plain", "image": "ramp.png", "scale": 0.8}
    assert_same(ours(engine, "epsilon", [own], scale=1.0), theirs)


def test_a_part_of_the_steps(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    """diffusers' callback turns the adapter off after the step that it names."""
    given: dict[str, Any] = {"callback_on_step_end": IPAdapterScaleCutoffCallback(None, 1), "num_inference_steps": 4}
    theirs = pictured("epsilon", ["sd1-plain"], 0.8, Pictures.open(pictures / "ramp.png"), **given)
    own = {"adapter": "sd1-plain", "image": "ramp.png", "scale": 0.8}
    assert_same(ours(engine, "epsilon", [{**own, "end": 0.5}], steps=4), theirs)
    assert not numpy.array_equal(theirs, ours(engine, "epsilon", [own], steps=4))


def test_a_picture_with_a_control_net(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    ramp, stripes = (Pictures.open(pictures / name) for name in ("ramp.png", "stripes.png"))
    given = {"parts": {"controlnet": oracle.control_net("edges")}, "image": stripes}
    kind = diffusers.StableDiffusionControlNetPipeline
    theirs = pictured("epsilon", ["sd1-plus"], 0.7, ramp, kind=kind, **given)
    own = {"adapter": "sd1-plus", "image": "ramp.png", "scale": 0.7}

    def steered(prompts: Any) -> Any:
        return controlled(prompts[0], prompts[1], "edges", "stripes.png")

    assert_same(ours(engine, "epsilon", [own], prompted=steered), theirs)


def test_a_picture_with_perturbed_attention(engine: Engine, pictured: Theirs, oracle: Oracle, pictures: Path) -> None:
    kind, given = diffusers.StableDiffusionPAGPipeline, {"parts": {"pag_applied_layers": ["mid"]}, "pag_scale": 3.0}
    theirs = pictured("epsilon", ["sd1-plain"], 0.7, Pictures.open(pictures / "ramp.png"), kind=kind, **given)
    own = {"adapter": "sd1-plain", "image": "ramp.png", "scale": 0.7}
    perturbed = ours(engine, "epsilon", [own], guided=lambda guide: PerturbedAttention(guide, scale=3.0))
    assert_same(perturbed, theirs)


def test_each_item_may_have_a_picture_of_its_own(engine: Engine, adapters: Path) -> None:
    own = {"adapter": "sd1-plus", "image": ("ramp.png", "stripes.png"), "per_item": True}
    both = ours(engine, "epsilon", [own], 2)
    assert_same(both[:1], ours(engine, "epsilon", [{**own, "image": "ramp.png"}]))
    assert numpy.abs(both[1].astype(int) - both[0]).max() > 20


def test_a_scale_of_0_is_no_adapter(engine: Engine, adapters: Path) -> None:
    own = {"adapter": "sd1-plus", "image": "ramp.png", "scale": 0.0}
    assert numpy.array_equal(ours(engine, "epsilon", [own]), ours(engine, "epsilon", []))


def test_prompts_with_pictures_are_sampled_in_one_batch(call: Callable[..., Any], adapters: Path) -> None:
    """Two calls of a sampler with other pictures are one batch, and give what they give alone."""
    checkpoint, encoder = call(LoadCheckpoint, source="epsilon"), call(LoadImageEncoder, source="vision")
    adapter = call(LoadIPAdapter, source="sd1-plain.safetensors")
    words = call(TextEncode, text_encoder=checkpoint.text_encoder, text=PROMPT)
    calls = []
    for name in ("ramp.png", "stripes.png"):
        embedding = call(EncodeImage, image_encoder=encoder, image=call(LoadImage, path=name))
        given = {"positive": words, "negative": words, "ip_adapter": adapter, "embedding": embedding}
        guide = call(CFGGuide, model=checkpoint.model, **call(ApplyIPAdapter, **given)._asdict())
        calls.append({"guide": guide, "latent": call(EmptyLatent, width=SIZE, height=SIZE), "seed": 1})
    sampled: list[int] = []

    def sample(**given: Any) -> Any:
        sampled.append(given["latent"].batch_size)
        return call(KSampler, **given, steps=2, sampler="euler")

    together = sampled_together(sample, calls)
    assert sampled == [2]
    for one, given in zip(together, calls, strict=True):
        alone = sample(**given)
        assert one.samples is not None and torch.allclose(one.samples, alone.samples, atol=1e-4)


def test_the_network_is_what_it_was_afterwards(call: Callable[..., Any], context: Context) -> None:
    model = call(LoadCheckpoint, source="epsilon").model
    with context.weights(model) as denoiser:
        before = dict(denoiser.network.attn_processors)
        with context.weights(model, patches=(ImageLayers(),)):
            within = [name for name, one in denoiser.network.attn_processors.items() if one is not before[name]]
            assert within and all(name.endswith("attn2.processor") for name in within)
        assert denoiser.network.attn_processors == before


@pytest.mark.parametrize("scale", [0.5, [0.3, 0.9]])
def test_flux(
    engine: Engine, adapters: Path, zoo: Any, oracle: Oracle, pictures: Path, scale: float | list[float]
) -> None:
    """XLabs' names; in diffusers a list has a scale for each block. The negative prompt sees a black picture."""
    own = Oracle(adapters)
    pipe = own.pipeline(zoo("flux-dev"))
    vision = CLIPVisionModelWithProjection.from_pretrained(adapters / "vision")
    pipe.register_modules(image_encoder=vision, feature_extractor=CLIPImageProcessor(size=SIDE, crop_size=SIDE))
    pipe.load_ip_adapter(
        str(adapters), weight_name="xlabs.safetensors", image_encoder_pretrained_model_name_or_path=None
    )
    pipe.set_ip_adapter_scale(scale)
    theirs = own.run(
        diffusers.FluxPipeline,
        "model",
        model="flux-dev",
        prompt=[PROMPT],
        negative_prompt=[NEGATIVE],
        true_cfg_scale=2.0,
        guidance_scale=3.0,
        ip_adapter_image=Pictures.open(pictures / "ramp.png"),
        num_inference_steps=STEPS,
        height=SIZE,
        width=SIZE,
        max_sequence_length=512,
    )
    blocks = "" if isinstance(scale, float) else "transformer_blocks.0=0.3, transformer_blocks.1=0.9"
    given: dict[str, Any] = {"adapter": "xlabs", "image": "ramp.png", "blocks": blocks}
    given |= {"scale": scale} if isinstance(scale, float) else {}
    assert_same(ours(engine, "flux-dev", [given], sampler="model", scale=3.0, true_scale=2.0), theirs)
