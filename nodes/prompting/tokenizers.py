"""Tokenizers separate from the weights of a text encoder: which files of a folder belong to one, and loading it.

Importing this module imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weft.engine import InputError, WeftError
from weft.engine.regular_file import read_regular
from weft.nodes.models import diffusers_folder

CONFIGURATIONS = frozenset({"config.json", "tokenizer_config.json"})
"""Files whose entries may name other files, or classes in files of code."""

NAMES = frozenset({"auto_map", "name_or_path", "_name_or_path"})
"""Such entries, besides those that end in `_file`."""

LARGEST_FILE = 2**28
"""Bytes of a file of a tokenizer."""

DESCRIBED_BY = ("tokenizer_config.json", "tokenizer.json")
"""Files of which each folder of a tokenizer has one."""


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that decide how its tokenizer reads, in a stable order; none where it holds none."""
    if not any((folder / name).is_file() for name in DESCRIBED_BY):
        return ()
    return tuple(path for path in sorted(folder.iterdir()) if diffusers_folder.belongs(path.name) and path.is_file())


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
        with copied(place) as copy:
            if copy.is_dir():
                return AutoTokenizer.from_pretrained(copy, local_files_only=True, trust_remote_code=False)
            return from_file(tokenizer_file=str(copy), **special)
    except WeftError:
        raise
    except BaseException as fault:  # plain `Exception`, or a panic of the tokenizers library, which is none
        if not isinstance(fault, Exception) and type(fault).__name__ != "PanicException":
            raise
        raise InputError(f"`{place.name}` cannot be read as a tokenizer: {fault}", hint, "damaged-file") from fault


@contextmanager
def copied(place: Path) -> Iterator[Path]:
    """A copy of a tokenizer's files alone, without what would have others read: code, and files elsewhere.

    transformers reads whatever a tokenizer's configuration names, by an absolute path too.

    Args:
        place: its folder, or a `tokenizer.json`.

    Raises:
        OSError: where a file is none, or absurdly large.
        InputError: where the folder of temporary files takes no copy.
    """
    files = {path.name: _cleaned(path) for path in (tokenizer_files(place) if place.is_dir() else (place,))}
    with ExitStack() as kept:
        try:
            folder = Path(kept.enter_context(TemporaryDirectory(prefix="weft-tokenizer-", ignore_cleanup_errors=True)))
            for name, content in files.items():
                (folder / name).write_bytes(content)
        except OSError as fault:
            message = f"the files of a tokenizer cannot be copied into the folder of temporary files: {fault.strerror}"
            hint = "make room there, or name another folder by the environment variable TMPDIR"
            raise InputError(message, hint, "unwritable-file") from fault
        yield folder if place.is_dir() else folder / place.name


def _cleaned(path: Path) -> bytes:
    content = read_regular(path, LARGEST_FILE)
    return _without_names(content) if path.name in CONFIGURATIONS else content


def _without_names(content: bytes) -> bytes:
    """A configuration without the entries that name files, or code of its author."""
    given = json.loads(content)
    if not isinstance(given, dict):
        return content
    kept = {name: one for name, one in given.items() if name not in NAMES and not name.endswith("_file")}
    return json.dumps(kept).encode()
