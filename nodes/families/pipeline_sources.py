"""Folders of whole pipelines, of any class of the installed diffusers. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from weft.engine import InputError, Resolved, SearchPaths
from weft.nodes.families.sources import ModelSource
from weft.nodes.models import diffusers_folder, hub
from weft.nodes.models.contents import Contents
from weft.nodes.models.model_folder import check_component
from weft.nodes.models.pipeline_facts import PipelineFacts, pipeline_facts


class PipelineSource(ModelSource):
    """The folder of a pipeline, with a `model_index.json`."""

    kind = "pipeline"
    components = ("",)

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The pipeline of that name, with what it takes and gives in words.

        Raises:
            InputError: for what any other source is refused for, and for code that is not diffusers'.
        """
        found = super().resolve(text, places)
        assert isinstance(found.facts, PipelineFacts)
        for name in found.facts.components:
            check_component(found.root / name, (*places.models, *places.files, hub.cache_folder(), found.root))
        return replace(found, about=str(found.facts))

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """Those in the models folders and in the hub's cache."""
        with suppress(InputError):
            yield from super().available(places)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """All files of all components, and the index."""
        named = sorted(name for name, entry in contents.index.items() if isinstance(entry, list))
        return root, diffusers_folder.content(root, ("", *named))

    def facts(self, contents: Contents, root: Path) -> PipelineFacts | None:
        return pipeline_facts(root, contents) if root.is_dir() else None

    def refusal(self, root: Path, contents: Contents) -> InputError:
        kind = "a folder without model_index.json" if root.is_dir() else "a file"
        message = f"`{root.name}` is {kind}, expected the folder of a pipeline of diffusers"
        return InputError(
            message, "give a folder with model_index.json; single files are for LoadCheckpoint", "wrong-kind-of-file"
        )
