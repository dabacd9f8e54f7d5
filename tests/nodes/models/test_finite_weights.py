"""Files of ControlNets and IP-Adapters with numbers that are not finite are refused where they are loaded, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.refusals import refused
from weft.engine import Context
from weft.nodes import LoadControlNet
from weft.nodes.models.control_networks import ControlNetwork
from weft.nodes.models.finite_weights import check_finite


def test_a_control_net(call: Callable[..., Any], context: Context, models: Path, tmp_path: Path) -> None:
    folder = models / "spoilt"
    shutil.copytree(models / "edges", folder)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("conv_in.weight"))
    tensors[name].flatten()[0] = torch.nan
    save_file(tensors, file)
    net = call(LoadControlNet, source="spoilt")
    with refused("damaged-file", name, "spoilt"), context.weights(net, ControlNetwork):
        pytest.fail("it is not given")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_every_precision(dtype: torch.dtype) -> None:
    """Whole numbers are finite, whatever they are."""
    plain = torch.ones(4).to(dtype)
    spoilt = torch.tensor([1.0, torch.nan]).to(dtype)
    check_finite([("plain", plain), ("count", torch.tensor(3))], "file")
    with refused("damaged-file", "spoilt", "file"):
        check_finite([("plain", plain), ("spoilt", spoilt)], "file")
