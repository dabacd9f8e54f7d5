"""XMP packets: properties in each form that XML allows, and nothing from packets that are no XMP."""

from __future__ import annotations

import pytest

from weft.engine import xmp


def test_texts_are_read_again() -> None:
    texts = {"graph": '{"a": "<&>\\""}', "run": "{}"}
    assert xmp.properties(xmp.packet(texts)) == texts


def test_properties_that_another_program_wrote_as_attributes_are_read() -> None:
    text = f'<a xmlns:w="{xmp.NAMESPACE}" w:graph="{{&quot;a&quot;: 1}}"><w:run>{{}}</w:run><run>no</run></a>'
    assert xmp.properties(text.encode()) == {"graph": '{"a": 1}', "run": "{}"}


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<",
        b"<a>",
        b"\xff\xfe",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<?xml version="1.0" encoding="x"?><a/>',
    ],
)
def test_a_packet_that_is_damaged_or_declares_entities_has_nothing(packet: bytes) -> None:
    assert xmp.properties(packet) == {}
