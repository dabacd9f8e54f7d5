"""Texts of other programs in EXIF: ComfyUI's graphs in WebP files, A1111's settings in JPEG and WebP files."""

from __future__ import annotations

from collections.abc import Iterator

_USER_COMMENT, _EXIF_DIRECTORY = 0x9286, 0x8769

NAMES = ("prompt", "workflow")
"""What ComfyUI's texts begin with: `prompt:{...}`, in tags for the maker and the model of a camera."""

MAX_EXIF = 2**26
"""The greatest size that is read, in bytes."""


def texts(content: bytes) -> dict[str, str]:
    """The texts in the body of an EXIF chunk, by `prompt`, `workflow` and `parameters`; none where it is damaged."""
    from PIL.Image import Exif

    exif = Exif()
    try:
        exif.load(content)
        found = [*exif.values(), *exif.get_ifd(_EXIF_DIRECTORY).items()]
    except Exception:  # Pillow raises what it happens to meet in a damaged directory
        return {}
    return dict(_named(found))


def _named(values: list[object]) -> Iterator[tuple[str, str]]:
    for one in values:
        if isinstance(one, tuple) and one[0] == _USER_COMMENT and isinstance(one[1], bytes):
            yield "parameters", _comment(one[1])
        elif isinstance(one, str):
            name, colon, text = one.partition(":")
            if colon and name.lower() in NAMES:
                yield name.lower(), text.rstrip("\0")


def _comment(content: bytes) -> str:
    """A comment behind the eight bytes that name its encoding; UTF-16 in either order of bytes."""
    kind, text = content[:8], content[8:]
    if kind.startswith(b"UNICODE"):
        zeros = text[:200:2].count(0), text[1:200:2].count(0)
        return text.decode("utf-16-be" if zeros[0] >= zeros[1] else "utf-16-le", errors="replace").strip("\0")
    return text.decode(errors="replace").strip("\0")
