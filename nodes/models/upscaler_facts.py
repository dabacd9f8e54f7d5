"""Upscalers: what the names and shapes of their tensors say. Imports no torch.

Which networks there are is known to spandrel, which loads them (`weft.nodes.models.upscaler_network`). Here the three
that most files hold are recognised, so that the size of what they make is known before anything runs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from weft.nodes.models.contents import Contents
from weft.nodes.models.safetensors_header import Shapes, kind_of


@dataclass(frozen=True)
class UpscalerFacts:
    """What the header says of an upscaler.

    Args:
        architecture: `ESRGAN` or `Compact`; empty where it is one that the names do not tell.
        scale: by which sides grow; 0 where it is not known.
    """

    architecture: str = ""
    scale: int = 0


def upscaler_facts(contents: Contents) -> UpscalerFacts | None:
    """What the shapes of a file say of an upscaler; None for a folder, and for a file of another kind."""
    shapes = contents.shapes
    if not shapes or kind_of(shapes) is not None:
        return None
    return _esrgan(shapes) or _first_esrgan(shapes) or _compact(shapes) or UpscalerFacts()


def _esrgan(shapes: Shapes) -> UpscalerFacts | None:
    """Real-ESRGAN, `RRDBNet` (https://arxiv.org/abs/2107.10833): its input may be folded into channels first."""
    if not {"conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"} <= shapes.keys():
        return None
    doublings = sum(re.fullmatch(r"conv_up\d+\.weight", name) is not None for name in shapes)
    folded = math.isqrt(shapes["conv_first.weight"][1] // shapes["conv_last.weight"][0])
    return UpscalerFacts("ESRGAN", 2**doublings // max(folded, 1))


def _first_esrgan(shapes: Shapes) -> UpscalerFacts | None:
    """ESRGAN as its authors published it (https://arxiv.org/abs/1809.00219), whose layers are numbered."""
    if not {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"} <= shapes.keys():
        return None
    numbered = sum(re.fullmatch(r"model\.\d+\.weight", name) is not None for name in shapes)
    return UpscalerFacts("ESRGAN", 2 ** max(numbered - 3, 0))  # the first convolution and the last two do not scale


def _compact(shapes: Shapes) -> UpscalerFacts | None:
    """Compact, `SRVGGNetCompact`: convolutions in a row, the last of which makes the pixels of a larger picture."""
    numbers = [int(found[1]) for name in shapes if (found := re.fullmatch(r"body\.(\d+)\.(?:weight|bias)", name))]
    if not numbers or any(not name.startswith("body.") for name in shapes) or "body.0.weight" not in shapes:
        return None
    first, last = shapes["body.0.weight"], shapes.get(f"body.{max(numbers)}.weight", ())
    if len(first) != 4 or len(last) != 4:
        return None
    return UpscalerFacts("Compact", math.isqrt(last[0] // first[1]))
