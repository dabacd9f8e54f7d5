"""Colour matrices: a kind of file of one's own, weights on the device by a recipe, a check against the nodes above."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from weft.engine import (
    INJECTED,
    Context,
    InputError,
    Loading,
    NodeProblem,
    Patch,
    Range,
    Recipe,
    Resolved,
    Resource,
    SearchPaths,
    Upstream,
    find,
    loader_for,
    node,
    value,
)
from weft.nodes import Image

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MatrixFacts:
    """What the header of a colour matrix says.

    Args:
        channels: 3, or 4 where alpha is transformed too.
    """

    channels: int


@dataclass(frozen=True)
class MatrixFile(Resource):
    """A .safetensors file with one square tensor, `matrix`, under a models folder or next to the graph."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The file of that name, by its name and header alone.

        Raises:
            InputError: where there is none, or it is not a colour matrix.
        """
        path = find(text, (*places.files, *places.models))
        if path is None or not path.is_file():
            raise InputError(
                f"there is no file `{text}`", "check the name, or add its folder with --models DIR", "missing-file"
            )
        return Resolved(text, path, (path,), kind="colour matrix", facts=MatrixFacts(_channels(path)))


def _channels(path: Path) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            shape = file.get_slice("matrix").get_shape()
    except (SafetensorError, OSError):
        raise InputError(
            f"`{path.name}` is not a colour matrix", "give a .safetensors file with `matrix`", "wrong-kind-of-file"
        ) from None
    if shape not in ([3, 3], [4, 4]):
        raise InputError(f"`{path.name}` has a matrix of shape {shape}", "expected [3, 3] or [4, 4]", "wrong-channels")
    return int(shape[0])


@value
@dataclass(frozen=True)
class ColourMatrix(Recipe["nn.Module"]):
    """Names the weights of a colour matrix by the digest of their file; holds no path and no tensor.

    Args:
        source: the content digest of the file.
    """

    source: str


@loader_for(ColourMatrix)
def load_colour_matrix(recipe: ColourMatrix, loading: Loading) -> nn.Module:
    """The weights as a module on `loading.device`; called once, then the residency keeps the module."""
    from safetensors.torch import load_file
    from torch import nn

    (file,) = loading.locate(recipe.source).files
    matrix = load_file(file)["matrix"].float()
    layer = nn.Linear(len(matrix), len(matrix), bias=False)
    layer.weight = nn.Parameter(matrix, requires_grad=False)
    return layer.to(loading.device)


@value
@dataclass(frozen=True)
class MatrixAmount(Patch["nn.Linear"]):
    """Moves a colour matrix towards one that changes nothing.

    Args:
        amount: 0 changes no colour, 1 is the matrix itself.
    """

    amount: float

    def enter(self, module: nn.Linear, loading: Loading) -> Callable[[], None]:
        """Give the layer another weight; the function that is returned gives it its own again."""
        import torch
        from torch import nn

        kept = module.weight
        identity = torch.eye(len(kept), device=loading.device)
        module.weight = nn.Parameter(torch.lerp(identity, kept, self.amount), requires_grad=False)

        def undo() -> None:
            module.weight = kept

        return undo


@node(category="colour", lane="io")
def LoadColourMatrix(source: Annotated[str, MatrixFile()], *, context: Context = INJECTED) -> ColourMatrix:
    """Name a colour matrix; its weights are loaded where a node uses them.

    Args:
        source: a .safetensors file with one tensor, `matrix`, of shape [3, 3] or [4, 4].
    """
    return ColourMatrix(str(context.found(source).digest))


def _fits(applied: Upstream) -> Iterator[NodeProblem]:
    """Alpha needs a matrix of four channels: known from the header before anything runs."""
    loader = applied.above_by_type(ColourMatrix)
    found = loader.source("source") if loader else None
    facts = found.facts if found else None
    if loader and isinstance(facts, MatrixFacts) and facts.channels == 3 and applied.literals.get("alpha"):
        message = f"`alpha` is true, and the matrix of `{loader.call.id}` has 3 channels"
        yield NodeProblem("alpha", message, "set it to false, or load a matrix of 4 channels", "wrong-channels")


@node(category="colour", lane="gpu", fits=_fits)
def ApplyColourMatrix(
    image: Image,
    matrix: ColourMatrix,
    *,
    amount: Annotated[float, Range(0.0, 1.0)] = 1.0,
    alpha: bool = False,
    context: Context = INJECTED,
) -> Image:
    """Multiply the colour of each pixel by a matrix.

    Args:
        image: the pictures.
        matrix: from LoadColourMatrix.
        amount: how much of the change is made.
        alpha: whether alpha is transformed too; else it is kept as it is.
    """
    import torch

    channels = 4 if alpha else 3
    patches = () if amount == 1 else (MatrixAmount(amount),)
    with context.weights(matrix, patches=patches) as layer, torch.inference_mode():
        weight = layer.get_parameter("weight")[:channels, :channels]
        changed = image.pixels[..., :channels].to(context.device) @ weight.T
    pixels = changed.clamp(0, 1).cpu()
    return Image(torch.cat([pixels, image.pixels[..., channels:]], dim=-1))
