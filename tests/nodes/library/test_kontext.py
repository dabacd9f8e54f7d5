"""Pictures in the sizes of FLUX.1 Kontext's training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS

from weft.nodes import Image, ScaleImageToKontext
from weft.nodes.library.kontext import KONTEXT_SIZES, kontext_size
from weft.nodes.sizes import Size


def test_the_sizes_are_those_of_diffusers() -> None:
    assert {*KONTEXT_SIZES} == {*PREFERRED_KONTEXT_RESOLUTIONS}


@pytest.mark.parametrize("size", [(640, 480), (100, 900), (1024, 1024), (33, 31)])
def test_the_nearest_one_is_diffusers(size: tuple[int, int]) -> None:
    _, *nearest = min((abs(size[0] / size[1] - w / h), w, h) for w, h in PREFERRED_KONTEXT_RESOLUTIONS)
    assert kontext_size(Size(*size)) == tuple(nearest)


def test_a_picture_has_that_size_and_is_cut_in_its_middle(call: Callable[..., Any]) -> None:
    pixels = torch.zeros(1, 300, 400, 3)
    pixels[:, :, 200:] = 1
    for fit in ("fill", "stretch"):
        made = call(ScaleImageToKontext, image=Image(pixels), fit=fit).pixels
        assert made.shape == (1, 880, 1184, 3)
        assert made[0, :, :575].max() < 0.01 and made[0, :, 610:].min() > 0.99
