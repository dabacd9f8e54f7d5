"""Values on links: pictures to Pillow and back, and short texts for each."""

from __future__ import annotations

import pytest
import torch

from weft.engine import InputError
from weft.nodes import Image, Latent, Mask


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_survive_the_way_through_pillow(channels: int) -> None:
    levels = torch.arange(2 * 4 * 5 * channels).reshape(2, 4, 5, channels) % 256
    image = Image(levels / 255)
    pictures = image.to_pil()
    assert [(one.size, len(one.getbands())) for one in pictures] == [((5, 4), channels)] * 2
    assert torch.equal(Image.from_pil(*pictures).pixels, image.pixels)


def test_pictures_of_two_sizes_are_no_batch() -> None:
    small, large = Image(torch.zeros(1, 4, 4, 3)), Image(torch.zeros(1, 8, 8, 3))
    with pytest.raises(InputError):
        Image.from_pil(*small.to_pil(), *large.to_pil())


def test_a_value_names_its_size() -> None:
    values = (Latent(64, 32, 2), Image(torch.zeros(2, 32, 64, 4)), Mask(torch.zeros(2, 32, 64)))
    assert all("64" in repr(value) and "32" in repr(value) for value in values)
