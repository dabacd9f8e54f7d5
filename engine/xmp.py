"""Texts as XMP, the form of metadata that JPEG and WebP files can both have: a packet of RDF in XML.

XMP specification, part 1 (ISO 16684-1), sections 6 and 7. The texts are JSON, properties of a namespace of Weft's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMESPACE = "urn:weft:picture#"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_NOT_XML = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Characters that XML cannot hold. Compiled at its first use: that takes longer than the rest of this module."""


def packet(texts: Mapping[str, str], attributes: Mapping[str, str] | None = None) -> bytes:
    """An XMP packet.

    Args:
        texts: JSON by name of the property.
        attributes: of the description, by qualified name, with the declarations of their namespaces.
    """
    others = "".join(f' {name}="{text}"' for name, text in (attributes or {}).items())
    properties = "".join(f"<weft:{name}>{_escaped(text)}</weft:{name}>" for name, text in texts.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" xmlns:weft="{NAMESPACE}"{others}>'
        f'{properties}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def _escaped(text: str) -> str:
    """JSON within XML; characters that XML lacks are in strings, where JSON has an escape for them."""
    possible = re.sub(_NOT_XML, lambda match: f"\\u{ord(match[0]):04x}", text)
    return possible.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def properties(content: bytes) -> dict[str, str]:
    """Weft's properties in a packet, also those that another program has written as attributes; none if damaged."""
    from xml.parsers import expat

    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.text, reader.refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError):
        return {}
    return reader.found


class _Reader:
    """Collects properties while a packet is parsed."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._open = ""
        self._parts: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        for attribute, text in attributes.items():
            if own := _own(attribute):
                self.found[own] = text
        self._open, self._parts = _own(name), []

    def text(self, text: str) -> None:
        if self._open:
            self._parts.append(text)

    def end(self, name: str) -> None:
        if self._open:
            self.found[self._open] = "".join(self._parts)
        self._open = ""

    def refuse(self, *declaration: object) -> None:
        """A declaration of a document type can define entities that grow without bound; XMP has none."""
        raise ValueError("a packet has no document type")


def _own(name: str) -> str:
    """The name of a property of Weft; empty for any other."""
    namespace, _, own = name.partition(" ")
    return own if namespace == NAMESPACE else ""
