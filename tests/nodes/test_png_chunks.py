"""PNG files without their texts, as Pillow is given them; all that makes the picture stays."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from weft.nodes.png_chunks import without_texts


def test_texts_and_profiles_are_left_out_and_xmp_stays() -> None:
    info, packed = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("comment", "a long one", zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    picture = Image.linear_gradient("L").resize((5, 4))
    picture.save(packed, "PNG", pnginfo=info, icc_profile=b"profile", dpi=(72, 72))
    with Image.open(io.BytesIO(without_texts(packed.getvalue()))) as opened:
        opened.load()
        assert opened.tobytes() == picture.tobytes() and "dpi" in opened.info
        assert "XML:com.adobe.xmp" in opened.info and not {"comment", "icc_profile"} & {*opened.info}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_a_file_without_texts_stays_as_it_is(format: str) -> None:
    packed = io.BytesIO()
    Image.new("L", (2, 2)).save(packed, format)
    assert without_texts(packed.getvalue()) == packed.getvalue()
