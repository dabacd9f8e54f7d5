"""Merged weights are the sums that torch makes of the files, bit for bit, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.nodes.families import lora_files as files
from tests.refusals import refused
from weft.engine import Context, Loading, Patch, value
from weft.nodes import (
    AddModels,
    AddTextEncoders,
    ApplyLoRA,
    LoadCheckpoint,
    LoadLoRA,
    MergeModels,
    MergeTextEncoders,
    MergeVAEs,
)
from weft.nodes.models.stored_weights import weights_of

Call = Callable[..., Any]

Weights = Mapping[str, Tensor]


def another(models: Path, name: str, seed: int) -> str:
    """A checkpoint like a tiny one with other weights; its name. Seed 0 is the tiny one itself."""
    folder = models / f"{name}-{seed}"
    if seed and not folder.exists():
        copytree(models / name, folder)
        numbers = torch.Generator().manual_seed(seed)
        for path in folder.glob("*/*.safetensors"):
            found = {key: one for key, one in load_file(path).items() if one.is_floating_point()}
            noise = {key: 0.05 * torch.randn(one.shape, generator=numbers) for key, one in found.items()}
            save_file({key: one + noise[key].to(one.dtype) for key, one in found.items()}, path, {"format": "pt"})
    return folder.name if seed else name


@pytest.fixture(scope="session")
def three(models: Path) -> tuple[str, str, str]:
    """The names of three SD 1 checkpoints."""
    first, second, third = (another(models, "epsilon", seed) for seed in range(3))
    return first, second, third


@pytest.fixture(scope="session")
def unets(models: Path, three: tuple[str, str, str]) -> tuple[Weights, Weights, Weights]:
    """The weights of their UNets."""
    first, second, third = (stored(models, name, "unet") for name in three)
    return first, second, third


@pytest.fixture
def loaded(call: Call, three: tuple[str, str, str]) -> tuple[Any, Any, Any]:
    """What LoadCheckpoint gives of them."""
    first, second, third = (call(LoadCheckpoint, source=name) for name in three)
    return first, second, third


def stored(models: Path, name: str, component: str) -> dict[str, Tensor]:
    """The weights of a component of a folder."""
    (path,) = (models / name / component).glob("*.safetensors")
    return {key: one for key, one in load_file(path).items() if one.is_floating_point()}


def in_text_model(weights: Weights, name: str = "clip_l") -> dict[str, Tensor]:
    """The weights of a CLIP text model under the names that its network has."""
    return {f"{name}.{key.removeprefix('text_model.')}": one for key, one in weights.items()}


@contextmanager
def held(context: Context, recipe: Any) -> Iterator[dict[str, Tensor]]:
    with context.weights(recipe) as module:
        yield weights_of(module)


def equal(found: Weights, wanted: Callable[[str], Tensor]) -> bool:
    """Whether weights are these, bit for bit."""
    return all(torch.equal(one, wanted(name)) for name, one in found.items())


def test_models_are_mixed_added_and_subtracted(unets: Any, loaded: Any, call: Call, context: Context) -> None:
    (a, b, c), (first, second, third) = unets, (one.model for one in loaded)
    merges: list[tuple[Any, Callable[[str], Tensor]]] = [
        (call(MergeModels, model=first, other=second, ratio=0.3), lambda key: (1 - 0.3) * a[key] + 0.3 * b[key]),
        (call(AddModels, model=first, other=second, strength=-0.5), lambda key: a[key] + -0.5 * b[key]),
        (
            call(AddModels, model=first, other=second, minus=third, strength=0.7),
            lambda key: a[key] + 0.7 * (b[key] - c[key]),
        ),
        (call(MergeModels, model=first, other=second, ratio=0.0), lambda key: a[key]),
    ]
    for recipe, wanted in merges:
        with held(context, recipe) as found:
            assert found.keys() == a.keys() and equal(found, wanted)
        with held(context, first) as found:
            assert equal(found, lambda key: a[key])


def test_merges_of_merges_are_the_sums_of_sums(unets: Any, loaded: Any, call: Call, context: Context) -> None:
    (a, b, c), (first, second, third) = unets, (one.model for one in loaded)
    row = call(MergeModels, model=call(MergeModels, model=first, other=second, ratio=0.3), other=third, ratio=0.4)
    nested = call(MergeModels, model=first, other=call(AddModels, model=second, other=third), ratio=0.4)
    with held(context, row) as found:
        assert equal(found, lambda key: (1 - 0.4) * ((1 - 0.3) * a[key] + 0.3 * b[key]) + 0.4 * c[key])
    with held(context, nested) as found:
        assert equal(found, lambda key: (1 - 0.4) * a[key] + 0.4 * (b[key] + 1.0 * c[key]))
    assert row.base == nested.base == first and len(row.changes) == 1


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_sixteen_bits_are_rounded_once(
    precision: str, models: Path, unets: Any, three: Any, call: Call, context: Context
) -> None:
    (a, b, c), dtype = unets, getattr(torch, precision)
    first, second, third = (replace(call(LoadCheckpoint, source=name).model, dtype=precision) for name in three)
    row = call(MergeModels, model=call(MergeModels, model=first, other=second, ratio=0.3), other=third, ratio=0.4)
    with held(context, row) as found:
        assert equal(found, lambda key: ((1 - 0.4) * ((1 - 0.3) * a[key] + 0.3 * b[key]) + 0.4 * c[key]).to(dtype))
    with held(context, first) as found:
        assert equal(found, lambda key: a[key].to(dtype))


def test_blocks_have_shares_of_their_own(unets: Any, loaded: Any, call: Call, context: Context) -> None:
    (a, b, _), (first, second, _) = unets, (one.model for one in loaded)
    blocks = "IN=0.25, M00=1, OUT00-OUT01=0, time_embedding=0.75"
    shares = {"conv_in": 0.25, "down_blocks": 0.25, "mid_block": 1.0, "time_embedding": 0.75, "up_blocks.0": 0.0}

    def wanted(key: str) -> Tensor:
        share = next((one for part, one in shares.items() if key.startswith(part)), 0.5)
        total: Tensor = (1 - share) * a[key] + share * b[key]
        return total

    with held(context, call(MergeModels, model=first, other=second, ratio=0.5, blocks=blocks)) as found:
        assert equal(found, wanted)
    numbers = call(MergeModels, model=first, other=second, ratio=0.5, blocks="0,0,0,0,1,0,0,0,0")
    with held(context, numbers) as found:
        assert equal(found, lambda key: (b if key.startswith("mid_block") else a)[key])


def test_text_encoders_and_vaes_are_merged(models: Path, three: Any, loaded: Any, call: Call, context: Context) -> None:
    texts = [in_text_model(stored(models, name, "text_encoder")) for name in three]
    first, second, third = (one.text_encoder for one in loaded)
    with held(context, call(MergeTextEncoders, text_encoder=first, other=second, ratio=0.3)) as found:
        assert equal(found, lambda key: (1 - 0.3) * texts[0][key] + 0.3 * texts[1][key])
    added = call(AddTextEncoders, text_encoder=first, other=second, minus=third, blocks="clip_l.encoder.layers.0=0")
    with held(context, added) as found:
        shares = {key: 0.0 if key.startswith("clip_l.encoder.layers.0.") else 1.0 for key in found}
        assert len(set(shares.values())) == 2
        assert equal(found, lambda key: texts[0][key] + shares[key] * (texts[1][key] - texts[2][key]))
    vaes = [stored(models, name, "vae") for name in three]
    mixed = call(MergeVAEs, vae=loaded[0].vae, other=loaded[1].vae, ratio=0.5, blocks="encoder=0")
    with held(context, mixed) as found:
        assert equal(
            found,
            lambda key: vaes[0][key] if key.startswith("encoder") else 0.5 * vaes[0][key] + 0.5 * vaes[1][key],
        )


@value
@dataclass(frozen=True)
class Doubled(Patch[Any]):
    """Doubles the first convolution of a network."""

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        weight = module.network.conv_in.weight
        kept = weight.data
        weight.data = 2 * kept

        def undo() -> None:
            weight.data = kept

        return undo


def test_what_another_patch_changed_is_merged_and_put_back(
    unets: Any, loaded: Any, call: Call, context: Context
) -> None:
    (a, b, _), (first, second, _) = unets, (one.model for one in loaded)
    changed = replace(first, changes=(Doubled(),))
    factor = {"conv_in.weight": 2}
    for _ in range(2):
        with held(context, call(MergeModels, model=changed, other=second, ratio=0.5)) as found:
            assert equal(found, lambda key: 0.5 * (factor.get(key, 1) * a[key]) + 0.5 * b[key])
        with held(context, changed) as found:
            assert equal(found, lambda key: factor.get(key, 1) * a[key])
        with held(context, first) as found:
            assert equal(found, lambda key: a[key])
    with held(context, replace(call(MergeModels, model=first, other=second), changes=(Doubled(),))) as found:
        assert equal(found, lambda key: factor.get(key, 1) * a[key])


def test_a_model_with_another_change_than_of_weights_is_no_part_of_a_merge(loaded: Any, call: Call) -> None:
    first, second, _ = (one.model for one in loaded)
    with refused("unsupported-by-model"):
        call(MergeModels, model=first, other=replace(second, changes=(Doubled(),)))


@pytest.fixture
def lora(models: Path, loaded: Any, call: Call, context: Context) -> Any:
    """A LoRA for UNet and text encoder of the tiny models."""
    path = models / "for-merges.safetensors"
    if not path.exists():
        with context.weights(loaded[0].model) as denoiser, context.weights(loaded[0].text_encoder) as encoder:
            unet = files.peft(files.low_rank(denoiser.network, 1), "unet.")
            text = files.peft(files.low_rank(encoder.readers[0].network, 2), "text_encoder.")
        save_file({key: one.clone() for key, one in {**unet, **text}.items()}, path)
    return call(LoadLoRA, source=path.name)


def test_models_with_loras_are_merged_and_merges_take_loras(
    lora: Any, unets: Any, loaded: Any, call: Call, context: Context
) -> None:
    (a, b, _), (first, second, _) = unets, loaded
    adapted = call(ApplyLoRA, lora=lora, model=second.model, text_encoder=second.text_encoder, strength=0.7)
    with held(context, adapted.model) as found:
        changed = {key: one.clone() for key, one in found.items()}
    assert not equal(changed, lambda key: b[key])
    for _ in range(2):
        with held(context, call(MergeModels, model=first.model, other=adapted.model, ratio=0.3)) as found:
            assert equal(found, lambda key: (1 - 0.3) * a[key] + 0.3 * changed[key])
        with held(context, call(MergeModels, model=adapted.model, other=first.model, ratio=0.3)) as found:
            assert equal(found, lambda key: (1 - 0.3) * changed[key] + 0.3 * a[key])
        with held(context, second.model) as found:
            assert equal(found, lambda key: b[key])
    mixed = call(MergeModels, model=first.model, other=second.model, ratio=0.3)
    above = call(ApplyLoRA, lora=lora, model=mixed, text_encoder=second.text_encoder, strength=0.7)
    with held(context, above.model) as found:
        wanted = {key: (1 - 0.3) * a[key] + 0.3 * b[key] + (changed[key] - b[key]) for key in a}
        assert all(torch.allclose(found[key], wanted[key], atol=1e-6) for key in a)
    with held(context, adapted.text_encoder) as found:
        text = {key: one.clone() for key, one in found.items()}
    with held(context, first.text_encoder) as found:
        plain = {key: one.clone() for key, one in found.items()}
    encoders = {"text_encoder": first.text_encoder, "other": adapted.text_encoder}
    with held(context, call(MergeTextEncoders, **encoders, ratio=0.3)) as found:
        assert equal(found, lambda key: (1 - 0.3) * plain[key] + 0.3 * text[key])


def test_a_lora_of_a_part_of_the_steps_is_in_no_merge(lora: Any, loaded: Any, call: Call, context: Context) -> None:
    first, second, _ = loaded
    adapted = call(ApplyLoRA, lora=lora, model=second.model, text_encoder=second.text_encoder, start=0.5)
    with refused("unsupported-by-model"), held(context, call(MergeModels, model=first.model, other=adapted.model)):
        pass
    with held(context, first.model):
        pass
