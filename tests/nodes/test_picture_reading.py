"""Files of pictures in every format and mode: headers say the size that is read, and colours and depth are right."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures
from PIL import ImageCms

from tests.nodes.library.test_image import png
from tests.refusals import refused
from weft.engine import InputError, Limits
from weft.nodes.picture_headers import PictureFacts, picture_facts
from weft.nodes.picture_reading import facts_by_pillow, read_picture

RAMP = Pictures.linear_gradient("L").resize((12, 7))
RGB = Pictures.merge("RGB", [RAMP, RAMP.rotate(180), Pictures.new("L", (12, 7), 60)])
ALPHA = Pictures.merge("RGBA", [*RGB.split(), RAMP])


def turned(picture: Pictures.Image, orientation: int, format: str, **options: Any) -> bytes:
    exif, packed = Pictures.Exif(), BytesIO()
    exif[0x0112] = orientation
    picture.save(packed, format, exif=exif, **options)
    return packed.getvalue()


def packed(picture: Pictures.Image, format: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def read(content: bytes) -> numpy.ndarray[Any, Any]:
    return read_picture(content, "test", Limits())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes_are_converted_as_pillow_does(mode: str) -> None:
    picture = RGB.convert(mode)
    expected = picture.convert("RGBA" if mode.endswith("A") else "RGB")
    assert numpy.array_equal((read(packed(picture, "TIFF")) * 255).round(), numpy.asarray(expected))


def tiff(levels: numpy.ndarray[Any, Any], order: str) -> bytes:
    """An uncompressed TIFF of three channels of 16 bits."""
    height, width, channels = levels.shape
    data = levels.astype(f"{order}u2").tobytes()
    bits = 8 + 2 + 12 * 9 + 4
    entries = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, bits + 2 * channels), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data))),
    ]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    for tag, kind, count, found in entries:
        short = kind == 3 and count == 1
        head += struct.pack(f"{order}HHI", tag, kind, count)
        head += struct.pack(f"{order}HH", found, 0) if short else struct.pack(f"{order}I", found)
    return head + bytes(4) + struct.pack(f"{order}{channels}H", *[16] * channels) + data


DEEP = numpy.random.default_rng(0).integers(0, 2**16, (4, 5, 3), dtype=numpy.uint16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colours_of_a_tiff_keep_their_depth(order: str) -> None:
    assert numpy.array_equal((read(tiff(DEEP, order)) * 65535).round(), DEEP)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_16_bit_colours_of_a_png_keep_their_depth(kind: int, channels: int) -> None:
    levels = numpy.random.default_rng(kind).integers(0, 2**16, (1, 50, channels)).tolist()
    found = (read(png(kind, levels[0])) * 65535).round()
    assert numpy.array_equal(found[..., [0, 3]] if kind == 4 else found, levels)


def test_floating_point_levels_stay_as_they_are() -> None:
    levels = numpy.random.default_rng(0).random((4, 5), dtype=numpy.float32) * 3
    assert numpy.array_equal(read(packed(Pictures.fromarray(levels), "TIFF"))[..., 1], levels)


def test_levels_of_unknown_range_are_refused() -> None:
    with refused("unknown-levels", "test"):
        read(packed(Pictures.fromarray(numpy.full((2, 2), 2**30, numpy.int32)), "TIFF"))


def test_colours_of_another_profile_come_in_srgb() -> None:
    lab = packed(Pictures.new("LAB", (3, 3), (200, 128, 128)), "TIFF")
    assert read(lab)[0, 0].tolist() == pytest.approx([0.765] * 3, abs=0.03)  # L* = 78, without colour


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_profile_is_applied_in_every_format(format: str, tmp_path: Path) -> None:
    """Red and blue change places in this profile, so that it cannot be taken for none."""
    profile = swapped_profile()
    options = {"lossless": True} if format == "WEBP" else {"quality": 100} if format == "JPEG" else {}
    content = packed(Pictures.new("RGB", (16, 16), (200, 0, 0)), format, icc_profile=profile, **options)
    (tmp_path / "p").write_bytes(content)
    assert facts_by_pillow(tmp_path / "p") == PictureFacts(16, 16, profile=True)
    assert picture_facts(tmp_path / "p") in (PictureFacts(16, 16, profile=True), None if format == "TIFF" else 0)
    assert read(content)[8, 8].tolist() == pytest.approx([0, 0, 200 / 255], abs=0.03)


def swapped_profile() -> bytes:
    """The profile of sRGB with the primaries of red and blue exchanged, and another name."""
    plain = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", plain, 128)
    places = {plain[at : at + 4].decode(): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = (struct.unpack_from(">II", plain, places[name] + 4) for name in ("rXYZ", "bXYZ"))
    struct.pack_into(">II", plain, places["rXYZ"] + 4, *blue)
    struct.pack_into(">II", plain, places["bXYZ"] + 4, *red)
    return bytes(plain).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be")).replace(b"sRGB b", b"test b")


def test_a_profile_of_srgb_changes_no_level() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, marked = packed(ALPHA, "PNG"), packed(ALPHA, "PNG", icc_profile=profile)
    assert numpy.array_equal(read(plain), read(marked))


def test_a_profile_that_cannot_be_used_is_a_notice() -> None:
    for profile in (b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()):
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            found = read(packed(RGB, "PNG", icc_profile=profile))
        assert numpy.array_equal(found, read(packed(RGB, "PNG"))) and len(given) == 1


def test_no_message_is_an_address_in_memory() -> None:
    with pytest.raises(InputError) as refusal:
        read(b"")
    assert "0x" not in str(refusal.value)
