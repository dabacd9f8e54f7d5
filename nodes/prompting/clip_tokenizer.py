"""CLIP's tokenizer, built from the vocabulary that comes with Weft (see `data/clip_tokenizer/README.md`).

Imports transformers: only families import this module.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from weft.nodes.prompting.tokenizers import copied

LENGTH = 77
"""Tokens that CLIP reads, its start and its end token among them."""

MERGES = 49152 - 256 - 2
"""How many of the file's merges CLIP uses: its vocabulary less the bytes and the two special tokens."""


def clip_tokenizer(folder: Path | None = None, padding: str | None = None) -> Any:
    """The tokenizer of a checkpoint's folder, where there is such a folder; else that of OpenAI's CLIP.

    Args:
        padding: what CLIP's pads with; the end token where left out, as SD 1.x has it.
    """
    if folder and folder.is_dir():
        with copied(folder) as copy:
            return CLIPTokenizer.from_pretrained(copy, local_files_only=True)
    vocabulary, merges = _shipped()
    own = {"pad_token": padding} if padding else {}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH, **own)


@cache
def _shipped() -> tuple[Any, Any]:
    """The numbers of words and the merges of OpenAI's CLIP, read once: a model may have two text models of CLIP's."""
    merges = _merges()
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}, merges


def _merges() -> list[tuple[str, str]]:
    packed = files("weft.nodes").joinpath("data/clip_tokenizer/bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : MERGES + 1]
    pairs = (line.split() for line in lines)
    return [(left, right) for left, right in pairs]


def _byte_letters() -> list[str]:
    """The letter that stands for each byte, in vocabulary order: printable bytes as themselves, then the rest."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
