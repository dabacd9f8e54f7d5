"""Sizes and places of pictures in rectangles of other shapes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pictures
from PIL import ImageOps

from weft.nodes.pictures.fitting import contained, filled, of_pixels, scaled_size, to_multiple, with_aspect
from weft.nodes.sizes import Size

SIZES = st.builds(Size, st.integers(1, 300), st.integers(1, 300))


@given(SIZES, SIZES)
def test_the_contained_size_is_that_of_pillow(source: Size, wanted: Size) -> None:
    if min(wanted.width / source.width, wanted.height / source.height) * min(source) > 1:
        assert contained(source, wanted) == ImageOps.contain(Pictures.new("1", source), wanted).size


@given(SIZES, SIZES, st.sampled_from(["centre", "left", "bottom right"]))
def test_what_fills_a_size_has_its_proportions_and_lies_within_the_picture(
    source: Size, wanted: Size, anchor: str
) -> None:
    box = filled(source, wanted, anchor)  # type: ignore[arg-type]
    across, down = box.right - box.left, box.bottom - box.top
    assert abs(across / down - wanted.width / wanted.height) < 1e-6 * wanted.width
    assert box.left >= -1e-9 and box.right <= source.width + 1e-9
    assert abs(across - source.width) < 1e-9 or abs(down - source.height) < 1e-9


@given(SIZES, st.integers(1, 64))
def test_sides_become_multiples_and_never_0(source: Size, multiple: int) -> None:
    for size in (scaled_size(source, 0.1, multiple), of_pixels(source, 5000, multiple), contained(source, source, 1)):
        assert min(size) > 0
    assert to_multiple(source.width, multiple) % multiple == 0


@given(SIZES, st.integers(1, 20), st.integers(1, 20))
def test_a_part_of_other_proportions_is_as_large_as_it_can_be(source: Size, across: int, down: int) -> None:
    crop = with_aspect(source, across, down, "centre")
    if min(crop.size) > 1:
        assert crop.width <= source.width and crop.height <= source.height
        assert min(source.width - crop.width, source.height - crop.height) <= 1
