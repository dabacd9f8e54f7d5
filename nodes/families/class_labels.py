"""Prompts of models that read no sentences: the name or the number of a class, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weft.engine import InputError, nearest
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded


class NoPrompts(PromptEncoder):
    """Takes the empty text alone, for models without a prompt; encoded, it has no tokens."""

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        """No tokens.

        Raises:
            InputError: for a text that is not empty.
        """
        import torch

        for text in filter(None, texts):
            raise InputError(
                f"the model reads no prompt, found `{text}`", "leave the text empty", "unsupported-by-model"
            )
        return Encoded(torch.zeros(len(texts), 0, 0, dtype=torch.float32))


class ClassPrompts(PromptEncoder):
    """Takes the name or the number of a class; encoded, it is one token of one channel, the number.

    `config` has `classes`, their count, and `names`, the number of each class that has a name. The empty text is the
    number after the last class, which stands for no class.
    """

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        """The numbers of the classes.

        Raises:
            InputError: for a text that names no class.
        """
        import torch

        numbers = [self._number(text.strip()) for text in texts]
        return Encoded(torch.tensor(numbers, dtype=torch.float32)[:, None, None])

    def _number(self, text: str) -> int:
        count: int = self.config["classes"]
        names: Mapping[str, int] = self.config.get("names", {})
        if not text and (empty := self.empty_class()) is not None:
            return empty
        if text in names:
            return names[text]
        if text.isdecimal() and int(text) < count:
            return int(text)
        hint = nearest(text, names) if names else ""
        raise InputError(
            f"`{text}` is no class of the model", hint or f"give a class's number, 0 to {count - 1}", "unknown-class"
        )

    def empty_class(self) -> int | None:
        """The number that the empty text stands for; None where it names no class."""
        return int(self.config["classes"])


def class_count(root: Path, component: str, field: str) -> Any:
    """The number of classes in the configuration of a network; None where it has none."""
    return read_config(root / component / "config.json").get(field)
