"""Text models as families list them (`Family.texts`): how headers describe them, and where their files are.

In a whole checkpoint each is the folder of a component, or the tensors of a single file below a prefix. Standalone
text encoders are matched to those of a family by `weft.nodes.prompting.text_assignment`. The kinds are in
`weft.nodes.prompting.clip` and `weft.nodes.prompting.t5`. Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_layouts import text_prefixes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.prompting.text_reader import TextReader


@dataclass(frozen=True)
class TextModelFiles:
    """Where the files of a text model are.

    Args:
        root: the folder of the component, or a file.
        facts: what headers say about it.
        tokenizer: the folder or the file of its own tokenizer; None where it carries none.
    """

    root: Path
    facts: TextModelFacts
    tokenizer: Path | None = None

    @classmethod
    def of(cls, root: Path, facts: TextModelFacts) -> TextModelFiles:
        """Where it is in a checkpoint, or in a source of its own."""
        if not root.is_dir():
            return cls(root, facts)
        tokenizer = root / tokenizer_folder(facts.folder)
        return cls(root / facts.folder, facts, tokenizer if facts.folder and tokenizer.is_dir() else None)


@dataclass(frozen=True)
class TextModel(ABC):
    """One of the text models of a family; a subclass is a kind of text model.

    Args:
        name: in files of embeddings and in messages: `clip_l`.
        folder: its component in a diffusers folder; that of its tokenizer has `tokenizer` for `text_encoder`.
        prefixes: of the names of its tensors in single files of whole checkpoints.
        optional: whether there are models of the family without it.
        projects: whether its pooled vector goes through a projection of the model.
        identity_projection: whether a file without the projection stands for one whose projection is the identity.
    """

    name: str
    folder: str
    prefixes: tuple[str, ...]
    optional: bool = False
    projects: bool = False
    identity_projection: bool = False

    @property
    @abstractmethod
    def kind(self) -> str:
        """What headers tell apart: text models of one kind differ by their sizes alone."""

    takes_embeddings: ClassVar[bool] = False
    """Whether words of a prompt can be replaced by embeddings."""

    takes_length: ClassVar[bool] = False
    """Whether it can be asked for another number of tokens."""

    takes_tokenizer: ClassVar[bool] = False
    """Whether it can be given a separate tokenizer."""

    entries: ClassVar[tuple[str, ...]]
    """The names that its table of tokens may have in a file, by which it is recognised."""

    @abstractmethod
    def of_config(self, config: Mapping[str, Any]) -> TextModelFacts | None:
        """The facts in the configuration of a text model; None where it is of another kind."""

    @abstractmethod
    def of_shapes(self, shapes: Shapes) -> TextModelFacts | None:
        """The facts in the shapes of a text model's tensors; None where they are of another kind."""

    @abstractmethod
    def reader(self, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> TextReader:
        """Load it with its tokenizer."""

    def renamed(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file below its prefix, by the names of transformers' class."""
        return found

    @property
    def tokenizer_hint(self) -> str:
        """What to give where it carries no tokenizer."""
        return "give `tokenizer`: the folder of its tokenizer, or its `tokenizer.json`"

    def entry(self, shapes: Shapes) -> str | None:
        """The name of its table of tokens in a file; None where there is none."""
        return next((entry for entry in self.entries if len(shapes.get(entry, ())) == 2), None)

    @property
    def known_prefixes(self) -> tuple[str, ...]:
        """What names of its tensors begin with where it comes with other parts."""
        return (*self.prefixes, *text_prefixes(self.name, self.folder))

    def facts(self, contents: Contents) -> TextModelFacts | None:
        """The facts about it in a whole checkpoint; None where it is not there."""
        if not contents.shapes:
            found = self.of_config(contents.configs.get(self.folder, {}))
            return found and replace(found, folder=self.folder)
        prefix = self.prefix(contents.shapes)
        found = None if prefix is None else self.of_shapes(original.below(prefix, contents.shapes))
        return found and replace(found, prefix=prefix or "")

    def check(self, contents: Contents, facts: TextModelFacts | None) -> None:
        """Raise `InputError` where the file of a whole checkpoint has a part of it alone.

        Args:
            facts: about it in the checkpoint; None where its table of tokens is not there.
        """
        left = next((name for name in contents.shapes if name.startswith(self.prefixes)), None) if not facts else None
        if left:
            raise InputError(
                f"the text encoder {self.name} has weights (`{left}`) and no table of tokens of a known name",
                "get the whole checkpoint, or load its parts with LoadDiffusionModel, LoadTextEncoder and LoadVAE",
                "missing-weights",
            )
        if facts and facts.shapes and self.lacks_projection(facts):
            raise InputError(
                f"the text encoder {self.name} has no projection (`text_projection`) in this file",
                "get the whole checkpoint, or load its parts with LoadDiffusionModel, LoadTextEncoder and LoadVAE",
                "missing-weights",
            )

    def lacks_projection(self, facts: TextModelFacts) -> bool:
        """Whether a text model lacks the projection that the family reads, and has no other in its place."""
        identity = self.identity_projection and bool(facts.shapes)
        return self.projects and not facts.projects and not identity

    def prefix(self, shapes: Shapes) -> str | None:
        """The prefix of its tensors' names in the file of a whole checkpoint; None where it is not there."""
        return next((one for one in self.known_prefixes if any(one + entry in shapes for entry in self.entries)), None)

    def check_tokenizer(self, files: TextModelFiles) -> None:  # noqa: B027 - CLIP's comes with Weft
        """Raise `InputError` where its files carry no tokenizer and no other one takes its place."""


def tokenizer_folder(text_encoder: str) -> str:
    """The component of a diffusers folder that has the tokenizer of a text encoder."""
    return text_encoder.replace("text_encoder", "tokenizer")
