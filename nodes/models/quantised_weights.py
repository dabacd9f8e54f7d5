"""Weights in fewer bits than 16: 8-bit floats, with scales or without, and GGUF's blocks; others are refused.

Scaled fp8 files hold `X.weight` in 8-bit floats with one scale for the tensor or for each of its rows, `X.scale_weight`
or `X.weight_scale` (ComfyUI's names); the weight is their product. 8-bit floats without scales are plain weights. All
that is decided here follows from a header, so it is known before a run. Importing this module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.gguf_header import BLOCKS
from weft.nodes.models.safetensors_header import Header, Shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALES = (".scale_weight", ".weight_scale")
"""What the name of a weight's scale ends with, in place of `.weight`."""

NOT_WEIGHTS = (".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
"""What names of tensors end with that say how products are computed in 8 bits; weights do not depend on them."""

FLOATS_8 = frozenset({"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})

FLOATS = FLOATS_8 | {"F16", "BF16", "F32", "F64"}
"""Types of numbers that weights are read in; a scale is one of these too."""


@dataclass(frozen=True)
class Quantisation:
    """A format of quantised weights that is not read, recognised by what names of tensors contain.

    Args:
        name: of the format, for messages.
        parts: what its names end with; one that ends in a dot may stand anywhere in a name.
        marks: types of numbers that no other format has.
    """

    name: str
    parts: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()

    def found(self, header: Header, names: str) -> str | None:
        """The name of a tensor of this format; None where there is none.

        Args:
            names: of all tensors, one after the other: what is nowhere in there is in no name.
        """
        if not any(part in names for part in self.parts) and self.marks.isdisjoint(header.dtypes.values()):
            return None
        ends = tuple(part for part in self.parts if not part.endswith("."))
        inner = tuple(part for part in self.parts if part.endswith("."))
        for name in header.shapes:
            if name.endswith(ends) or header.dtypes.get(name) in self.marks or _contains(name, inner):
                return name
        return None


def _contains(name: str, parts: tuple[str, ...]) -> bool:
    return bool(parts) and any(part in name for part in parts)


QUANTISATIONS: tuple[Quantisation, ...] = (
    Quantisation("NF4 or FP4 (bitsandbytes)", (".absmax", ".quant_map", ".nested_absmax", ".quant_state.")),
    Quantisation("int8 (bitsandbytes)", (".SCB", ".weight_format")),
    Quantisation("SVDQuant (Nunchaku)", (".wscales", ".wtscale", ".smooth_factor", ".smooth_orig")),
    Quantisation("GPTQ or AWQ", (".qweight", ".qzeros", ".g_idx")),
    Quantisation("compressed-tensors", (".weight_packed", ".weight_zero_point", ".weight_shape")),
    Quantisation("quanto", (".weight._data", ".weight._scale", ".weight._packed")),
    Quantisation("torchao", ("_weight_qdata", "_weight_tensor", ".weight_qdata", ".weight_tensor_impl")),
    Quantisation("HQQ", (".W_q",)),
    Quantisation("NVFP4", (".weight_scale_2", ".weight_global_scale")),
    Quantisation("fp8 with a scale for each block", (".weight_scale_inv",)),
    Quantisation("MXFP8, MXFP6 or MXFP4", (), frozenset({"F8_E8M0", "F6_E2M3", "F6_E3M2", "F4"})),
)
"""The formats that messages name, the first that fits."""


def refuse_quantised(where: str, header: Header) -> None:
    """Raise `InputError` where a file's weights are quantised in a way that is not read.

    Args:
        where: what messages call the file.
    """
    names = "\n".join(header.shapes)
    for one in QUANTISATIONS:
        if name := one.found(header, names):
            raise _unsupported(where, f"weights in {one.name} (`{name}`)")
    for name, dtype in header.dtypes.items():
        if name.endswith((".weight", ".bias")) and dtype not in FLOATS and dtype not in BLOCKS:
            raise _unsupported(where, f"weights that are no floating-point numbers (`{name}` of type {dtype})")
    for name, shape in header.shapes.items():
        if name.endswith(SCALES):
            _check_scale(where, name, shape, header)
    if any(dtype in BLOCKS for dtype in header.dtypes.values()) and find_spec("gguf") is None:
        raise InputError(
            f"`{where}` has weights in GGUF's blocks, and the package gguf, which widens them, is not installed",
            "pip install 'weft-engine[gguf]'",
            "missing-package",
        )
    if name := _unknown_scale(header):
        raise _unsupported(where, f"weights in 8 bits with something else that they depend on (`{name}`)")


def refuse_scales_in_folder(where: str, header: Header) -> None:
    """Raise `InputError` where a file of a diffusers folder has scales, which its library does not multiply by."""
    name = next(filter(is_scale, header.shapes), None)
    if name:
        raise InputError(
            f"`{where}` has weights with scales (`{name}`), which are not read from a folder",
            "name the .safetensors file itself in place of its folder, or get the model in bfloat16 or float16",
            "unsupported-weights",
        )


def refuse_quantised_config(where: str, config: Mapping[str, Any]) -> None:
    """Raise `InputError` where the configuration of a component says that its weights are quantised."""
    given = config.get("quantization_config")
    if given:
        method = given.get("quant_method", "an unknown method") if isinstance(given, Mapping) else given
        raise _unsupported(where, f"weights quantised by {method} (`quantization_config`)")


def is_scale(name: str) -> bool:
    """Whether a tensor of this name belongs to the scales of a file, so that a file without scales has none like it."""
    return name.endswith((*SCALES, *NOT_WEIGHTS))


def without_scales(shapes: Shapes) -> Shapes:
    """The shapes of weights alone, as a file without scales has them."""
    return {name: shape for name, shape in shapes.items() if not is_scale(name)}


def scale_name(weight: str, names: Collection[str]) -> str | None:
    """The name of the scale of a weight; None where it has none."""
    stem = weight.removesuffix(".weight")
    found = (stem + ending for ending in SCALES) if stem != weight else ()
    return next((name for name in found if name in names), None)


def scaled(weight: Tensor, scale: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A weight times its scale, computed in float32 and rounded once.

    Args:
        weight: `[row, ...]`, in 8-bit floats.
        scale: of one element, or of one for each row.
        dtype: of the product; None is float32.
    """
    factor = scale.float()
    factor = factor.reshape(()) if factor.numel() == 1 else factor.reshape(-1, *[1] * (weight.ndim - 1))
    product = weight.float() * factor
    return product if dtype is None else product.to(dtype)


def _unknown_scale(header: Header) -> str | None:
    """A tensor next to a weight in 8 bits that is neither a bias nor of a known name; None where there is none.

    Layers have a weight and a bias. What else lies below the name of a layer, or begins with it and speaks of a scale,
    is of a quantisation, and the weight is not the stored one.
    """
    eight = {name.removesuffix(".weight") for name, dtype in header.dtypes.items() if dtype in FLOATS_8}
    others = (name for name in header.shapes if not name.endswith((".weight", ".bias")) and not is_scale(name))
    return next((name for name in others if eight and _is_of_layer(name, eight)), None)


def _is_of_layer(name: str, layers: Collection[str]) -> bool:
    """Whether a name lies below that of a layer, or is a layer's with `scale` at its end, such as `to_q_scale`."""
    parts = name.split(".")
    below = (".".join(parts[:count]) for count in range(1, len(parts)))
    stem = name.rstrip("s").removesuffix("scale").rstrip("_.")
    return any(one in layers for one in below) or (stem != name.rstrip("s") and stem in layers)


def _check_scale(where: str, name: str, shape: tuple[int, ...], header: Header) -> None:
    """Raise `InputError` for a scale without its weight, and for one that is neither a number nor one for each row."""
    weight = next(name.removesuffix(ending) + ".weight" for ending in SCALES if name.endswith(ending))
    if weight not in header.shapes:
        raise InputError(
            f"`{where}` has the scale `{name}` without its weight `{weight}`", "get the file again", "missing-weights"
        )
    size = header.shapes[weight]
    rows = shape[:1] == size[:1] and math.prod(shape) == size[0] if size else False
    if header.dtypes.get(name) not in FLOATS or not (math.prod(shape) == 1 or rows):
        described = f"`{name}` of shape {list(shape)} for a weight of shape {list(size)}"
        raise _unsupported(where, f"weights with scales that are neither a number nor one for each row ({described})")


def _unsupported(where: str, found: str) -> InputError:
    return InputError(
        f"`{where}` has {found}, which are not read",
        "get the model in bfloat16, float16, fp8 (plain, or with one scale for each weight) or GGUF; where memory is "
        "short, `weights` (of LoadCheckpoint `model_weights`) set to fp8, int8 or nf4 keeps any model in 8 or 4 bits",
        "unsupported-weights",
    )
