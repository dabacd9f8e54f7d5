"""Sources of models that make pictures of pictures without sampling: upscalers. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weft.engine import InputError, Resolved, SearchPaths
from weft.nodes.families.image_prompt_sources import refused
from weft.nodes.families.sources import ModelSource
from weft.nodes.models.contents import Contents
from weft.nodes.models.upscaler_facts import UpscalerFacts, upscaler_facts

_CONVERT = (
    "convert it where you trust it: `safetensors.torch.save_model(spandrel.ModelLoader().load_from_file(FILE).model, "
    "NEW_FILE)`"
)


class UpscalerSource(ModelSource):
    """An upscaler, in one file."""

    kind = "upscaler"
    components = ()

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The upscaler of that name.

        Raises:
            InputError: for a pickle, with how to convert it, and for what any other source is refused for.
        """
        try:
            return super().resolve(text, places)
        except InputError as refusal:
            if refusal.code != "pickle-refused":
                raise
            raise InputError(refusal.message, _CONVERT, refusal.code) from None

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """Those whose names and shapes tell what they are: any file may be one of the others."""
        for name, found in super().available(places):
            if isinstance(found.facts, UpscalerFacts) and found.facts.scale:
                yield name, found

    def facts(self, contents: Contents, root: Path) -> UpscalerFacts | None:
        return upscaler_facts(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return refused(root, contents, "an upscaler", "give the safetensors file of an upscaler, such as ESRGAN")
