"""What each form of a change makes of weights equals what PEFT's own layers merge; a failure leaves the weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from weft.engine import InputError
from weft.nodes.lora_values import AppliedLoRA, LoRA
from weft.nodes.models.lora_facts import lora_facts
from weft.nodes.models.lora_merging import LoadedLoRA, add_loras
from weft.nodes.models.safetensors_header import read_header

RANK = 4

MODULES = ["dense", "wide", "point"]


PLAIN = {"plain.lora_down.weight": torch.ones(1, 12), "plain.lora_up.weight": torch.ones(8, 1)}
"""A change of the layer without a bias."""


class Network(nn.Module):
    """A linear layer, one without a bias, and two convolutions."""

    config: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(24, 36)
        self.plain = nn.Linear(12, 8, bias=False)
        self.wide = nn.Conv2d(8, 16, 3)
        self.point = nn.Conv2d(8, 16, 1)


def config(kind: str, **options: Any) -> Any:
    """A configuration of PEFT's, whose tensors are drawn."""
    classes: dict[str, Any] = {"lora": peft.LoraConfig, "loha": peft.LoHaConfig, "lokr": peft.LoKrConfig}
    name = "init_lora_weights" if kind == "lora" else "init_weights"
    alpha = {"lora_alpha": RANK} if kind == "lora" else {"alpha": RANK}
    return classes[kind](r=RANK, target_modules=MODULES, **{name: False, **alpha, **options})


def applied(tensors: Mapping[str, Any], network: nn.Module, tmp_path: Path, strength: float, **metadata: str) -> Any:
    """Adds the LoRA of a file to a network; what takes it back."""
    return add_loras(network, [used(tensors, tmp_path, strength, **metadata)], ("denoiser",))


def used(tensors: Mapping[str, Any], tmp_path: Path, strength: float, **metadata: str) -> tuple[AppliedLoRA, Any]:
    """The LoRA of a file with a strength."""
    path = tmp_path / "changes.safetensors"
    save_file({name: one.contiguous().clone() for name, one in tensors.items()}, path, metadata or None)
    header = read_header(path)
    facts = lora_facts(header.shapes, header.metadata)
    assert facts
    return AppliedLoRA(LoRA("", ""), strength), LoadedLoRA.of(path, facts, "cpu")


CONFIGS: dict[str, Any] = {
    "lora": config("lora"),
    "lora with biases": config("lora", lora_bias=True),
    "dora": config("lora", use_dora=True),
    "loha": config("loha"),
    "loha in cores": config("loha", use_effective_conv2d=True),
    "lokr": config("lokr"),
    "lokr of two products": config("lokr", decompose_both=True, decompose_factor=4),
    "lokr in cores": config("lokr", use_effective_conv2d=True),
}


@pytest.mark.filterwarnings("ignore:Adapter .default.. 3 LoRA tensor")
@pytest.mark.parametrize("strength", [1.0, -0.3])
@pytest.mark.parametrize("form", CONFIGS)
def test_a_change_equals_that_of_peft(form: str, strength: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network()
    before = copy.deepcopy(network.state_dict())
    model = peft.get_peft_model(copy.deepcopy(network), CONFIGS[form])
    for name, one in model.named_parameters():
        if "magnitude" in name:
            one.data *= 1 + 0.3 * torch.rand_like(one)
    tensors = dict(peft.get_peft_model_state_dict(model))
    for _, module in model.named_modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", strength)
    wanted = model.merge_and_unload().state_dict()
    undo = applied(tensors, network, tmp_path, strength)
    for name, one in network.state_dict().items():
        assert torch.allclose(one, wanted[name], atol=1e-5), name
    assert not torch.equal(network.dense.weight, before["dense.weight"])
    undo()
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


@pytest.mark.parametrize(
    "options",
    [
        {"lora_alpha": 8},
        {"lora_alpha": 8, "use_rslora": True},
        {"lora_alpha": 8, "alpha_pattern": {"dense": 2}, "rank_pattern": {"wide": 2}},
    ],
)
def test_the_scaling_of_peft_is_read_from_what_diffusers_writes_into_the_header(options: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network()
    model = peft.get_peft_model(copy.deepcopy(network), config("lora", **options))
    named = {
        name.replace("base_model.model.", "unet."): one for name, one in peft.get_peft_model_state_dict(model).items()
    }
    metadata = {f"unet.{name}": given for name, given in {"r": RANK, **options}.items()}
    applied(named, network, tmp_path, 1.0, lora_adapter_metadata=json.dumps(metadata))
    for name, one in model.merge_and_unload().state_dict().items():
        assert torch.allclose(one, network.state_dict()[name], atol=1e-5), name


def test_a_convolution_in_cores_of_kohyas_form(tmp_path: Path) -> None:
    """A kernel of three factors (LoCon): the convolutions down, in the middle and up, in a row."""
    torch.manual_seed(0)
    network = Network()
    layers = nn.Sequential(
        nn.Conv2d(8, RANK, 1, bias=False), nn.Conv2d(RANK, RANK, 3, bias=False), nn.Conv2d(RANK, 16, 1, bias=False)
    )
    roles = ("lora_down", "lora_mid", "lora_up")
    tensors = {f"lora_unet_wide.{role}.weight": one.weight for role, one in zip(roles, layers, strict=True)}
    picture = torch.randn(1, 8, 6, 6)
    wanted = network.wide(picture) + 0.7 * 0.5 * layers(picture)
    applied({**tensors, "lora_unet_wide.alpha": torch.tensor(RANK / 2)}, network, tmp_path, 0.7)
    assert torch.allclose(network.wide(picture), wanted, atol=1e-5)


ACROSS = {"dense": (1, 24), "wide": (1, 8, 1, 1), "point": (1, 8, 1, 1)}
"""The magnitudes of LyCORIS and OneTrainer: one for each channel that a weight reads."""


@pytest.mark.parametrize("form", ["lora", "loha", "lokr"])
def test_a_dora_with_magnitudes_of_the_channels_that_are_read(form: str, tmp_path: Path) -> None:
    """The weight with its change, whose slices along the channels have the magnitudes for norms (LyCORIS)."""
    torch.manual_seed(0)
    network, plain = Network(), Network()
    plain.load_state_dict(network.state_dict())
    tensors = dict(peft.get_peft_model_state_dict(peft.get_peft_model(Network(), config(form))))
    applied(tensors, plain, tmp_path, 0.7)
    magnitudes = {name: 0.5 + torch.rand(shape) for name, shape in ACROSS.items()}
    scales = {f"base_model.model.{name}.dora_scale": one for name, one in magnitudes.items()}
    applied({**tensors, **scales}, network, tmp_path, 0.7)
    for name, magnitude in magnitudes.items():
        weight, aimed = network.get_parameter(f"{name}.weight"), plain.get_parameter(f"{name}.weight")
        norm, others = torch.linalg.vector_norm, (0, *range(2, aimed.ndim))
        assert torch.allclose(weight, aimed * (magnitude / norm(aimed, dim=others, keepdim=True)), atol=1e-5), name


def test_numbers_that_are_not_finite_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        applied({**PLAIN, "plain.lora_up.weight": torch.full((8, 1), torch.nan)}, Network(), tmp_path, 1.0)
    assert refusal.value.code == "damaged-file" and "plain.lora_up.weight" in refusal.value.message


def test_differences_of_weights_and_biases(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, change = Network(), torch.randn(36, 24)
    before, bias = network.dense.weight.clone(), network.dense.bias.clone()
    tensors = {"diffusion_model.dense.diff": change, "diffusion_model.dense.diff_b": change[:, 0]}
    plain = {f"diffusion_model.{name}": one for name, one in PLAIN.items()}
    applied({**tensors, **plain}, network, tmp_path, 0.5)
    assert torch.allclose(network.dense.weight, before + change / 2, atol=1e-6)
    assert torch.allclose(network.dense.bias, bias + change[:, 0] / 2, atol=1e-6)


def test_of_several_norms_in_the_place_of_one_the_last_holds_at_any_strength(tmp_path: Path) -> None:
    """As in diffusers, which loads the norms of Control LoRAs into the model."""
    network = Network()
    network.add_module("norm_q", nn.RMSNorm(8))
    norms = [torch.rand(8) for _ in range(2)]
    plain = {f"transformer.{name}": one for name, one in PLAIN.items()}
    files = [{**plain, "transformer.norm_q.weight": one} for one in norms]
    undo = add_loras(network, [used(one, tmp_path, 0.7) for one in files], ("denoiser",))
    assert torch.equal(network.get_parameter("norm_q.weight"), norms[1])
    undo()
    assert torch.equal(network.get_parameter("norm_q.weight"), torch.ones(8))


def test_a_bias_that_a_module_lacks_is_refused(tmp_path: Path) -> None:
    tensors = {f"lora_unet_{name}": one for name, one in PLAIN.items()}
    network = Network()
    before = network.plain.weight.clone()
    with pytest.raises(InputError) as caught:
        applied({**tensors, "lora_unet_plain.diff_b": torch.ones(8)}, network, tmp_path, 1.0)
    assert caught.value.code == "wrong-lora" and torch.equal(network.plain.weight, before)


def test_a_file_is_read_in_its_own_precision(tmp_path: Path) -> None:
    tensors = {f"lora_unet_{name}": one for name, one in PLAIN.items()}
    path = tmp_path / "half.safetensors"
    save_file({name: one.half() for name, one in tensors.items()}, path)
    facts = lora_facts(read_header(path).shapes, {})
    assert facts and {one.dtype for one in LoadedLoRA.of(path, facts, "cpu").parameters()} == {torch.float16}
    assert load_file(path).keys() == tensors.keys()
