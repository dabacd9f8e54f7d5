"""The values of pictures as prompts."""

from __future__ import annotations

import pytest
import torch

from tests.refusals import refused
from weft.nodes import ImageEmbedding, ImageEncoder, ImagePrompt, IPAdapter

ENCODER, ADAPTER = ImageEncoder("a" * 64, "", "float32"), IPAdapter("b" * 64, "", "float32")


def test_a_negative_prompt_gets_what_stands_for_no_picture() -> None:
    prompt = ImagePrompt(ADAPTER, torch.ones(1, 2, 4, 8), torch.zeros(1, 2, 4, 8), 0.5)
    assert prompt.withheld().tokens is prompt.blank and prompt.withheld().scale == 0.5


@pytest.mark.parametrize("shape", [(2, 4, 8), (1, 2, 4, 8, 1)])
def test_tokens_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with refused("wrong-tensor", "ImagePrompt"):
        ImagePrompt(ADAPTER, torch.ones(shape), torch.ones(shape), 1.0).check_value()
    with refused("wrong-tensor", "ImageEmbedding"):
        ImageEmbedding(ENCODER, torch.ones(shape), torch.ones(shape), torch.ones(shape)).check_value()
