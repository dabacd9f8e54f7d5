"""Values as JSON has them: plain ones as they are, of others what they are and never their bytes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import torch

from weft.engine import Artifact, value
from weft.engine.output_value import plain_output


@value
@dataclass(frozen=True, eq=False)
class Plate:
    """Numbers and a word."""

    numbers: torch.Tensor
    word: str


@pytest.mark.parametrize("item", [None, True, 3, -(2**63), 2.5, "ä", [1, [2.0, "x"]], {"a": [None, {"b": False}]}])
def test_plain_values_are_given_as_they_are(item: Any) -> None:
    assert plain_output(item) == {"value": item}


@pytest.mark.parametrize(("item", "text"), [(math.nan, "nan"), (-math.inf, "-inf"), (2**70, str(2**70))])
def test_a_number_that_json_cannot_hold_is_a_text(item: float, text: str) -> None:
    assert plain_output(item) == {"type": type(item).__name__, "text": text}


def test_a_tensor_is_described() -> None:
    described = {"type": "Tensor", "dtype": "float16", "shape": [2, 3], "bytes": 12}
    assert plain_output(torch.zeros(2, 3, dtype=torch.float16)) == described


def test_a_value_class_is_described_field_by_field() -> None:
    found = plain_output(Plate(torch.zeros(4), "oak"))
    assert (found["type"], found["bytes"]) == ("Plate", 16)
    assert found["fields"]["word"] == {"value": "oak"} and found["fields"]["numbers"]["shape"] == [4]


def test_a_list_of_values_has_its_length_and_the_first_of_them() -> None:
    found = plain_output([torch.zeros(1) for _ in range(100)])
    assert (found["type"], found["length"], found["bytes"]) == ("list", 100, 400) and len(found["items"]) == 10


def test_no_bytes_are_given() -> None:
    found = plain_output({"one": Artifact(b"secret" * 100, "image/png", "x")})
    assert found["fields"]["one"]["fields"]["data"] == {"type": "bytes", "bytes": 600} and "secret" not in str(found)


@pytest.mark.parametrize("item", [math.nan, 2**70, (1, 2), b"x", torch.zeros(2), [torch.zeros(1), 1], Plate])
def test_every_form_is_json(item: Any) -> None:
    found = plain_output(item)
    assert orjson.loads(orjson.dumps(found)) == json.loads(json.dumps(found, allow_nan=False))
