"""Palettes: a value type, a file as an input, a check, a lazy input, an instant node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import INJECTED, Context, InputError, InputFile, Lazy, Limits, NodeProblem, Range, node, value
from weft.nodes import Image

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True, eq=False)
class Palette:
    """Colours `[colour, 3]` in 0..1."""

    colours: Tensor

    def __repr__(self) -> str:
        return f"Palette({len(self.colours)} colours)"


def _read(path: Path) -> list[bytes]:
    """The colours of a .hex file, in three bytes each.

    Raises:
        InputError: where a line is not a colour.
    """
    lines = path.read_text("utf-8", errors="replace").split()
    if not lines or not all(re.fullmatch("[0-9a-fA-F]{6}", line) for line in lines):
        raise InputError(
            f"`{path.name}` is not a palette", "write one colour a line, as `rrggbb`", "wrong-kind-of-file"
        )
    return [bytes.fromhex(line) for line in lines]


def _probe(path: Path) -> None:
    """Raise `InputError` where a file is not a palette: found by `weft check`, before anything runs."""
    _read(path)


# Version 2: a colour that a file repeats counts once. Version 1 kept it, so results of version 1 must not be used.
@node(category="palettes", lane="io", version=2)
def LoadPalette(path: Annotated[str, InputFile((".hex",), _probe)], *, context: Context = INJECTED) -> Palette:
    """Read a palette from a text file.

    Args:
        path: a .hex file, one `rrggbb` a line.
    """
    import torch

    (file,) = context.found(path).resolved.files
    colours = [list(colour) for colour in dict.fromkeys(_read(file))]
    return Palette(torch.tensor(colours, dtype=torch.float32) / 255)


def _check_blend(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """`amount` needs a second palette."""
    if inputs.get("amount", 0) > 0 and inputs.get("second", "linked") is None:
        yield NodeProblem(
            "second", "`amount` is above 0, and there is no second palette", "link a palette, or set 0", "missing-input"
        )


def _needed(amount: float, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs without the palette that `amount` leaves out."""
    unused = {0.0: "second", 1.0: "first"}.get(amount)
    return {**inputs, unused: None} if unused else inputs


@node(category="palettes", check=_check_blend, lazy=Lazy("amount", _needed))
def BlendPalettes(
    first: Palette | None, second: Palette | None = None, *, amount: Annotated[float, Range(0.0, 1.0)] = 0.5
) -> Palette:
    """Blend two palettes colour by colour; at 0 and at 1 the other palette is not computed.

    Args:
        first: the result at 0.
        second: the result at 1; it needs as many colours as the first.
        amount: the share of the second palette.
    """
    import torch

    if first is None or second is None:
        chosen = first or second
        assert chosen is not None
        return chosen
    if len(first.colours) != len(second.colours):
        raise InputError(
            f"the palettes have {len(first.colours)} and {len(second.colours)} colours",
            "give palettes of the same number of colours",
            "size-mismatch",
        )
    return Palette(torch.lerp(first.colours, second.colours, amount))


@node(category="palettes", instant=True)
def ColourCount(detail: Literal["coarse", "fine"] = "fine") -> int:
    """A number of colours by name; instant, so a plan knows its value.

    Args:
        detail: `coarse` is 4 colours, `fine` 16.
    """
    return {"coarse": 4, "fine": 16}[detail]


@node(category="palettes", lane="cpu")
def MapToPalette(
    image: Image, palette: Palette, *, most: Annotated[int, Range(1, 256)] = 256, context: Context = INJECTED
) -> Image:
    """Give each pixel the nearest colour of a palette. Alpha is left out.

    Args:
        image: the pictures.
        palette: the colours.
        most: how many colours of the palette are used, from its first on.
    """
    import torch

    colours, mapped = palette.colours[:most], []
    for number, picture in enumerate(image.pixels[..., :3]):
        nearest = torch.cdist(picture.reshape(-1, 3), colours).argmin(dim=1)
        mapped.append(colours[nearest].reshape(picture.shape))
        context.progress(number + 1, len(image.pixels))  # raises Cancelled where the run was asked to stop
    return Image(torch.stack(mapped))
