"""Standalone text encoders, matched to those of a family. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.engine import InputError, Resolved, listed
from weft.nodes.models.facts import PromptWidths, TextModelFacts, TextSourceFacts
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
    """Match text encoders to those of a family.

    A source of several is searched for each by its place there; of those that come alone, the smaller of one kind comes
    first.

    Args:
        sources: whose `facts` are `TextSourceFacts`.
        widths: what the denoiser reads.

    Raises:
        InputError: where one is missing, given twice, or does not fit the denoiser.
    """
    facts = [source.facts for source in sources if isinstance(source.facts, TextSourceFacts)]
    found = _by_place(family, facts, _mismatch(family, sources))
    texts = [text for text in family.texts if text not in found]
    alone = [(index, one.models[0]) for index, one in enumerate(facts) if len(one.models) == 1]
    for kind in dict.fromkeys([*(text.kind for text in texts), *(one.kind for _, one in alone)]):
        wanted = [text for text in texts if text.kind == kind]
        given = [(index, one) for index, one in alone if one.kind == kind]
        found |= _of_one_kind(wanted, given, _mismatch(family, sources))
    found = {text: found[text] for text in family.texts if text in found}
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


def model_in(text: TextModel, facts: TextSourceFacts) -> TextModelFacts | None:
    """The text model of a source that is assigned to one of a family's; None where a source of several has none."""
    return facts.models[0] if len(facts.models) == 1 else text.facts(facts.contents)


def _by_place(family: ReadsPrompts, sources: Sequence[TextSourceFacts], message: str) -> Assigned:
    """The text models in sources of several, such as whole checkpoints; the first source that has one gives it.

    Raises:
        InputError: where a source of several has none that the family reads.
    """
    found: Assigned = {}
    for index, source in enumerate(sources):
        if len(source.models) == 1:
            continue
        own = {text: (index, one) for text in family.texts if (one := text.facts(source.contents))}
        if not own:
            raise InputError(message, "give the text encoders of the model", "wrong-text-models")
        found = {**own, **found}
    return found


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
        if not (named and text.takes_tokenizer):
            text.check_tokenizer(TextModelFiles.of(sources[index].root, facts))
