"""The projection of pictures to GLIGEN's vectors of phrases, in files. Importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component

if TYPE_CHECKING:
    import torch

PROJECTION_FOLDER = "image_project"
"""Its component in a diffusers folder."""


@dataclass(frozen=True)
class PictureProjectionFacts:
    """What a configuration says of the projection.

    Args:
        width: channels of the vectors that it reads and makes.
        contents: all that its headers say.
    """

    width: int
    contents: Contents = field(default_factory=Contents, repr=False)

    def __str__(self) -> str:
        return f"GLIGEN's projection of pictures, vectors of {self.width} channels"


def picture_projection_facts(contents: Contents) -> PictureProjectionFacts | None:
    """What a folder says of the projection, alone or in its pipeline's folder; None where there is none."""
    folder = "" if contents.has("") else PROJECTION_FOLDER
    if contents.class_of(folder) != "CLIPImageProjection":
        return None
    return PictureProjectionFacts(contents.configs[folder].get("hidden_size", 768), contents)


def load_picture_projection(root: Path, variant: str, dtype: torch.dtype, device: str) -> Any:
    """diffusers' module.

    Raises:
        InputError: where files are damaged, or weights are missing.
    """
    from diffusers.pipelines.stable_diffusion.clip_image_project_model import CLIPImageProjection

    from weft.nodes.models.loading import pretrained, ready

    folder = component(root, PROJECTION_FOLDER)
    return ready(pretrained(CLIPImageProjection, folder, variant, torch_dtype=dtype), device)
