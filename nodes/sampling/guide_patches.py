"""The changes to a model that the predictions of a guide need: attention perturbed, to pictures, or recorded.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from typing import Any

from weft.engine import Patch
from weft.nodes.models.attention_maps import RecordedLayers
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.image_attention import ImageLayers
from weft.nodes.sampling.clean_references import CleanReferences, DiagonalReferences
from weft.nodes.sampling.pag import PerturbedLayers
from weft.nodes.values import Guide


def patches_of(guide: Guide[Any]) -> tuple[Patch[Denoiser], ...]:
    """The patches, in the order in which they are entered: attention to pictures goes around perturbed attention, which
    calls what is inside of it for some rows at a time.
    """
    perturbed = (PerturbedLayers(guide.perturbation.layers),) if guide.perturbation else ()
    pictured = (ImageLayers(),) if any(prompt.images for prompt in guide.prompts) else ()
    recorded = (RecordedLayers(),) if guide.recorded else ()
    clean = (CleanReferences(),) if guide.clean_references else ()
    diagonal = (DiagonalReferences(),) if guide.diagonal_references else ()
    return (*perturbed, *pictured, *recorded, *clean, *diagonal)
