"""Predictions of pictures and of clips, put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tests.refusals import refused
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
        window_slices(replace(prompt, window_in_shares=False), 8, 16, 8)
