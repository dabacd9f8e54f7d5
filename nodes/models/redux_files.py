"""FLUX.1 Redux in files: what headers say of it, and how it is loaded. Importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.single_file import tensors

if TYPE_CHECKING:
    import torch

REDUX_FOLDER = "image_embedder"
"""Its component in a diffusers folder."""


@dataclass(frozen=True)
class ReduxFacts:
    """What headers say of Redux.

    Args:
        reads: channels of the tokens of an image encoder that it reads.
        width: channels of the tokens that it makes, as many as those of the model's prompts.
        contents: all that its headers say.
    """

    reads: int
    width: int
    contents: Contents = field(default_factory=Contents, repr=False)
    family: ClassVar[str] = "FLUX"

    def __str__(self) -> str:
        return f"FLUX.1 Redux, from tokens of {self.reads} channels to {self.width}"


def redux_facts(contents: Contents) -> ReduxFacts | None:
    """What headers say of Redux, alone or in its pipeline's folder; None where there is none."""
    if contents.shapes:
        up, down = contents.shapes.get("redux_up.weight"), contents.shapes.get("redux_down.weight")
        return ReduxFacts(up[1], down[0], contents) if up and down else None
    folder = "" if contents.has("") else REDUX_FOLDER
    if contents.class_of(folder) != "ReduxImageEncoder":
        return None
    config = contents.configs[folder]
    return ReduxFacts(config.get("redux_dim", 1152), config.get("txt_in_features", 4096), contents)


def load_redux(facts: ReduxFacts, root: Path, variant: str, dtype: torch.dtype, device: str) -> Any:
    """diffusers' module.

    Raises:
        InputError: where files are damaged, or weights are missing.
    """
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    from weft.nodes.models.loading import assembled, notice_unread, pretrained, ready

    if root.is_dir():
        return ready(pretrained(ReduxImageEncoder, component(root, REDUX_FOLDER), variant, torch_dtype=dtype), device)
    found = tensors(root, dtype=dtype)
    names = [*found]
    config = {"redux_dim": facts.reads, "txt_in_features": facts.width}
    network = assembled(ReduxImageEncoder, config, {**found}, dtype)
    notice_unread(root.name, sorted({*names} - network.state_dict().keys()))
    return ready(network, device)
