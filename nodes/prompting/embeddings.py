"""Textual inversion (https://arxiv.org/abs/2208.01618): files of embeddings, and the words that they replace.

Such a file has vectors for one text model (`emb_params`, or the word itself, as diffusers saves it), or for several by
name (`clip_l`, `clip_g`), each `[vector, channel]` or one `[channel]`. Imports no torch. Read next:
`weft.nodes.prompting.clip`, whose reader replaces words by the vectors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from weft.engine import InputError, listed
from weft.nodes.models.safetensors_header import EMBEDDED, Shapes, kind_of, read_shapes
from weft.nodes.models.single_file import tensors

if TYPE_CHECKING:
    from torch import Tensor

Sizes = Mapping[str, tuple[int, int]]
"""The number of vectors and of their channels, by the name of a tensor."""

MOST_VECTORS = 75
"""Tokens that CLIP reads at a time, without its start and its end token."""


def sizes_of(shapes: Shapes) -> Sizes:
    """The sizes of the vectors in a file of embeddings; empty where the file is none."""
    names = EMBEDDED & shapes.keys()
    if not names and (len(shapes) != 1 or kind_of(shapes)):
        return {}
    flat = {name: shapes[name] for name in sorted(names or shapes) if len(shapes[name]) in (1, 2)}
    return {name: (shape[0] if len(shape) == 2 else 1, shape[-1]) for name, shape in flat.items()}


def word_of(sizes: Sizes, file: Path) -> str:
    """The word that a file's vectors replace: the name of its tensor, else the name of the file.

    A1111 has `*` as the name of the only tensor.
    """
    return file.stem if (EMBEDDED | {"*"}) & sizes.keys() else next(iter(sizes))


def match_vectors(text: str, sizes: Sizes, clips: Mapping[str, int]) -> dict[str, str]:
    """The tensor of a file for each of a model's CLIP text models.

    Args:
        text: the name of the file.
        clips: the channels of each text model's tokens, by its name.

    Raises:
        InputError: where a text model has none, or none that fits.
    """
    if not clips:
        raise InputError(
            "the text encoder has no CLIP, whose words an embedding is for",
            "leave LoadEmbedding out",
            "unsupported-by-model",
        )
    only = next(iter(sizes)) if len(sizes) == len(clips) == 1 else ""
    found = {clip: only or clip for clip in clips}
    hint = "give an embedding that was trained for this model"
    for clip, name in found.items():
        if name not in sizes:
            message = f"`{text}` has vectors for {listed(sizes)}, and the model encodes prompts with {listed(clips)}"
            raise InputError(message, hint, "wrong-text-models")
        count, width = sizes[name]
        if width != clips[clip]:
            raise InputError(
                f"`{text}` has vectors of {width} channels, and {clip} reads {clips[clip]}", hint, "wrong-channels"
            )
        if not 0 < count <= MOST_VECTORS:
            raise InputError(f"`{text}` has {count} vectors, expected 1 to {MOST_VECTORS}", hint, "too-long")
    return found


def check_word(word: str, others: Iterable[str]) -> None:
    """Raise `InputError` where a word cannot be found in a prompt, or has another embedding already."""
    if not word or word != word.strip():
        raise InputError(f"`{word}` is no word", "give one without spaces around it", "malformed-word")
    if word.lower() in map(str.lower, others):
        raise InputError(f"`{word}` has another embedding already", "give one of them another `token`", "word-taken")


def split_at_words(text: str, words: Iterable[str]) -> Iterator[tuple[int, str, str | None]]:
    """Split a text at the words of embeddings: the start of each part, the part, and the word that it is, or None.

    Words match in any case and never inside other words; of two words that match, the longer one counts.
    """
    known = {word.lower(): word for word in words}
    if not known:
        yield 0, text, None
        return
    ordered = sorted(known.values(), key=len, reverse=True)
    at = 0
    for found in re.finditer("|".join(map(_alone, ordered)), text, re.IGNORECASE):
        yield at, text[at : found.start()], None
        yield found.start(), found[0], known[found[0].lower()]
        at = found.end()
    yield at, text[at:], None


def _alone(word: str) -> str:
    """A pattern for a word that is not part of another word."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return f"{before}{re.escape(word)}{after}"


def vectors_of(file: Path) -> dict[str, Tensor]:
    """The vectors of a file, `[vector, channel]`, by the tensors' names."""
    found = tensors(file)
    return {name: found[name].reshape(size) for name, size in sizes_of(read_shapes(file)).items()}


def vectors_in(content: bytes) -> dict[str, Tensor]:
    """The vectors in the bytes of a file that a node has made, by the tensors' names."""
    from safetensors.torch import load

    return load(content)
