"""Colour profiles by their formulas: what Pillow gives for 8 bits, without its rounding."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy
import pytest
from PIL import Image as Pictures

from tests.nodes.library.test_image import chunk, png
from tests.nodes.test_picture_reading import RGB, packed, read


def grey_profile(gamma: float = 1.5) -> bytes:
    """A profile of grey by a power of the levels."""
    tags = [(b"wtpt", b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061))]
    tags.append((b"kTRC", b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)))
    return _profile(b"GRAY", tags)


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    start, table, content = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += struct.pack(">4sII", name, start + len(content), len(data))
        content += data
    head = bytes(8) + struct.pack(">I", 0x04200000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    whole = head + struct.pack(">I", len(tags)) + table + content
    return struct.pack(">I", len(whole)) + whole[4:]


def profiled(profile: bytes) -> bytes:
    """The chunk of a PNG that has a profile."""
    return chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))


def rgb_profile(*curve: float) -> bytes:
    """The primaries of Adobe RGB, with a parametric curve, or a table where the first number is -1."""
    primaries = {b"r": (39968, 20389, 1241), b"g": (13464, 40986, 3995), b"b": (9779, 4159, 48795)}
    if curve[0] == -1:
        table = [round(65535 * (one / 99) ** 1.7) for one in range(100)]
        data = b"curv" + bytes(4) + struct.pack(">I100H", 100, *table)
    else:
        kind = {1: 0, 3: 1, 4: 2, 5: 3, 7: 4}[len(curve)]
        data = b"para" + bytes(4) + struct.pack(f">HH{len(curve)}i", kind, 0, *[round(one * 65536) for one in curve])
    tags = [(one + b"TRC", data) for one in primaries]
    tags += [(one + b"XYZ", b"XYZ " + bytes(4) + struct.pack(">3i", *found)) for one, found in primaries.items()]
    return _profile(b"RGB ", tags)


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
CURVES = [(2.2,), (-1,), (2.0, 1.1, -0.1), (2.0, 1.1, -0.1, 0.0), SRGB_CURVE, (*SRGB_CURVE, 0.0, 0.0)]


@pytest.mark.parametrize("curve", CURVES)
def test_16_bit_colours_with_a_profile_are_those_of_8_bits_without_their_rounding(curve: tuple[float, ...]) -> None:
    bytes_ = numpy.random.default_rng(0).integers(0, 256, (40, 3), dtype=numpy.uint8)
    profile = rgb_profile(*curve)
    expected = read(packed(Pictures.fromarray(bytes_[None]), "PNG", icc_profile=profile))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(png(2, (bytes_.astype(int) * 257).tolist(), profiled(profile)))
    assert abs(found - expected).max() < 1.1 / 255
    assert abs(found * 255 - (found * 255).round()).max() > 0.2


def test_16_bit_colours_are_rounded_in_words_where_the_profile_has_no_formula() -> None:
    """The black of this profile is no black."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        read(png(2, [[1, 2, 3]], profiled(rgb_profile(2.0, 0.9, 0.1))))
    assert len(given) == 1


def test_16_bit_grey_with_a_profile_keeps_its_depth() -> None:
    levels = numpy.arange(0, 65536, 7)
    found = read(png(0, levels[:, None].tolist(), profiled(grey_profile())))[0, :, 0]
    light = numpy.where(found <= 0.04045, found / 12.92, ((found + 0.055) / 1.055) ** 2.4)
    assert abs(light - (levels / 65535) ** 1.5).max() < 1e-5 and len(numpy.unique(found)) == len(levels)


def test_a_profile_for_grey_does_not_take_colours_away() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        found = read(packed(RGB, "PNG", icc_profile=grey_profile()))
    assert numpy.array_equal(found, read(packed(RGB, "PNG"))) and len(given) == 1
