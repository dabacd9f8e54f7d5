"""Tensors are read from files one by one, as the library of the format reads them, and straight to a device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weft.engine.errors import ChangedFile
from weft.nodes.models import weights_file
from weft.nodes.models.packed_weights import ScaledNumbers
from weft.nodes.models.safetensors_header import read_header
from weft.nodes.models.weights_file import DTYPES, file_weights, reading_onto

TENSORS = {
    **{str(dtype): torch.arange(24).reshape(2, 3, 4).to(dtype) for dtype in DTYPES.values() if dtype.itemsize > 1},
    "bool": torch.tensor([True, False]),
    "number": torch.tensor(3.0),
    "none": torch.zeros(0, 4),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file({f"part.{name}": one for name, one in TENSORS.items()}, tmp_path / "all.safetensors")
    return tmp_path / "all.safetensors"


def test_each_type_is_read(file: Path) -> None:
    found = file_weights(file, "part.")
    assert found.keys() == TENSORS.keys() and not file_weights(file, "other.")
    for name, wanted in TENSORS.items():
        one = found[name]
        assert isinstance(one, torch.Tensor) and one.dtype == wanted.dtype and torch.equal(one, wanted)


def test_weights_in_eight_bits_stay_so(tmp_path: Path) -> None:
    eight = torch.randn(4, 4).to(torch.float8_e5m2)
    save_file(
        {"x.weight": eight, "y.weight": eight.clone(), "y.weight_scale": torch.ones(4, 1)}, tmp_path / "x.safetensors"
    )
    found = file_weights(tmp_path / "x.safetensors")
    assert found.keys() == {"x.weight", "y.weight"}
    for one in found.values():
        assert isinstance(one, ScaledNumbers) and torch.equal(one.unpacked(torch.float32), eight.float())


def test_weights_are_read_to_the_device(file: Path) -> None:
    with reading_onto("meta"):
        found = file_weights(file, "part.")
    assert {one.device.type for one in found.values() if isinstance(one, torch.Tensor)} == {"meta"}


def test_a_file_that_is_cut_short_after_its_header_was_read_has_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_header(file)
    monkeypatch.setattr(weights_file, "read_header", lambda path: header)
    with file.open("r+b") as open_file:
        open_file.truncate(file.stat().st_size // 2)
    with pytest.raises(ChangedFile):
        file_weights(file)
