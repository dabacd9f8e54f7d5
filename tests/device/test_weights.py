"""Weights of folders are brought to a device in the precision of their files, and cast there."""

from __future__ import annotations

import diffusers
import pytest
import torch

from tests.device.pretended import PretendedDevices
from tests.device.pretended_tensor import PretendedTensor
from weft.nodes.builtin import path
from weft.nodes.models.loading import pretrained
from weft.nodes.models.weights_file import reading_onto


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_were_cast_on_a_device_are_those_of_the_host(precision: torch.dtype) -> None:
    folder = path("landscapes-tiny-vae")
    want = pretrained(diffusers.AutoencoderTiny, folder, "", torch_dtype=precision).state_dict()
    with PretendedDevices("cuda") as devices, reading_onto("cuda:1"):
        module = pretrained(diffusers.AutoencoderTiny, folder, "", torch_dtype=precision)
        for name, parameter in module.named_parameters():
            found = parameter.data
            if precision is torch.float16:  # as in the file: `ready` brings them
                assert torch.equal(found, want[name])
                continue
            assert isinstance(found, PretendedTensor) and found.device == torch.device("cuda:1")
            assert torch.equal(found.host, want[name])
        assert (devices["cuda:1"].held > 0) == (precision is not torch.float16)
        del module, parameter, found
        assert devices.held == 0
