"""Standalone text encoders, matched to those of a family. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.engine import InputError, Resolved, listed
from weft.nodes.models.facts import PromptWidths, TextModelFacts
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles


class ReadsPrompts(Protocol):
    """What `assigned` asks of a family."""

    @property
    def name(self) -> str: ...

    @property
    def texts(self) -> tuple[TextModel, ...]: ...

    @property
    def prompts(self) -> type[PromptEncoder]: ...


Assigned = dict[TextModel, tuple[int, TextModelFacts]]
"""For each text model of a family, the index of its source and what headers say about it."""


def assigned(family: ReadsPrompts, sources: Sequence[Resolved], widths: PromptWidths) -> Assigned:
    """Match standalone text encoders to those of a family; of one kind, the smaller comes first.

    Args:
        sources: the text models, whose `facts` are `TextModelFacts`.
        widths: what the denoiser reads.

    Raises:
        InputError: where one is missing, given twice, or does not fit the denoiser.
    """
    facts = [source.facts for source in sources if isinstance(source.facts, TextModelFacts)]
    found: Assigned = {}
    for kind in dict.fromkeys([*(text.kind for text in family.texts), *(one.kind for one in facts)]):
        wanted = [text for text in family.texts if text.kind == kind]
        given = [(index, one) for index, one in enumerate(facts) if one.kind == kind]
        found |= _of_one_kind(wanted, given, _mismatch(family, sources))
    _check_widths(family, sources, found, widths)
    for text, (index, one) in found.items():
        if text.lacks_projection(one):
            message = f"`{sources[index].text}` has no projection, which {family.name} reads of {text.name}"
            raise InputError(message, "give a file of the text model with its projection", "missing-weights")
    return found


def _mismatch(family: ReadsPrompts, sources: Sequence[Resolved]) -> str:
    """The text encoders of the family, and what was found."""
    found = ", ".join(f"`{source.text}` ({source.facts})" for source in sources)
    return f"{family.name} encodes prompts with {listed(text.name for text in family.texts) or 'none'}; found {found}"


def _of_one_kind(wanted: Sequence[TextModel], given: Sequence[tuple[int, TextModelFacts]], message: str) -> Assigned:
    """The text models of one kind, in the order of their sizes."""
    sizes = {(facts.width, facts.layers): (index, facts) for index, facts in given}
    if len(given) > len(wanted) or len(sizes) < len(given):
        raise InputError(message, "give each of them once", "wrong-text-models")
    required = wanted if len(given) == len(wanted) else [text for text in wanted if not text.optional]
    if len(given) < len(required):
        raise InputError(message, "give what is missing too", "wrong-text-models")
    return dict(zip(required, (sizes[size] for size in sorted(sizes)), strict=True))


def _check_widths(family: ReadsPrompts, sources: Sequence[Resolved], found: Assigned, widths: PromptWidths) -> None:
    """Raise `InputError` where text encoders produce embeddings of another width than the denoiser reads."""
    made = family.prompts.widths({text.name: facts.width for text, (_, facts) in found.items()})
    for what, own, read in zip(("embeddings", "pooled embeddings"), made, widths, strict=True):
        if own and read and own != read:
            files = listed(f"`{source.text}`" for source in sources)
            names = listed(text.name for text in family.texts)
            message = f"{files} produce {what} {own} channels wide, and the model expects {read}"
            raise InputError(
                message, f"{family.name} encodes prompts with {names}: give those of the model", "wrong-channels"
            )


def check_tokenizer(given: Assigned, sources: Sequence[Resolved], named: bool) -> None:
    """Raise `InputError` where a standalone text encoder has no tokenizer, or none of them takes the given one.

    Args:
        named: whether a tokenizer is given.
    """
    if named and given and not any(text.takes_tokenizer for text in given):
        raise InputError(
            "CLIP's tokenizer comes with Weft, and none is read from a file",
            "leave `tokenizer` out",
            "unsupported-by-model",
        )
    for text, (index, facts) in given.items():
        if text.needs_tokenizer and not named and TextModelFiles.of(sources[index].root, facts).tokenizer is None:
            raise InputError(
                f"`{sources[index].text}` ({text.name}) carries no tokenizer", text.tokenizer_hint, "no-tokenizer"
            )
