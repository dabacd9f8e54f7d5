"""Hypernetworks: pictures are those of diffusers' pipelines whose attention follows the published formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Context, Engine, Graph
from weft.nodes import (
    ApplyHypernetwork,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    SaveImage,
    TextEncode,
    VAEDecode,
)

STEPS = 2

Pairs = Mapping[int, tuple[nn.Module, nn.Module]]


def plain(width: int) -> nn.Module:
    """As files of before activations were an option: two linear layers."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.Linear(2 * width, width))


def normed(width: int) -> nn.Module:
    """With an activation, a layer norm and dropout after the first linear layer."""
    inner = (nn.Linear(width, 2 * width), nn.Hardswish(), nn.LayerNorm(2 * width), nn.Dropout(0.3))
    return nn.Sequential(*inner, nn.Linear(2 * width, width))


def active(width: int) -> nn.Module:
    """With activations after both."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


KINDS: dict[str, tuple[Callable[[int], nn.Module], dict[str, str]]] = {
    "plain": (plain, {}),
    "normed": (normed, {"activation_func": "swish", "is_layer_norm": "True", "activate_output": "False"}),
    "active": (active, {"activation_func": "relu", "activate_output": "True"}),
}
"""How each is made, and its metadata."""


def drawn(kind: str) -> Pairs:
    """Networks for keys and for values of each width that the tiny model's attention reads."""
    torch.manual_seed(3)
    make, _ = KINDS[kind]
    pairs = {width: (make(width).eval(), make(width).eval()) for width in (32, 64)}
    for pair in pairs.values():
        for parameter in (one for network in pair for one in network.parameters()):
            nn.init.normal_(parameter, std=0.2)
    return pairs


def written(models: Path, kind: str) -> str:
    """A file of such networks in the models folder; its name."""
    tensors: dict[str, Tensor] = {}
    for width, pair in drawn(kind).items():
        for side, network in enumerate(pair):
            tensors |= {f"{width}.{side}.linear.{name}": one for name, one in network.state_dict().items()}
    save_file(tensors, models / f"hyper-{kind}.safetensors", {**KINDS[kind][1], "name": "tiny"})
    return f"hyper-{kind}.safetensors"


class Formula:
    """Attention by its formula, with k(x + s h_k(x)) and v(x + s h_v(x))."""

    def __init__(self, pairs: Pairs, strength: float) -> None:
        self.pairs = pairs
        self.strength = strength

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Called by diffusers."""
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        for_keys, for_values = self.pairs[read.shape[-1]]
        key = attn.to_k(read + self.strength * for_keys(read))
        value = attn.to_v(read + self.strength * for_values(read))
        query, key, value = map(attn.head_to_batch_dim, (attn.to_q(hidden_states), key, value))
        weights = torch.softmax(query @ key.transpose(-1, -2) * attn.scale, dim=-1)
        out: Tensor = attn.to_out[0](attn.batch_to_head_dim(weights @ value))
        return out


def paint(engine: Engine, name: str, *strengths: float) -> Pixels:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        model: Any = checkpoint.model
        for strength in strengths:
            model = ApplyHypernetwork(model, name, strength=strength)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        latent = KSampler(
            CFGGuide(model, *prompts, scale=SCALE), EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="ddim"
        )
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


@pytest.mark.parametrize("strength", [1.0, -0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_the_formula(
    kind: str, strength: float, models: Path, oracle: Oracle, engine: Engine
) -> None:
    ours = paint(engine, written(models, kind), strength)
    unet = oracle.pipeline("epsilon").unet
    kept = dict(unet.attn_processors)
    unet.set_attn_processor(Formula(drawn(kind), strength))
    try:
        theirs = oracle.paint(diffusers.StableDiffusionPipeline, "ddim", num_inference_steps=STEPS)
    finally:
        unet.set_attn_processor(kept)
    assert_same(ours, theirs)
    assert (ours != paint(engine, written(models, kind))).any()


def test_none_is_left_behind_and_strength_0_is_none(models: Path, call: Callable[..., Any], context: Context) -> None:
    model, name = call(LoadCheckpoint, source="epsilon").model, written(models, "plain")
    assert call(ApplyHypernetwork, model=model, source=name, strength=0.0) == model
    twice = model
    for strength in (0.5, 0.25):
        twice = call(ApplyHypernetwork, model=twice, source=name, strength=strength)
    with context.weights(twice) as denoiser:
        hooks = [len(module._forward_pre_hooks) for module in denoiser.network.modules()]
        assert max(hooks) == 2
    with context.weights(model) as denoiser:
        assert not any(module._forward_pre_hooks for module in denoiser.network.modules())


def test_what_is_no_hypernetwork_of_the_model_is_refused(
    models: Path, zoo: Callable[[str], str], engine: Engine
) -> None:
    wide = {f"48.{side}.linear.0.{role}": torch.zeros(*size) for side in (0, 1) for role, size in SQUARE.items()}
    save_file(wide, models / "wide.safetensors")
    save_file({**wide, "extra": torch.zeros(1)}, models / "extra.safetensors")
    save_file({name: one for name, one in wide.items() if ".1." not in name}, models / "half.safetensors")
    gap = {name.replace("linear.0", f"linear.{number}"): one.clone() for number in (0, 2) for name, one in wide.items()}
    save_file(gap, models / "unnamed.safetensors")
    save_file(wide, models / "odd.safetensors", {"activation_func": "wobble"})
    (models / "old-hyper.pt").write_bytes(b"PK")
    refusals = {
        "wide.safetensors": "wrong-channels",
        "extra.safetensors": "damaged-file",
        "half.safetensors": "damaged-file",
        "unnamed.safetensors": "unsupported-weights",
        "odd.safetensors": "unsupported-weights",
        "old-hyper.pt": "pickle-refused",
        "epsilon": "wrong-kind-of-file",
    }
    for name, code in refusals.items():
        with refused(code):
            paint(engine, name, 1.0)
    with Graph() as graph:
        graph.output("model", ApplyHypernetwork(LoadCheckpoint(zoo("dit")).model, written(models, "plain")))
    with refused("unsupported-by-model"):
        engine.run(graph)


SQUARE = {"weight": (48, 48), "bias": (48,)}
