"""A byte-pair vocabulary made from the captions' own words, in the files of a CLIPTokenizer.

Every word of PHRASES becomes one token; any other word falls back to its letters or bytes, so every text has an
encoding.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from .captions import PHRASES

__all__ = ["GLUE", "START", "STOP", "TOKENS", "new_tokenizer"]

START, STOP = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77
"""How many tokens a prompt is padded or cut to."""

GLUE = ("a", "picture", "of", "with", "and", "by", "in", "front", "on", "the", ",")
_END = "</w>"


def new_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write the vocabulary's files into `folder` and load them; the same files every time."""
    merges = _merges(_words())
    letters = _byte_letters()
    tokens = [*letters, *(letter + _END for letter in letters), *("".join(pair) for pair in merges), START, STOP]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({token: number for number, token in enumerate(tokens)}, ensure_ascii=False)
    )
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""]))
    (folder / "tokenizer_config.json").write_text(json.dumps(_config(), indent=2) + "\n")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def _config() -> dict[str, object]:
    special = {"bos_token": START, "eos_token": STOP, "unk_token": STOP, "pad_token": STOP}
    return {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "do_lower_case": True, **special}


def _words() -> Counter[str]:
    """The captions' words, each as often as phrases use it."""
    phrases = [phrase for choices in PHRASES.values() for wordings in choices.values() for phrase in wordings]
    return Counter([word for phrase in phrases for word in phrase.split()] + list(GLUE))


def _merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Merge the commonest adjacent pair (the first in the alphabet among equals) until every word is one token."""
    spelled = {word: [*word[:-1], word[-1] + _END] for word in sorted(words)}
    merges: list[tuple[str, str]] = []
    while pairs := _pairs(spelled, words):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merge(tokens, best) for word, tokens in spelled.items()}
    return merges


def _pairs(spelled: dict[str, list[str]], words: Counter[str]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for word, tokens in spelled.items():
        for pair in pairwise(tokens):
            counts[pair] += words[word]
    return counts


def _merge(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    """`tokens` with each occurrence of `pair`, from the left, made one."""
    merged: list[str] = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged


def _byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in CLIP's vocabulary: printable ones for themselves, others from U+0100."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]
