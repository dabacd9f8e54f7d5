"""Pictures one by one, for networks that look at each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.nodes.picture_files import to_pil
from weft.nodes.value_checks import empty_list
from weft.nodes.values import Image

if TYPE_CHECKING:
    import PIL.Image


def pictures_of(image: Image | list[Image]) -> list[PIL.Image.Image]:
    """Each picture of a batch or a list in RGB; alpha is left out.

    Raises:
        InputError: where there is none.
    """
    images = [image] if isinstance(image, Image) else image
    if not images:
        raise empty_list("picture")
    return [picture for one in images for picture in to_pil(one.pixels[..., :3])]
