"""The graph and the run in the file of a picture: text chunks in PNG, XMP in JPEG and WebP.

Those of other programs are read from text chunks, EXIF, and the metadata of safetensors files too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import orjson

from weft.engine import jpeg, png, webp

GRAPH = "graph"
"""The name of the text that is the graph."""

RUN = "run"
"""The name of the text that tells which node of which run made the picture."""

_PNG_KEYWORDS = {GRAPH: "weft", RUN: "weft:run"}

FOREIGN = ("prompt", "workflow", "parameters")
"""The names of texts that are graphs of other programs, the one to read first: `prompt` has what was run.

`parameters` is no JSON, so an object with this one key carries it.
"""

PARAMETERS = FOREIGN[-1]

CARRIES = "carries"
"""The key of a graph file with the texts of other programs that its pictures carry."""

MAX_TEXT = 2**26
"""The greatest size of a text that is read from a picture, in bytes."""

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".safetensors", ".latent"})
"""The endings of pictures that may carry a graph, and of files of tensors by ComfyUI."""


def with_texts(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The file with texts in it; a file of another kind stays as it is.

    Args:
        content: a whole file.
        texts: JSON, `GRAPH` and `RUN`.
    """
    if content.startswith(png.SIGNATURE):
        return png.with_text(content, {_PNG_KEYWORDS.get(name, name): text for name, text in texts.items()})
    if content.startswith(jpeg.SIGNATURE):
        return jpeg.with_text(content, texts)
    return webp.with_text(content, texts) if webp.is_webp(content[:12]) else content


def texts_of(file: BinaryIO, limit: int) -> Mapping[str, str]:
    """The texts in a file, by `GRAPH`, `RUN` and those of other programs; none where it is no picture.

    Args:
        limit: the greatest size of a text that is read, in bytes; at most `MAX_TEXT`.
    """
    head, limit = file.read(12), min(limit, MAX_TEXT)
    if head.startswith(png.SIGNATURE):
        found = png.texts(file, limit)
        own = {name: found[keyword] for name, keyword in _PNG_KEYWORDS.items() if keyword in found}
        return own | {name: found[name] for name in FOREIGN if name in found}
    if head.startswith(jpeg.SIGNATURE):
        return jpeg.texts(file, limit)
    if webp.is_webp(head):
        return webp.texts(file, limit)
    return tensor_texts(file, limit) if head[8:9] == b"{" else {}


def tensor_texts(file: BinaryIO, limit: int) -> dict[str, str]:
    """The texts of other programs in the metadata of a safetensors file: models that ComfyUI saves, and latents.

    Args:
        limit: the greatest size of the header that is read, in bytes.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > 2 * limit:
        return {}
    try:
        metadata = orjson.loads(file.read(length)).get("__metadata__")
    except (ValueError, AttributeError):
        return {}
    found = metadata if isinstance(metadata, dict) else {}
    return {name: found[name] for name in FOREIGN if isinstance(found.get(name), str)}


@lru_cache(maxsize=1)
def texts_of_graph(text: str) -> Mapping[str, str]:
    """The texts that pictures of a graph carry: the graph, and those of other programs that it has with it.

    Args:
        text: the graph as JSON.
    """
    if f'"{CARRIES}"' not in text:
        return {GRAPH: text}
    tree = orjson.loads(text)
    others = of_others(tree.pop(CARRIES, None))
    return {GRAPH: orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode(), **others}


def of_others(given: object) -> dict[str, str]:
    """The texts of other programs in a mapping; nothing else."""
    names = [name for name in FOREIGN if name != PARAMETERS]  # a text of settings would name those of another picture
    known = {name: given.get(name) for name in names} if isinstance(given, Mapping) else {}
    return {name: text for name, text in known.items() if isinstance(text, str)}


@dataclass(frozen=True)
class Carried:
    """What a picture carries of its run.

    Args:
        graph: the graph as JSON text.
        contents: the digests of the files that the graph names, by name.
        others: the texts of other programs, by name.
    """

    graph: bytes
    contents: Mapping[str, str]
    others: Mapping[str, str] = field(default_factory=dict)


def carried(path: Path, limit: int = 2**30) -> Carried | None:
    """What a picture carries; None where it carries no graph or is no picture.

    Args:
        limit: the greatest size of the graph, in bytes.
    """
    with path.open("rb") as file:
        texts = texts_of(file, limit)
    if GRAPH in texts:
        return Carried(texts[GRAPH].encode(), _contents(texts.get(RUN, "")), of_others(texts))
    name = next((name for name in FOREIGN if name in texts and (name == PARAMETERS or _is_object(texts[name]))), None)
    if name is None:
        return None
    # Python writes NaN into JSON, which has none: ComfyUI does so for nodes that are never cached.
    text = orjson.dumps({name: texts[name]}) if name == PARAMETERS else _NUMBERLESS.sub(_kept, texts[name]).encode()
    return Carried(text, {}, of_others(texts))


_NUMBERLESS = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)


def _kept(found: re.Match[str]) -> str:
    """A text as it is; null for what is no number."""
    return found[0] if found[0].startswith('"') else "null"


def _is_object(text: str) -> bool:
    """Whether a text may be a JSON object: other programs write their prompt under a name of ComfyUI's."""
    return text.lstrip()[:1] == "{"


def _contents(text: str) -> dict[str, str]:
    """The digests in a run's text; what is none is left out, as pictures come from strangers too."""
    try:
        found = orjson.loads(text)["contents"]
        return {name: known for name, known in found.items() if re.fullmatch("[0-9a-f]{64}", known)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
