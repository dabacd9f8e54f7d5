"""Values say in a line what they are, and pictures show themselves in a notebook."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from weft.nodes import VAE, Conditioning, Control, ControlNet, Guide, Image, Latent, Mask, Model, Prompt, TextEncoder

RECIPE = ("1234567890abcdef", "SD1", "", "float32")
PROMPT: Any = Prompt(torch.zeros(1, 77, 96), TextEncoder(*RECIPE))
CONTROL: Any = Control(ControlNet(*RECIPE), torch.zeros(1, 8, 8, 3), 0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Image(torch.zeros(1, 48, 64, 3)), "Image(64 x 48)"),
        (Image(torch.zeros(2, 48, 64, 4)), "Image(2 of 64 x 48, with alpha)"),
        (Mask(torch.full((1, 48, 64), 0.25)), "Mask(64 x 48, 25 % covered)"),
        (Latent[Any](64, 48, 3), "Latent(3 of 64 x 48, no samples yet)"),
        (Latent[Any](64, 48, 1, torch.zeros(1, 4, 6, 8)), "Latent(64 x 48, samples 1 x 4 x 6 x 8)"),
        (Model[Any](*RECIPE), "Model(SD1, float32, 1234567890ab)"),
        (VAE[Any]("abc", "SD1", "fp16", "float16"), "VAE(SD1, float16, fp16, abc)"),
        (Conditioning[Any]((PROMPT,)), "Conditioning(Prompt(77 tokens of 96))"),
        (replace(PROMPT, area=(0, 0, 1, 0.5), end=0.5), "Prompt(77 tokens of 96, in an area, from 0 to 0.5)"),
        (
            CONTROL,
            "Control(control_net=ControlNet(SD1, float32, 1234567890ab), strength=0.5, start=0.0, end=1.0)",
        ),
    ],
)
def test_a_value_is_one_line(item: Any, words: str) -> None:
    assert repr(item) == words


def test_no_value_prints_its_numbers() -> None:
    guide = Guide[Any](Model(*RECIPE), Conditioning((PROMPT,)), None, 5.0, beside=torch.zeros(1, 5, 6, 8))
    assert "Model(SD1, float32, 1234567890ab)" in repr(guide) and "tensor" not in repr(guide)


def test_a_prompt_names_its_controls() -> None:
    assert "under Control(" in repr(replace(PROMPT, controls=(CONTROL,)))


@pytest.mark.parametrize(
    ("shape", "size", "mode"),
    [
        ((1, 6, 8, 3), (8, 6), "RGB"),
        ((1, 6, 8, 4), (8, 6), "RGBA"),
        ((10, 6, 8, 3), (92, 16), "RGBA"),
        ((1, 4096, 8, 3), (4, 2048), "RGB"),
    ],
)
def test_a_picture_shows_itself(shape: tuple[int, ...], size: tuple[int, int], mode: str) -> None:
    shown = Pictures.open(BytesIO(Image(torch.ones(shape))._repr_png_()))
    assert (shown.size, shown.mode) == (size, mode)
    assert shown.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
