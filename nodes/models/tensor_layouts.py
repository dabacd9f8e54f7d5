"""The table of prefixes and layouts under which components are published in single files.

A component is found by a prefix of its tensors' names and by a tensor of its layout below it. A layout is the one of a
component's authors, or diffusers' own. The table is `DENOISER_PREFIXES`, `VAE_PREFIXES`, `CONTROL_PREFIXES` and
`text_prefixes` times the layouts of each `NetworkFormat`, `VAEFormat` and text model. Importing this module imports no
torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.nodes.models.contents import Contents
from weft.nodes.models.safetensors_header import Shapes

if TYPE_CHECKING:
    from torch import Tensor

Config = dict[str, Any]

DENOISER_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "model.", "")
"""What names of a denoiser's tensors begin with; the last has a denoiser alone."""

VAE_PREFIXES = ("first_stage_model.", "vae.", "")

CONTROL_PREFIXES = ("control_model.", "controlnet.", "")


def text_prefixes(name: str, folder: str) -> tuple[str, ...]:
    """What names of a text model's tensors may begin with, whatever its kind.

    Args:
        name: of the text model in its family: `clip_l`.
        folder: its component in a diffusers folder.
    """
    own = (f"text_encoders.{name}.", f"{name}.")
    return (*(prefix + inner for prefix in own for inner in ("transformer.", "")), f"{folder}.")


def as_shaped(shapes: Shapes) -> Shapes:
    """The shapes of a layout whose names are diffusers' own."""
    return shapes


def as_named(found: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a layout whose names are diffusers' own."""
    return found


@dataclass(frozen=True)
class TensorLayout:
    """How the tensors of a component are named below a prefix.

    Args:
        entry: a tensor that every such component has, by which it is found.
        config: the configuration for diffusers' class, from shapes; raises LookupError or ValueError for another
            structure that has a tensor of that name too.
        weights: the weights under diffusers' names.
        shapes: the shapes of the weights of modules, under diffusers' names.
    """

    entry: str
    config: Callable[[Shapes], Config]
    weights: Callable[[dict[str, Tensor], Config], dict[str, Tensor]] = as_named
    shapes: Callable[[Shapes], Shapes] = as_shaped


@dataclass(frozen=True)
class PlacedLayout:
    """A layout below a prefix of a file, with the configuration that the file's shapes give."""

    layout: TensorLayout
    prefix: str
    config: Config


def placed_layouts(
    contents: Contents, prefixes: Iterable[str], layouts: Iterable[TensorLayout]
) -> Iterator[PlacedLayout]:
    """Each layout that a file has below one of the prefixes; families that share a layout read it once."""
    known = tuple(layouts)
    for prefix in prefixes:
        for layout in (layout for layout in known if prefix + layout.entry in contents.shapes):
            place = (prefix, layout)
            if place not in contents.read:
                contents.read[place] = _config(contents.shapes, prefix, layout)
            config = contents.read[place]
            if config is not None:
                yield PlacedLayout(layout, prefix, dict(config))


def _config(shapes: Shapes, prefix: str, layout: TensorLayout) -> Config | None:
    """The configuration of a layout below a prefix; None for another structure with a tensor of its name."""
    own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    try:
        return layout.config(own)
    except (LookupError, ValueError, TypeError, ArithmeticError, StopIteration):
        return None
