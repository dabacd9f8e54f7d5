"""How the colours of two pictures mix, as W3C Compositing and Blending Level 1, sections 5 and 10, define it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

BlendMode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "colour dodge",
    "colour burn",
    "hard light",
    "soft light",
    "difference",
    "exclusion",
    "add",
    "subtract",
]


def mixed(below: Tensor, above: Tensor, mode: BlendMode) -> Tensor:
    """B(Cb, Cs): the colour of a pixel above (Cs) on an opaque one below (Cb)."""
    import torch

    match mode:
        case "normal":
            return above
        case "multiply":
            return below * above
        case "screen":
            return below + above - below * above
        case "overlay":
            return mixed(above, below, "hard light")
        case "darken":
            return torch.minimum(below, above)
        case "lighten":
            return torch.maximum(below, above)
        case "colour dodge":
            lit = torch.where(above >= 1, torch.ones_like(below), (below / (1 - above).clamp(min=1e-9)).clamp(max=1))
            return torch.where(below <= 0, torch.zeros_like(below), lit)
        case "colour burn":
            burnt = 1 - ((1 - below) / above.clamp(min=1e-9)).clamp(max=1)
            dark = torch.where(above <= 0, torch.zeros_like(below), burnt)
            return torch.where(below >= 1, torch.ones_like(below), dark)
        case "hard light":
            return torch.where(above <= 0.5, below * 2 * above, mixed(below, 2 * above - 1, "screen"))
        case "soft light":
            curve = torch.where(below <= 0.25, ((16 * below - 12) * below + 4) * below, below.clamp(min=0).sqrt())
            darker = below - (1 - 2 * above) * below * (1 - below)
            return torch.where(above <= 0.5, darker, below + (2 * above - 1) * (curve - below))
        case "difference":
            return (below - above).abs()
        case "exclusion":
            return below + above - 2 * below * above
        case "add":
            return (below + above).clamp(max=1)
        case "subtract":
            return (below - above).clamp(min=0)


def composited(below: Tensor, above: Tensor, coverage: Tensor, mode: BlendMode) -> Tensor:
    """Pixels above on pixels below of one size; where they do not cover, those below stay bit for bit.

    Args:
        coverage: `[batch, height, width, 1]`, how much of the pixels above counts; their own alpha counts in addition.
    """
    import torch

    source = coverage * above[..., 3:] if above.shape[-1] == 4 else coverage
    colours = mixed(below[..., :3], above[..., :3], mode)
    if below.shape[-1] == 3:
        return torch.lerp(below, colours, source)
    backdrop = below[..., 3:]
    shown = torch.lerp(above[..., :3], colours, backdrop)
    alpha = source + backdrop * (1 - source)
    weight = torch.where(alpha > 0, source / alpha.clamp(min=1e-9), torch.zeros_like(alpha))
    joined = torch.cat([torch.lerp(below[..., :3], shown, weight), alpha], dim=-1)
    return torch.where(source > 0, joined, below)
