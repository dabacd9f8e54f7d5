"""Tokenizers come in folders, in models' folders, and as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodes.families.tiny import chat_tokenizer
from tests.refusals import refused
from weft.engine import SearchPaths
from weft.nodes.families.tokenizer_source import TokenizerSource
from weft.nodes.prompting.tokenizers import load_tokenizer, tokenizer_files


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with a model that has a tokenizer, and other files."""
    chat_tokenizer().save_pretrained(tmp_path / "model" / "tokenizer")
    (tmp_path / "model" / "tokenizer" / "weights.bin").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("text", ["model", "model/tokenizer", "model/tokenizer/tokenizer.json"])
def test_a_tokenizer_is_named_by_its_model_its_folder_or_its_file(models: Path, text: str) -> None:
    found = TokenizerSource().resolve(text, SearchPaths(models=(models,)))
    tokens = load_tokenizer(found.root, "")("a <|im_end|>").input_ids
    assert tokens == chat_tokenizer()("a <|im_end|>").input_ids
    assert all(path.suffix in (".json", ".jinja", ".txt") for path in found.files)


def test_what_decides_how_a_tokenizer_reads_is_in_its_files(models: Path) -> None:
    """The chat template too."""
    names = {path.name for path in tokenizer_files(models / "model" / "tokenizer")}
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    assert "weights.bin" not in names and not tokenizer_files(models / "empty")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("empty", "wrong-kind-of-file"),
        ("model/tokenizer/weights.bin", "pickle-refused"),
        ("missing", "unknown-model"),
    ],
)
def test_what_is_no_tokenizer_is_refused(models: Path, text: str, code: str) -> None:
    with refused(code, Path(text).name):
        TokenizerSource().resolve(text, SearchPaths(models=(models,)))


def test_a_full_folder_of_temporary_files_is_no_fault_of_the_model(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with refused("unwritable-file"):
        load_tokenizer(models / "model" / "tokenizer", "")
