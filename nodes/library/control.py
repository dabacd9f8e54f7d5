"""ControlNets: ApplyControlNet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Generic, NamedTuple

from weft.engine import Limits, NodeProblem, Range, node
from weft.nodes.values import Conditioning, Control, ControlNet, F, Image


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


@node(category="conditioning", lane="cpu", check=check_range)
def ApplyControlNet(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    control_net: ControlNet[F],
    image: Image,
    *,
    strength: Annotated[float, Range(0.0, 10.0)] = 1.0,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
) -> Controlled[F]:
    """Control sampling by a picture: edges, depth, a pose, or whatever the ControlNet was trained on.

    Several of these nodes in a row add up. A picture of another size than the latents is scaled.

    Args:
        positive: what the picture is to show.
        negative: what it is not to show; null without a negative prompt.
        control_net: from LoadControlNet.
        image: the picture to follow: one for the whole batch, or one for each item. Alpha is left out.
        strength: the factor of the ControlNet's output.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
    """
    control = Control(control_net, image.pixels[..., :3], strength, start, end)
    return Controlled(_under(control, positive), _under(control, negative) if negative else None)


def _under(control: Control[F], prompt: Conditioning[F]) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, controls=(*one.controls, control)) for one in prompt.prompts))
