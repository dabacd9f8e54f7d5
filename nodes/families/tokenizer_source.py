"""What LoadTextEncoder's `tokenizer` may name: the folder of a tokenizer, or its `tokenizer.json`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, Resolved, Resource, SearchPaths
from weft.nodes.families.sources import located, missing
from weft.nodes.models import hub
from weft.nodes.models.model_folder import check_component
from weft.nodes.prompting.tokenizers import tokenizer_files

COMPONENT = "tokenizer"
"""The folder of the tokenizer in a model's diffusers folder."""


class TokenizerSource(Resource):
    """A tokenizer: its own folder, a model's folder with one in it, a hub id of either, or a `tokenizer.json`."""

    kind = "tokenizer"

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The tokenizer of that name.

        Raises:
            InputError: where it is missing, or is none.
        """
        root = located(text, places)
        if root is None and places.download and hub.is_hub_id(text):
            root = hub.fetch(text, (COMPONENT,), "")
        if root is None:
            raise missing(text, places)
        if root.is_file() and root.suffix == ".json":
            return Resolved(text, root, (root,), kind=self.kind)
        for folder in (root, root / COMPONENT) if root.is_dir() else ():
            if folder.is_dir():
                check_component(folder, (*places.models, *places.files, root, hub.cache_folder()))
            if files := tokenizer_files(folder):
                return Resolved(text, folder, files, kind=self.kind)
        raise InputError(
            f"`{text}` is no tokenizer", "give the folder of a tokenizer, or its `tokenizer.json`", "wrong-kind-of-file"
        )

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """None: a tokenizer is a part of the models that are listed."""
        return iter(())
