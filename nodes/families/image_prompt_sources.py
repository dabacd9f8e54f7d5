"""Sources of image encoders and of the adapters that read what these make of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from weft.engine import InputError, Notice, Resolved, SearchPaths
from weft.nodes.families.sources import ModelSource
from weft.nodes.models import diffusers_folder
from weft.nodes.models.contents import Contents
from weft.nodes.models.grounding_pictures import (
    PROJECTION_FOLDER,
    PictureProjectionFacts,
    picture_projection_facts,
)
from weft.nodes.models.ip_adapter_files import (
    LAYERS,
    PROJECTION,
    IPAdapterFacts,
    ip_adapter_facts,
    under_own_names,
)
from weft.nodes.models.recognition import recognised
from weft.nodes.models.redux_files import REDUX_FOLDER, ReduxFacts, redux_facts
from weft.nodes.models.safetensors_header import kind_of
from weft.nodes.models.unread import outside, unread_tensors
from weft.nodes.models.vision_models import FOLDER, PROCESSORS, VisionFacts, vision_facts


class ImageEncoderSource(ModelSource):
    """The vision model of CLIP or SigLIP: alone, in a whole CLIP model, or in the folder of a pipeline."""

    kind = "image encoder"
    components = ("", FOLDER, *PROCESSORS)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """Its own folder with that of what prepares pictures for it, where the source is a pipeline's folder."""
        if not root.is_dir():
            return root, (root,)
        own = ("",) if contents.has("") else (FOLDER, *PROCESSORS)
        return root, diffusers_folder.content(root, own)

    def facts(self, contents: Contents, root: Path) -> VisionFacts | None:
        return recognised(vision_facts, contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give a folder or a safetensors file of a CLIP or SigLIP vision model"
        return refused(root, contents, "an image encoder", hint)


class IPAdapterSource(ModelSource):
    """An IP-Adapter, in one file."""

    kind = "IP-Adapter"
    components = ()

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The adapter of that name; one whose file has a LoRA too, which LoadLoRA reads, has a digest of its own.

        Raises:
            InputError: for what any other source is refused for.
        """
        found = super().resolve(text, places)
        faces = isinstance(found.facts, IPAdapterFacts) and found.facts.face
        return replace(found, reading=self.kind) if faces else found

    def facts(self, contents: Contents, root: Path) -> IPAdapterFacts | None:
        return recognised(ip_adapter_facts, contents) if contents.shapes else None

    def folder_notices(self, text: str, contents: Contents, facts: object) -> Iterator[Notice]:
        """The notice of tensors that are none of an adapter's."""
        left = outside(under_own_names(contents.shapes), (PROJECTION, LAYERS))
        if left:
            yield unread_tensors(text, left)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give the safetensors file of an IP-Adapter, with tensors `image_proj.` and `ip_adapter.`"
        return refused(root, contents, "an IP-Adapter", hint)


class ReduxSource(ModelSource):
    """FLUX.1 Redux: alone, or in the folder of its pipeline."""

    kind = "Redux"
    components = ("", REDUX_FOLDER)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        if not root.is_dir():
            return root, (root,)
        return root, diffusers_folder.content(root, ("",) if contents.has("") else (REDUX_FOLDER,))

    def facts(self, contents: Contents, root: Path) -> ReduxFacts | None:
        return recognised(redux_facts, contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return refused(root, contents, "FLUX.1 Redux", "give the folder or the safetensors file of Redux")


class PictureProjectionSource(ModelSource):
    """GLIGEN's projection of pictures: alone, or in the folder of its pipeline."""

    kind = "picture projection"
    components = ("", PROJECTION_FOLDER)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        if not root.is_dir():
            return root, (root,)
        return root, diffusers_folder.content(root, ("",) if contents.has("") else (PROJECTION_FOLDER,))

    def facts(self, contents: Contents, root: Path) -> PictureProjectionFacts | None:
        return recognised(picture_projection_facts, contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give the folder of GLIGEN's pipeline for texts and pictures, or its part `image_project`"
        return refused(root, contents, "GLIGEN's projection of pictures", hint)


def refused(root: Path, contents: Contents, wanted: str, hint: str) -> InputError:
    """The error that names what was found where something else was wanted."""
    kind = kind_of(contents.shapes)
    named = (contents.class_of(name) or contents.configs[name].get("model_type", "") for name in contents.configs)
    found = kind.name if kind else ", ".join(filter(None, map(str, named))) or "nothing that Weft knows"
    if kind and kind.name == wanted:
        return InputError(f"`{root.name}` is {wanted} of no structure that is known", hint, "damaged-file")
    other = kind.hint if kind and kind.part and not wanted.endswith(kind.part) else hint
    return InputError(f"`{root.name}` is {found}, expected {wanted}", other, "wrong-kind-of-file")
