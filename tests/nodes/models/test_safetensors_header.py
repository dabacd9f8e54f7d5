"""The header of a safetensors file, read without torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.refusals import refused
from weft.nodes.models.safetensors_header import read_shapes


def test_shapes_are_read_by_name(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(())}, tmp_path / "two.safetensors", metadata={"format": "pt"})
    assert read_shapes(tmp_path / "two.safetensors") == {"a": (2, 3), "b": ()}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00." * 10, b"\x02" + bytes(7) + b"[]", bytes(8)])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.safetensors").write_bytes(content)
    with refused("wrong-kind-of-file", "odd.safetensors"):
        read_shapes(tmp_path / "odd.safetensors")


@given(cut=st.integers(min_value=1, max_value=200))
@settings(max_examples=30, deadline=None)
def test_a_file_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.safetensors"
    save_file({"weight": torch.zeros(64)}, path)
    path.write_bytes(path.read_bytes()[:-cut])
    with refused("damaged-file", "cut.safetensors"):
        read_shapes(path)
