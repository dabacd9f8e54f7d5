"""LPIPS by the formula of its paper over tiny random networks; by the authors' package where that is installed.

The package: `pip install lpips`, then `pytest -m slow tests/nodes/library/test_perceptual.py`. It downloads VGG-16 and
AlexNet of torchvision.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import Image, LoadPerceptualNetwork, PerceptualDistance

VGG = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}
ALEX = {1: (0,), 2: (3,), 3: (6,), 4: (8,), 5: (10,)}
"""The numbers of the convolutions in each slice, in torchvision's networks."""


def weights(alex: bool) -> dict[str, Tensor]:
    """A network with few channels, by the names of the authors' package."""
    drawn, given = torch.Generator().manual_seed(8), 3
    found: dict[str, Tensor] = {}
    for slice, numbers in (ALEX if alex else VGG).items():
        for number in numbers:
            made, size = 3 + slice, {0: 11, 3: 5}.get(number, 3) if alex else 3
            name = f"net.slice{slice}.{number}"
            found[f"{name}.weight"] = torch.randn(made, given, size, size, generator=drawn) / (given**0.5 * size)
            found[f"{name}.bias"] = torch.randn(made, generator=drawn) / 10
            given = made
        found[f"lin{slice - 1}.model.1.weight"] = torch.rand(1, given, 1, 1, generator=drawn)
    return found


def wanted(found: dict[str, Tensor], alex: bool, a: Tensor, b: Tensor) -> float:
    """The sum over depths of the weighted squared distances of unit vectors, their mean over places (equation 1)."""
    levels = torch.stack([a, b]).movedim(-1, 1) * 2 - 1
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    levels, total = (levels - shift[:, None, None]) / scale[:, None, None], 0.0
    for slice, numbers in (ALEX if alex else VGG).items():
        if slice > 1 and (not alex or slice < 4):
            levels = functional.max_pool2d(levels, *((3, 2) if alex else (2, 2)))
        for number in numbers:
            weight, bias = (found[f"net.slice{slice}.{number}.{part}"] for part in ("weight", "bias"))
            stride, padding = (4, 2) if weight.shape[-1] == 11 else (1, weight.shape[-1] // 2)
            levels = functional.conv2d(levels, weight, bias, stride, padding).relu()
        one, other = functional.normalize(levels, dim=1, eps=1e-10)
        total += float(((one - other) ** 2 * found[f"lin{slice - 1}.model.1.weight"][0]).sum(0).mean())
    return total


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    engine = Engine(store=None, device="cpu", models=[tmp_path], guarded=True)
    return lambda node, **given: engine.run_now(node, given)


def pictures(seed: int) -> Tensor:
    return torch.rand(2, 70, 83, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alex", [False, True])
def test_the_distance_is_that_of_the_formula(tmp_path: Path, run: Any, alex: bool) -> None:
    found = weights(alex)
    save_file({**found, "scaling_layer.shift": torch.zeros(3)}, tmp_path / "net.safetensors")
    network = run(LoadPerceptualNetwork, source="net.safetensors")
    made = run(PerceptualDistance, network=network, image=Image(pictures(1)), other=Image(pictures(2)))
    each = [wanted(found, alex, a, b) for a, b in zip(pictures(1), pictures(2), strict=True)]
    assert made.scores == pytest.approx(each, abs=1e-4) and min(each) > 1e-3
    same = run(PerceptualDistance, network=network, image=Image(pictures(1)), other=Image(pictures(1)))
    assert same.score == 0
    with refused("batch-mismatch"):
        run(PerceptualDistance, network=network, image=Image(pictures(1)[:1]), other=Image(pictures(1)))


def test_a_file_without_the_weights_of_channels_is_refused(tmp_path: Path, run: Any) -> None:
    found = {name: one for name, one in weights(alex=True).items() if not name.startswith("lin4")}
    save_file(found, tmp_path / "net.safetensors")
    with refused("wrong-kind-of-file"):
        run(LoadPerceptualNetwork, source="net.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg", "alex"])
def test_the_distance_is_that_of_the_package_of_its_authors(tmp_path: Path, run: Any, name: str) -> None:
    lpips: Any = pytest.importorskip("lpips")
    reference = lpips.LPIPS(net=name, verbose=False).eval()
    save_file({key: one.clone() for key, one in reference.state_dict().items()}, tmp_path / "net.safetensors")
    a, b = pictures(1), pictures(1) + 0.3 * (pictures(2) - pictures(1))
    with torch.no_grad():
        each = reference(a.movedim(-1, 1) * 2 - 1, b.movedim(-1, 1) * 2 - 1).flatten()
    network = run(LoadPerceptualNetwork, source="net.safetensors")
    made = run(PerceptualDistance, network=network, image=Image(a), other=Image(b))
    torch.testing.assert_close(torch.tensor(made.scores), each, atol=1e-4, rtol=0)
