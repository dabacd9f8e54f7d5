"""Text models that come alone are matched to those of a family, with the tokenizers that they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import InputError, Resolved
from weft.nodes.models.facts import PromptWidths, TextModelFacts, TextSourceFacts
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.language_model import LanguageModel
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_assignment import assigned, check_tokenizer
from weft.nodes.prompting.text_encoders import TextModel

QWEN = LanguageModel("qwen", "text_encoder", ())


@dataclass(frozen=True)
class Asked:
    """What is asked of a family."""

    texts: tuple[TextModel, ...]
    name: str = "Some"
    prompts: type[PromptEncoder] = PromptEncoder


def source(kind: str, width: int, root: Path = Path("file.safetensors")) -> Resolved:
    return Resolved(f"{kind}-{width}", root, (root,), facts=TextSourceFacts((TextModelFacts(kind, width, 2),)))


def names(family: Asked, sources: Sequence[Resolved], width: int = 0) -> dict[str, int]:
    return {text.name: index for text, (index, _) in assigned(family, sources, PromptWidths(width)).items()}


def test_a_language_model_is_matched_by_its_kind() -> None:
    family = Asked((Clip("clip", "text_encoder", ()), QWEN))
    assert names(family, [source("qwen3", 64), source("clip", 32)]) == {"clip": 1, "qwen": 0}
    for wrong in ([source("clip", 32)], [source("qwen3", 64)] * 2, [source("clip", 32), source("t5", 64)]):
        with refused("wrong-text-models"):
            names(family, wrong)


def test_a_language_model_of_another_size_is_refused() -> None:
    assert names(Asked((QWEN,)), [source("qwen3", 64)], width=64) == {"qwen": 0}
    with refused("wrong-channels", 64, 128):
        names(Asked((QWEN,)), [source("qwen3", 64)], width=128)


def test_a_language_model_in_a_file_needs_a_tokenizer(tmp_path: Path) -> None:
    alone = [source("qwen3", 64)]
    given = assigned(Asked((QWEN,)), alone, PromptWidths(0))
    check_tokenizer(given, alone, named=True)
    with refused("no-tokenizer", "file.safetensors", "tokenizer.json"):
        check_tokenizer(given, alone, named=False)


def test_a_folder_brings_its_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text("{}")
    facts = TextSourceFacts((TextModelFacts("qwen3", 64, 2, folder="text_encoder"),))
    whole = [Resolved("model/text_encoder", tmp_path, (), facts=facts)]
    check_tokenizer(assigned(Asked((QWEN,)), whole, PromptWidths(0)), whole, named=False)


def test_clip_takes_no_tokenizer() -> None:
    clip = [source("clip", 32)]
    given = assigned(Asked((Clip("clip", "text_encoder", ()),)), clip, PromptWidths(0))
    check_tokenizer(given, clip, named=False)
    with pytest.raises(InputError):
        check_tokenizer(given, clip, named=True)
