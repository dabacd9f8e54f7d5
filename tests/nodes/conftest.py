"""Tiny random SD 1.x models, made once a session, and what paints with them through graphs and the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
import torch
from PIL import Image as Pictures
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, STEPS, Oracle, Pixels, diffusers
from tests.nodes.oracle import SIZE as SIZE
from weft.engine import INJECTED, Context, Engine, Graph, NodeType, node
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.prompting.clip_tokenizer import clip_tokenizer

WIDTHS = {"block_out_channels": (32, 64), "layers_per_block": 1, "cross_attention_dim": 64}

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def tiny_tokenizer() -> CLIPTokenizer:
    """A tokenizer that spells: a token for each letter, within a word and at its end."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=77)


def tiny_text_model(vocabulary: int) -> CLIPTextModel:
    """Two layers, 64 wide."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        projection_dim=64,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    return CLIPTextModel(config)


def tiny_pipeline(prediction: str, tokenizer: CLIPTokenizer, **options: Any) -> Any:
    """A random SD 1.x pipeline: 64 pixels become 8 latent elements; `options` are the UNet's."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        **WIDTHS,
        **options,
        sample_size=SIZE // 8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=tiny_text_model(len(tokenizer)),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.PNDMScheduler(**SCHEDULER, prediction_type=prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_control_net(seed: int, **options: Any) -> Any:
    """A random ControlNet that sees its picture and gives something, where a fresh one has zeros at both ends."""
    torch.manual_seed(seed)
    net = diffusers.ControlNetModel(**{**WIDTHS, **options}, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"))
    ends = (net.controlnet_cond_embedding.conv_out, *net.controlnet_down_blocks, net.controlnet_mid_block)
    for zero_layer in ends:
        torch.nn.init.normal_(zero_layer.weight, std=0.2)
    return net


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder: a checkpoint for each prediction, `distilled`, `clip` with CLIP's own tokenizer, ControlNets."""
    folder = tmp_path_factory.mktemp("models")
    for prediction in ("epsilon", "v_prediction", "sample"):
        tiny_pipeline(prediction, tiny_tokenizer()).save_pretrained(folder / prediction)
    tiny_pipeline("epsilon", tiny_tokenizer(), time_cond_proj_dim=33).save_pretrained(folder / "distilled")
    tiny_pipeline("epsilon", clip_tokenizer()).save_pretrained(folder / "clip")
    for seed, name in enumerate(("edges", "depth")):
        tiny_control_net(seed).save_pretrained(folder / name)
    tiny_control_net(2, global_pool_conditions=True).save_pretrained(folder / "style")
    tiny_control_net(3, block_out_channels=(32, 32)).save_pretrained(folder / "other")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ramp.png`, smooth colours under some noise, and `stripes.png`, white on black."""
    folder = tmp_path_factory.mktemp("pictures")
    across, down = numpy.meshgrid(numpy.linspace(0, 255, SIZE), numpy.linspace(0, 255, SIZE))
    ramp = numpy.stack([across, down, 255 - across], -1) + numpy.random.default_rng(0).normal(0, 20, (SIZE, SIZE, 3))
    stripes = numpy.repeat((across + down > 255)[..., None] * 255, 3, -1)
    for name, planes in (("ramp", ramp), ("stripes", stripes)):
        Pictures.fromarray(planes.clip(0, 255).round().astype("uint8")).save(folder / f"{name}.png")
    return folder


def read_pixels(paths: Sequence[Path]) -> Pixels:
    """Saved pictures as one array."""
    return numpy.stack([numpy.asarray(Pictures.open(path)) for path in paths])


@pytest.fixture(scope="session")
def engine(models: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine that stores nothing, so that every picture is computed.

    Weights stay loaded, up to 160 MB of them; their tokenizers take as much again.
    """
    output = tmp_path_factory.mktemp("output")
    folders: dict[str, Any] = {"models": [models], "inputs": [pictures], "output": output}
    return Engine(store=None, device="cpu", precision="float32", guarded=True, weights=160_000_000, **folders)


@pytest.fixture(scope="session")
def context(engine: Engine) -> Context:
    """What a running node is given."""
    return cast(Context, engine.run_now(cast(NodeType, Lend), {}))


@node
def Lend(*, context: Context = INJECTED) -> Any:
    """The context of its own call."""
    return context


@pytest.fixture(scope="session")
def call(engine: Engine) -> Callable[..., Any]:
    """Call a node at once, in the session's engine: `call(TextEncode, text_encoder, text="...")`."""

    def run(type: Any, **given: Any) -> Any:
        return engine.run_now(type, given)

    return run


def controlled(positive: Any, negative: Any, net: str, image: str, **options: Any) -> Any:
    """Both prompts under a ControlNet of the models folder."""
    return ApplyControlNet(positive, negative, LoadControlNet(net), LoadImage(image), **options)


@pytest.fixture(scope="session")
def oracle(models: Path) -> Oracle:
    """diffusers' pipelines over the same models."""
    return Oracle(models)


Weft = Callable[..., Pixels]


@pytest.fixture(scope="session")
def weft_paints(engine: Engine) -> Weft:
    """Paint with Weft: a graph over a tiny model, run by the engine, read back from the saved PNGs."""

    def paint(
        model: str = "epsilon",
        *,
        batch: int = 1,
        image: str | None = None,
        scale: float = SCALE,
        controls: Sequence[Mapping[str, Any]] = (),
        training: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Pixels:
        with Graph() as graph:
            checkpoint = LoadCheckpoint(model, **(training or {}))
            positive = TextEncode(checkpoint.text_encoder, PROMPT)
            negative = TextEncode(checkpoint.text_encoder, NEGATIVE)
            for control in controls:
                positive, negative = controlled(positive, negative, **control)
            guide = CFGGuide(checkpoint.model, positive, negative, scale=scale)
            start = VAEEncode(checkpoint.vae, LoadImage(image)) if image else EmptyLatent(SIZE, SIZE, batch)
            latent = KSampler(guide, start, **{"seed": SEED, "steps": STEPS, **sampling})
            SaveImage(VAEDecode(checkpoint.vae, latent))
        return read_pixels(engine.run(graph).paths)

    return paint
