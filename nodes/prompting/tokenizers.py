"""Tokenizers separate from the weights of a text encoder: which files of a folder belong to one, and loading it.

Importing this module imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weft.engine import InputError

SUFFIXES = frozenset({".jinja", ".json", ".model", ".txt"})
"""The endings of the files of a tokenizer."""

DESCRIBED_BY = ("tokenizer_config.json", "tokenizer.json")
"""Files of which each folder of a tokenizer has one."""


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that decide how its tokenizer reads, in a stable order; none where it holds none."""
    if not any((folder / name).is_file() for name in DESCRIBED_BY):
        return ()
    return tuple(path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file())


def load_tokenizer(place: Path, hint: str, **special: str) -> Any:
    """The tokenizer in a folder or in a `tokenizer.json`.

    Args:
        special: the special tokens of one that comes as a file, which does not say them, by transformers' names.

    Raises:
        InputError: where it cannot be read; `hint` says what to give.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from_file: Any = PreTrainedTokenizerFast
    try:
        if place.is_dir():
            return AutoTokenizer.from_pretrained(place, local_files_only=True)
        return from_file(tokenizer_file=str(place), **special)
    except Exception as fault:  # the tokenizers library raises plain `Exception` for a file that it cannot read
        raise InputError(f"`{place.name}` cannot be read as a tokenizer: {fault}", hint, "damaged-file") from fault
