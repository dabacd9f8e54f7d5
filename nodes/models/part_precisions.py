"""The precisions that parts of models run in where nobody asked for another: what each family was published in.

A format stands before those that serve where a device lacks it; float32 serves everywhere. The sources are the model
cards and the examples in diffusers' documentation of the family's pipeline. T5 and the language models overflow in
float16 (https://github.com/huggingface/diffusers/pull/9097), and so do the VAEs of families that were published in
bfloat16, so they are in float32 where there is no bfloat16. A VAE that says `force_upcast` is loaded in float32 where
this table has float16 (`VAESpec.upcasts`). Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Formats = tuple[str, ...]
"""The best first."""

PartPrecision = Literal["auto", "float32", "float16", "bfloat16"]
"""What can be asked for one part; `auto` is the precision of the engine."""

IN_FLOAT16: Formats = ("float16",)
IN_BFLOAT16: Formats = ("bfloat16", "float32")
IN_EITHER: Formats = ("bfloat16", "float16")
IN_FLOAT32: Formats = ("float32",)


@dataclass(frozen=True)
class PartPrecisions:
    """What the parts of a family's models run in.

    Args:
        model: the denoiser and ControlNets for it.
        text_encoder: all of its text models.
        source: the model whose card, or the pipeline whose documentation says so.
    """

    model: Formats
    text_encoder: Formats
    vae: Formats
    source: str


def all_parts(formats: Formats, source: str) -> PartPrecisions:
    """The same for all parts."""
    return PartPrecisions(formats, formats, formats, source)
