"""Upscaling with a model: LoadUpscaler and UpscaleImage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import (
    INJECTED,
    Context,
    Limits,
    Loading,
    NodeProblem,
    Range,
    Upstream,
    check_pixels,
    loader_for,
    node,
)
from weft.nodes.families.picture_model_sources import UpscalerSource
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.picture_tiles import Tiles
from weft.nodes.models.upscaler_facts import UpscalerFacts
from weft.nodes.picture_model_values import Upscaler
from weft.nodes.sizes import Size, SizeTraits
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.upscaler_network import UpscalerNetwork


@loader_for(Upscaler)
def load_upscaler_network(recipe: Upscaler, loading: Loading) -> UpscalerNetwork:
    """The network of an upscaler."""
    import torch

    from weft.nodes.models.upscaler_network import load_upscaler

    source = loading.locate(recipe.source)
    (file,) = source.files
    with reading_weights(source.text):
        return load_upscaler(source.text, file, getattr(torch, recipe.dtype), loading.device)


def _check_extra(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The package that knows the networks must be installed."""
    missing = [name for name in ("spandrel", "torchvision") if find_spec(name) is None]
    if missing:
        yield NodeProblem(
            "source",
            f"upscalers need the package {' and '.join(missing)}, which is not installed",
            "pip install 'weft-engine[upscale]'",
            "missing-package",
        )


@node(category="loaders", lane="io", settings=("precision",), check=_check_extra)
def LoadUpscaler(source: Annotated[str, UpscalerSource()], *, context: Context = INJECTED) -> Upscaler:
    """Load an upscaler: a network that enlarges pictures, such as ESRGAN, Real-ESRGAN, Compact, SwinIR, HAT or DAT.

    Networks are read by spandrel, which is an extra: `pip install 'weft-engine[upscale]'`. Only safetensors are read,
    since a pickle (.pth) can run code.

    Args:
        source: a .safetensors file under a models folder, or the file of a name on the hub (`org/name`,
            `org/name/FILE.safetensors`) that is in the hub's cache.
    """
    return Upscaler(str(context.found(source).digest), "", context.precision)


def _check_overlap(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Two tiles must share less than half of a tile."""
    tile, overlap = inputs.get("tile"), inputs.get("overlap")
    if tile and overlap is not None and overlap * 2 >= tile:
        yield NodeProblem(
            "overlap",
            f"an overlap of {overlap} pixels is not less than half of a tile of {tile}",
            "give a smaller overlap, or larger tiles",
            "out-of-range",
        )


def _enlarged_size(upscaling: Upstream, source: Size | None) -> Size | None:
    """The size of a picture enlarged by the scale that the upscaler's header tells."""
    loader = upscaling.above("upscaler")
    found = loader.source("source") if loader else None
    if source is None or found is None or not isinstance(found.facts, UpscalerFacts) or not found.facts.scale:
        return None
    return Size(source.width * found.facts.scale, source.height * found.facts.scale)


@node(category="image", lane="gpu", check=_check_overlap, traits=(SizeTraits(_enlarged_size, of="image"),))
def UpscaleImage(
    upscaler: Upscaler,
    image: Image,
    *,
    tile: Annotated[int, Range(0, 8192)] = 256,
    overlap: Annotated[int, Range(0, 1024)] = 32,
    context: Context = INJECTED,
) -> Image:
    """Enlarge pictures with an upscaler, by the scale that it was trained for: 2 or 4 times in most.

    Alpha is enlarged by the same network, as a grey picture. For another size scale the result (ScaleImage).

    Args:
        upscaler: from LoadUpscaler.
        image: the pictures.
        tile: pictures are cut into tiles of this side, in pixels, which bounds the memory that the network takes: about
            1 GB for ESRGAN, 4 times, in float32 at 256. 0 enlarges each picture whole.
        overlap: pixels that two tiles share, 16 to 64. They are blended over the middle of it, so that seams are below
            1/255 in smooth parts of pictures. Networks that look far around (SwinIR, DAT) need more.
    """
    import torch

    batch, height, width, channels = image.pixels.shape
    with context.weights(upscaler) as network:
        check_pixels(width * network.scale, height * network.scale, batch, context.limits)
        side = max(height, width) if not tile or network.is_global else network.tile(tile)
        tiles = Tiles(height, width, side, overlap if side < max(height, width) else 0)
        planes = [image.pixels[..., :3]] if channels == 3 else [image.pixels[..., :3], image.pixels[..., 3:]]
        enlarged = _counted(network.enlarge, context, len(planes) * batch * len(tiles))
        made = [_enlarged(plane, tiles, network.scale, enlarged) for plane in planes]
    return Image(made[0] if channels == 3 else torch.cat([made[0], made[1].mean(-1, keepdim=True)], -1))


def _enlarged(plane: Tensor, tiles: Tiles, scale: int, enlarge: Callable[[Tensor], Tensor]) -> Tensor:
    """Pictures `[batch, height, width, 1 or 3]`, enlarged to three channels."""
    import torch

    colours = plane.expand(-1, -1, -1, 3).permute(0, 3, 1, 2)
    return torch.cat([tiles.joined(one[None], scale, enlarge) for one in colours]).permute(0, 2, 3, 1).contiguous()


def _counted(enlarge: Callable[[Tensor], Tensor], context: Context, total: int) -> Callable[[Tensor], Tensor]:
    """The network, which reports each tile and stops between two of them."""
    numbers = count(1)

    def one(part: Tensor) -> Tensor:
        made = enlarge(part)
        context.progress(next(numbers), total)
        return made

    return one
