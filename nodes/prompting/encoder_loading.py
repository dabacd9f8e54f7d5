"""Loading text encoders: those of a checkpoint, or standalone ones.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Resolved
from weft.nodes.models.facts import CheckpointFacts, TextSourceFacts
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_assignment import ReadsPrompts, model_in
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles

if TYPE_CHECKING:
    import torch


def load_whole(family: ReadsPrompts, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> PromptEncoder:
    """The prompt encoder of a whole checkpoint.

    Raises:
        InputError: where the checkpoint has not all of the text models.
    """
    facts = source.facts
    assert isinstance(facts, CheckpointFacts)
    for text in family.texts:
        if text.name not in facts.text_models and not text.optional:
            message = f"`{source.text}` lacks the text encoder {text.name} of {family.name}"
            raise InputError(message, "get the whole checkpoint", "wrong-text-models")
    found = {
        text: TextModelFiles.of(source.root, facts.text_models[text.name])
        for text in family.texts
        if text.name in facts.text_models
    }
    config = {"width": facts.widths.prompt, **family.prompts.settings(source.root)}
    return _loaded(family, found, config, variant, dtype, device)


def load_parts(
    family: ReadsPrompts,
    sources: Mapping[str, Resolved],
    width: int,
    tokenizer: Path | None,
    dtype: torch.dtype,
    device: str,
) -> PromptEncoder:
    """The prompt encoder of standalone text encoders.

    Args:
        sources: by the names of the text models; their `facts` are `TextSourceFacts`.
        width: channels of the prompts that the denoiser reads.
        tokenizer: the folder or the file of a separate tokenizer.
    """
    found = {}
    for text in family.texts:
        source = sources.get(text.name)
        if source and isinstance(source.facts, TextSourceFacts) and (facts := model_in(text, source.facts)):
            files = TextModelFiles.of(source.root, facts)
            found[text] = replace(files, tokenizer=tokenizer) if tokenizer and text.takes_tokenizer else files
    return _loaded(family, found, {"width": width}, "", dtype, device)


def _loaded(
    family: ReadsPrompts,
    found: Mapping[TextModel, TextModelFiles],
    config: Mapping[str, Any],
    variant: str,
    dtype: torch.dtype,
    device: str,
) -> PromptEncoder:
    readers = [text.reader(files, variant, dtype, device) for text, files in found.items()]
    return family.prompts(readers, config)
