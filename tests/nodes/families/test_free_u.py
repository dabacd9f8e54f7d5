"""FreeU: pictures are those of diffusers' `enable_freeu`, and nothing of it stays in the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers.models.unets import unet_2d_blocks
from torch import Tensor

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Context, Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, FreeU, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

Zoo = Callable[[str], str]

FACTORS: dict[str, Any] = {"s1": 0.9, "s2": 0.2, "b1": 1.5, "b2": 1.6}

STEPS = 3


@contextmanager
def freed(oracle: Oracle, model: str, **factors: float) -> Iterator[None]:
    """The network of a pipeline with FreeU, while open."""
    unet = oracle.pipeline(model).unet
    unet.enable_freeu(**factors)
    yield
    unet.disable_freeu()


MILD: dict[str, Any] = {"s1": 0.6, "s2": 0.4, "b1": 1.1, "b2": 1.2}


@pytest.mark.parametrize(
    ("model", "kind", "factors"),
    [
        ("epsilon", "StableDiffusionPipeline", FACTORS),
        ("epsilon", "StableDiffusionPipeline", MILD),
        ("sd2", "StableDiffusionPipeline", FACTORS),
        ("sdxl", "StableDiffusionXLPipeline", MILD),
    ],
)
def test_pictures_with_free_u_are_those_of_diffusers(
    model: str, kind: str, factors: dict[str, Any], zoo: Zoo, oracle: Oracle, engine: Engine
) -> None:
    name = model if model == "epsilon" else zoo(model)
    with Graph() as graph:
        checkpoint = LoadCheckpoint(name)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(FreeU(checkpoint.model, **factors), *prompts, scale=SCALE)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS)))
        plain = CFGGuide(checkpoint.model, *prompts, scale=SCALE)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(plain, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS)))
    ours, without = read_pixels(engine.run(graph).paths)[:, None]
    call: Any = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE}
    with freed(oracle, name, **factors):
        assert_same(ours, oracle.paint(getattr(diffusers, kind), "dpmpp_2m", model=name, **call))
    assert_same(without, oracle.paint(getattr(diffusers, kind), "dpmpp_2m", model=name, **call))
    assert (ours != without).any()


def published(adaptive: bool, base: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """What FreeU's authors' code does with hidden features and a skip connection, by the width of the first."""

    def weighed(index: int, hidden: Tensor, skip: Tensor, **factors: float) -> tuple[Tensor, Tensor]:
        stage = {4 * base: 1, 2 * base: 2}.get(hidden.shape[1])
        if stage is None:
            return hidden, skip
        raised = torch.tensor(factors[f"b{stage}"])
        if adaptive:
            means = [one.mean(0) for one in hidden]
            places = torch.stack([(one - one.min()) / (one.max() - one.min()) for one in means])
            raised = ((raised - 1) * places + 1)[:, None]
        half = hidden.shape[1] // 2
        frequencies = torch.fft.fftshift(torch.fft.fft2(skip), dim=(-2, -1))
        rows, columns = (side // 2 for side in skip.shape[-2:])
        frequencies[..., rows - 1 : rows + 1, columns - 1 : columns + 1] *= factors[f"s{stage}"]
        smoothed = torch.fft.ifft2(torch.fft.ifftshift(frequencies, dim=(-2, -1))).real
        return torch.cat([hidden[:, :half] * raised, hidden[:, half:]], 1), smoothed

    return weighed


@pytest.mark.parametrize(("by", "name"), [("width", "epsilon"), ("width and mean", "epsilon"), ("width", "sdxl")])
def test_features_weighed_by_their_width_are_those_of_the_authors(
    by: Any, name: str, zoo: Zoo, oracle: Oracle, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = name if name == "epsilon" else zoo(name)
    with Graph() as graph:
        checkpoint = LoadCheckpoint(source)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(FreeU(checkpoint.model, **MILD, by=by), *prompts, scale=SCALE)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS)))
    (ours,) = read_pixels(engine.run(graph).paths)
    widths = oracle.pipeline(source).unet.config.block_out_channels
    monkeypatch.setattr(unet_2d_blocks, "apply_freeu", published(by != "width", widths[0]))
    kind: Any = "StableDiffusionXLPipeline" if name == "sdxl" else "StableDiffusionPipeline"
    call: Any = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE}
    plain = oracle.paint(getattr(diffusers, kind), "dpmpp_2m", model=source, **call)
    with freed(oracle, source, **MILD):
        expected = oracle.paint(getattr(diffusers, kind), "dpmpp_2m", model=source, **call)
    assert_same(ours[None], expected)
    assert (expected != plain).any()


def test_nothing_of_free_u_stays_and_the_last_one_counts(call: Callable[..., Any], context: Context) -> None:
    model = call(LoadCheckpoint, source="epsilon").model
    once = call(FreeU, model=model, **FACTORS)
    with context.weights(call(FreeU, model=once, b1=2.0)) as denoiser:
        assert [block.b1 for block in denoiser.network.up_blocks] == [2.0, 2.0]
    with context.weights(once) as denoiser:
        assert [(block.b1, block.s2) for block in denoiser.network.up_blocks] == [(1.5, 0.2)] * 2
    with context.weights(call(FreeU, model=model, by="width")) as denoiser:
        assert hooks(denoiser)
    with context.weights(model) as denoiser:
        assert not hooks(denoiser)
        assert not any(vars(block).get(name) for block in denoiser.network.up_blocks for name in FACTORS)


def hooks(denoiser: Any) -> int:
    return sum(len(one._forward_pre_hooks) for one in denoiser.network.modules())


@pytest.mark.parametrize("name", ["sd3", "dit"])
def test_models_without_skip_connections_are_refused(name: str, zoo: Zoo, engine: Engine) -> None:
    with Graph() as graph:
        graph.output("model", FreeU(LoadCheckpoint(zoo(name)).model))
    with refused("unsupported-by-model"):
        engine.run(graph)
