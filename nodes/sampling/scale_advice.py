"""Warnings before a run: a scale of guidance below 1, which leads away from the prompt, or above 1 for a model that was
distilled to do without. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import NodeProblem, Upstream
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.values import Model


def scale_advice(guide: Upstream) -> Iterator[NodeProblem]:
    """Whether a guide has a scale at which diffusers turns guidance off, and does not.

    A model that was distilled with guidance reads the scale itself; one that was distilled to do without (FLUX.2 klein)
    says so in its index, and diffusers leads it nowhere at any scale.
    """
    scale, off = guide.literals.get("scale"), guide.literals.get("off_below_1", False)
    loader = loader_above(guide, Model)
    model = loaded(loader) if loader else None
    distilled = model is not None and model.family.denoiser.distilled(model.facts.network.config)
    if scale is not None and scale < 1 and not off and not distilled:
        part = "ignored" if scale == 0 else f"followed by {scale:g} alone"
        yield NodeProblem(
            "scale",
            f"at scale {scale:g} the prompt is {part}; as `guidance_scale` of diffusers it would turn guidance off",
            "set `off_below_1`, or `scale` to 1, for the prompt without guidance",
            "unusual-scale",
        )
    without = model is not None and model.facts.contents.index.get("is_distilled") is True
    if scale is not None and scale > 1 and without:
        yield NodeProblem(
            "scale",
            f"the model was distilled to do without guidance, which diffusers leaves out for it, and the scale is "
            f"{scale:g}",
            "set `scale` to 1, which takes half the time",
            "unusual-scale",
        )
