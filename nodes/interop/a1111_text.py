"""The text that A1111's web UI and its kin write into pictures, in parts: prompt, negative prompt, settings, LoRAs.

The prompt stands first, then `Negative prompt: ...`, and last the settings: `Steps: 20, Sampler: Euler a, ...`. Values
of settings may be JSON: texts with commas are quoted, and Civitai lists its resources as objects. Everything is read in
one pass over the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NEGATIVE = "Negative prompt:"

_SETTINGS = re.compile(r"^[ \t]*Steps:[ \t]*\d", re.MULTILINE)
_NAME = re.compile(r"\s*([A-Za-z][\w .()/+-]{0,80}):[ \t]*")
_LORA = re.compile(r"<(lora|lyco|hypernet):([^<>:]{1,200})(?::([^<>]{0,80}))?>")


@dataclass(frozen=True)
class NamedLoRA:
    """A LoRA that a prompt names: `<lora:name:0.8>`.

    Args:
        kind: `lora`, `lyco`, or `hypernet`.
        text_strength: on the text encoders; None where it is that on the model.
    """

    kind: str
    name: str
    strength: float = 1.0
    text_strength: float | None = None


@dataclass(frozen=True)
class Parameters:
    """What was written into a picture."""

    prompt: str
    negative: str
    settings: Mapping[str, str]
    loras: tuple[NamedLoRA, ...] = ()


def has_parameters(text: str) -> bool:
    """Whether a text has settings of this form."""
    return _place(text) is not None


def read_parameters(text: str) -> Parameters:
    """The parts of a text that `has_parameters`."""
    place = _place(text) or 0
    before, rest = text[:place].replace("\r\n", "\n"), text[place:]
    prompt, _, negative = before.partition(NEGATIVE)
    loras = tuple(_loras(prompt))
    return Parameters(without_loras(prompt), without_loras(negative), dict(_settings(rest)), loras)


def without_loras(prompt: str) -> str:
    """A prompt without the LoRAs that it names."""
    return _LORA.sub("", prompt).strip()


def _place(text: str) -> int | None:
    """Where the settings begin: at the last line of that form, else at the last mention of steps."""
    last = None
    for last in _SETTINGS.finditer(text):  # noqa: B007
        pass
    if last is not None:
        return last.start()
    found = text.rfind("Steps:")
    return found if found >= 0 else None


def _settings(text: str) -> Iterator[tuple[str, str]]:
    at, decoder = 0, json.JSONDecoder()
    while at < len(text):
        name = _NAME.match(text, at)
        if name is None:
            at = _behind(text, at)
            continue
        value, at = _value(text, name.end(), decoder)
        yield name[1].strip(), value
        at = _behind(text, at)


def _behind(text: str, at: int) -> int:
    """Behind the next comma or line end."""
    found = re.compile(r"[,\n]").search(text, at)
    return found.end() if found else len(text)


def _value(text: str, at: int, decoder: json.JSONDecoder) -> tuple[str, int]:
    """A value, and where it ends."""
    if text[at : at + 1] in ('"', "[", "{"):
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            pass
        else:
            return (found if isinstance(found, str) else text[at:end]), end
    comma = re.compile(r"[,\n]").search(text, at)
    end = comma.start() if comma else len(text)
    return text[at:end].strip(), end


def _loras(prompt: str) -> Iterator[NamedLoRA]:
    for kind, name, given in _LORA.findall(prompt):
        numbers = [_number(part) for part in given.split(":")] if given else [1.0]
        known = [one for one in numbers if one is not None] or [1.0]
        # The first number is the strength on text encoders and, where it is alone, on the model too.
        yield NamedLoRA(kind, name.strip(), known[-1], known[0] if len(known) > 1 else None)


def _number(text: str) -> float | None:
    """A strength, which may be named: `te=0.5`, `unet=1`."""
    found = re.fullmatch(r"(?:\w+=)?\s*([-+]?\d{0,6}\.?\d{1,6})\s*", text)
    return float(found[1]) if found else None
