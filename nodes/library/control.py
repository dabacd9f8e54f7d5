"""ControlNets: ApplyControlNet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Generic, Literal, NamedTuple

from weft.engine import ADDED_LATER, Limits, NodeProblem, Range, node
from weft.nodes.sampling.prompt_checks import control_fits
from weft.nodes.sampling.traits import PromptTraits, always
from weft.nodes.values import VAE, Conditioning, Control, ControlNet, F, Image, Mask

Kind = Literal[
    "canny", "soft_edge", "pose", "depth", "normal", "segmentation", "tile", "repaint", "blur", "gray", "low_quality"
]
"""The kinds of pictures that ControlNets distinguish."""


class Controlled(NamedTuple, Generic[F]):
    """Both prompts with a ControlNet; the negative one is None where none was given."""

    positive: Conditioning[F]
    negative: Conditioning[F] | None


def check_range(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """`start` must be less than `end`."""
    start, end = inputs.get("start"), inputs.get("end")
    if start is not None and end is not None and start >= end:
        yield NodeProblem(
            "end", f"the end, {end}, does not lie after the start, {start}", "give a larger `end`", "empty-interval"
        )


@node(
    category="conditioning",
    lane="cpu",
    check=check_range,
    fits=control_fits,
    traits=(PromptTraits(for_items=always("image", "mask", "source")),),
)
def ApplyControlNet(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    control_net: ControlNet[F],
    image: Image,
    vae: Annotated[VAE[F] | None, ADDED_LATER] = None,
    mask: Annotated[Mask | None, ADDED_LATER] = None,
    source: Annotated[Image | None, ADDED_LATER] = None,
    *,
    strength: Annotated[float, Range(0.0, 10.0)] = 1.0,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    kind: Annotated[Kind | None, ADDED_LATER] = None,
) -> Controlled[F]:
    """Control sampling by a picture: edges, depth, a pose, or whatever the ControlNet or T2I-Adapter was trained on.

    Several of these nodes in a row add up; pictures of several kinds under one ControlNet that knows them go through it
    at once. A picture of another size than the latents is scaled.

    Args:
        positive: what the picture is to show.
        negative: what it is not to show; null without a negative prompt.
        control_net: from LoadControlNet.
        image: the picture to follow: one for the whole batch, or one for each item. Alpha is left out.
        vae: the model's own, for ControlNets that read the picture's latents, as those of SD 3, Qwen-Image, Z-Image
            and most of FLUX.1 do; others ignore it.
        mask: 1 where the picture is to be replaced, for ControlNets that inpaint (SD 1.x's `control_v11p_sd15_inpaint`,
            Alimama's of SD 3, InstantX's of Qwen-Image; with `source`, those of Z-Image); 0.5 and more counts as 1.
            What is outside of it is kept only nearly: SetNoiseMask keeps it, and StitchImage every pixel.
        source: what is replaced under `mask`, for ControlNets that read it next to the picture that they follow: Fun
            ControlNet Union for Z-Image from version 2.1 on. Others have it as `image`. Alpha is left out.
        strength: the factor of the ControlNet's output; 0.5 to 1 is usual.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
        kind: what the picture shows, for a ControlNet of several kinds (union). Those of FLUX.1 know canny, tile,
            depth, blur, pose, gray and low_quality; those of SDXL pose, depth, soft_edge (also scribbles), canny (also
            lines), normal, segmentation, tile and repaint. `canny` is for Stability AI's ControlNet of SD 3.5 Large
            too, which reads edges at other levels. Left out for all others.
    """
    coverage = None if mask is None else mask.coverage
    replaced = None if source is None else source.pixels[..., :3]
    control = Control(control_net, image.pixels[..., :3], strength, start, end, vae, kind, coverage, replaced)
    return Controlled(_under(control, positive), _under(control, negative) if negative else None)


def _under(control: Control[F], prompt: Conditioning[F]) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, controls=(*one.controls, control)) for one in prompt.prompts))
