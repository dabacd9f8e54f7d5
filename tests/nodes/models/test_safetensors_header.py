"""The header of a safetensors file, read without torch."""

from __future__ import annotations

import json
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
@settings(max_examples=30)
def test_a_file_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.safetensors"
    save_file({"weight": torch.zeros(64)}, path)
    path.write_bytes(path.read_bytes()[:-cut])
    with refused("damaged-file", "cut.safetensors"):
        read_shapes(path)


def headed(path: Path, entries: object, data: int = 0) -> Path:
    """A file with this header and so many bytes of zeros, which take no space."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + data)
    return path


GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


ODD: dict[str, tuple[object, ...]] = {
    "shape": (None, 4, "23", [-1], [2.0], [True], ["2"], [[2]], [2**60], [2**30, 2**30], [1] * 9),
    "data_offsets": (None, [], [0], [24, 0], [0, 24, 25], [-24, 0], ["0", "24"], [0, 2**60]),
    "dtype": (None, 32, ["F32"], {}),
}


@pytest.mark.parametrize("change", [{key: value} for key, values in ODD.items() for value in values])
def test_what_is_no_tensor_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    assert read_shapes(headed(tmp_path / "good.safetensors", {"a": GOOD}, 24)) == {"a": (2, 3)}
    with refused("wrong-kind-of-file", "odd.safetensors"):
        read_shapes(headed(tmp_path / "odd.safetensors", {"a": {**GOOD, **change}}, 24))


@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b'{"a":' * 10_000, b'{"a": NaN}', b'{"\xff": 1}', b"null", b'{"a": 1}', b'"a"']
)
def test_a_text_that_is_no_header_is_refused(text: bytes, tmp_path: Path) -> None:
    with refused("wrong-kind-of-file", "odd.safetensors"):
        read_shapes(headed(tmp_path / "odd.safetensors", text))


def test_a_header_has_bounds(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    path.write_bytes((2**26).to_bytes(8, "little"))
    with path.open("r+b") as file:
        file.truncate(2**27)
    for entries in (
        None,
        {"x" * 5000: GOOD},
        b"{" + b",".join(b'"%d":{}' % number for number in range(100_001)) + b"}",
    ):
        with refused("wrong-kind-of-file", "large.safetensors"):
            read_shapes(path if entries is None else headed(path, entries, 24))


def test_a_file_that_is_longer_than_its_header_says_is_damaged(tmp_path: Path) -> None:
    with refused("damaged-file", "long.safetensors"):
        read_shapes(headed(tmp_path / "long.safetensors", {"a": GOOD}, 25))


def test_a_file_whose_data_were_never_written_is_damaged(tmp_path: Path) -> None:
    size = 2**40
    with refused("damaged-file", "empty.safetensors"):
        read_shapes(headed(tmp_path / "empty.safetensors", {"a": {**GOOD, "data_offsets": [0, size]}}, size))


def test_a_header_is_read_again_where_the_file_was_written(tmp_path: Path) -> None:
    path = headed(tmp_path / "a.safetensors", {"a": GOOD}, 24)
    assert [*read_shapes(path)] == [*read_shapes(path)] == ["a"]
    path.unlink()
    headed(path, {"b": GOOD}, 24)
    assert [*read_shapes(path)] == ["b"]
