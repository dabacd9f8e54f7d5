"""Prompts of models that read no sentences: the name or the number of a class, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from weft.engine import InputError, nearest

if TYPE_CHECKING:
    from weft.nodes.prompting.prompt_encoder import Encoded


def nothing(texts: Sequence[str]) -> Encoded:
    """Empty texts as a model that reads none has them: no tokens.

    Raises:
        InputError: for a text that is not empty.
    """
    import torch

    from weft.nodes.prompting.prompt_encoder import Encoded

    for text in filter(None, texts):
        raise InputError(f"the model reads no prompt, found `{text}`", "leave the text empty")
    return Encoded(torch.zeros(len(texts), 0, 0))


def numbers(texts: Sequence[str], count: int, names: Mapping[str, int], empty: int | None = None) -> Encoded:
    """The classes that texts name, as one token of one channel: the class's number.

    Args:
        count: of the classes.
        names: the number of each class that has a name.
        empty: what an empty text stands for; None where it stands for nothing.

    Raises:
        InputError: for a text that names no class.
    """
    import torch

    from weft.nodes.prompting.prompt_encoder import Encoded

    found = [_number(text.strip(), count, names, empty) for text in texts]
    return Encoded(torch.tensor(found, dtype=torch.float32)[:, None, None])


def _number(text: str, count: int, names: Mapping[str, int], empty: int | None) -> int:
    if not text and empty is not None:
        return empty
    if text in names:
        return names[text]
    if text.isdecimal() and int(text) < count:
        return int(text)
    hint = nearest(text, names) if names else ""
    raise InputError(f"`{text}` is no class of the model", hint or f"give a class's number, 0 to {count - 1}")
