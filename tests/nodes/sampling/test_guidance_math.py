"""Predictions of pictures and of clips, put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.sampling.guidance_math import averaged, projected, rescaled, window_slices
from weft.nodes.values import Projection, Prompt, TextEncoder


def test_the_frames_of_a_clip_are_averaged_as_pictures_are() -> None:
    one, other = torch.randn(2, 2, 4, 3, 8, 6).unbind()
    weight = torch.rand(2, 1, 8, 6)
    clip = averaged([(one, weight), (other, 0.5)])
    pictures = [averaged([(one[:, :, frame], weight), (other[:, :, frame], 0.5)]) for frame in range(3)]
    assert torch.allclose(clip, torch.stack(pictures, dim=2))


def test_guidance_of_a_clip_keeps_its_shape() -> None:
    before, after = torch.randn(2, 2, 4, 3, 8, 6).unbind()
    led = projected(Projection(0.0, 15.0, -0.5))(before, after, 4.0)
    assert led.shape == after.shape and led.isfinite().all()
    assert torch.allclose(rescaled(after, before, 1.0).std(dim=(1, 2, 3, 4)), before.std(dim=(1, 2, 3, 4)), atol=1e-5)


def test_a_window_is_in_the_unit_that_its_prompt_says() -> None:
    prompt = Prompt[Any](
        torch.zeros(1, 4, 8), TextEncoder("digest", "TEST", "", "float32"), window=(0, 0, 1, 1), window_in_shares=True
    )
    assert window_slices(prompt, 8, 16, 8) == (slice(0, 8), slice(0, 16))
    assert window_slices(replace(prompt, window=(8, 0, 16, 64), window_in_shares=False), 8, 16, 8) == (
        slice(0, 8),
        slice(1, 3),
    )
    with refused("out-of-range"):
        window_slices(replace(prompt, window=(128, 0, 8, 8), window_in_shares=False), 8, 16, 8)
    assert window_slices(replace(prompt, window_in_shares=False), 8, 16, 8) == (slice(0, 1), slice(0, 1))


@given(*(st.integers(0, 15) for _ in range(2)), *(st.integers(1, 16) for _ in range(2)), st.sampled_from((1, 2, 4)))
def test_a_window_has_whole_patches_around_what_was_asked_for(
    left: int, top: int, width: int, height: int, patch: int
) -> None:
    found = window_slices(windowed(left, top, width, height), 16, 16, 8, SizeLimits(patch))
    assert found
    for part, begin, size in zip(found, (top, left), (height, width), strict=True):
        assert (part.stop - part.start) % patch == 0 and part.stop <= 16
        assert part.start <= begin and min(begin + size, 16) <= part.stop < part.start + size + patch


def test_a_window_on_a_model_of_square_pictures_is_square() -> None:
    with refused("wrong-size"):
        window_slices(windowed(0, 0, 4, 8), 8, 8, 8, SizeLimits(2, square=True))


def windowed(left: int, top: int, width: int, height: int) -> Prompt[Any]:
    """A prompt with a window, in elements of 8 pixels."""
    encoder = TextEncoder("digest", "TEST", "", "float32")
    return Prompt(torch.zeros(1, 4, 8), encoder, window=(8 * left, 8 * top, 8 * width, 8 * height))
