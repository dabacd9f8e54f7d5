"""The vocabulary: small, whole words for captions, and an encoding for every text."""

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from weft.nodes.builtin import path
from weft.nodes.builtin.training.captions import PHRASES
from weft.nodes.builtin.training.vocabulary import new_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return new_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_every_word_of_a_caption_is_one_token(tokenizer: CLIPTokenizer) -> None:
    words = {
        word
        for choices in PHRASES.values()
        for phrases in choices.values()
        for text in phrases
        for word in text.split()
    }
    assert all(len(tokenizer.tokenize(word)) == 1 for word in words)


@pytest.mark.parametrize("text", ["a red house on the left", "a castle , zürich 5 ☃", "", "word " * 100])
def test_any_text_comes_back(tokenizer: CLIPTokenizer, text: str) -> None:
    tokens = tokenizer(text).input_ids
    assert tokens[0] == tokenizer.bos_token_id and tokens[-1] == tokenizer.eos_token_id
    assert str(tokenizer.decode(tokens, skip_special_tokens=True)).strip() == text.strip()


def test_prompts_are_padded_to_77(tokenizer: CLIPTokenizer) -> None:
    tokens = tokenizer("a lake", padding="max_length", truncation=True).input_ids
    assert len(tokens) == 77
    assert tokens[-1] == tokenizer.pad_token_id == max(tokenizer.get_vocab().values())


def test_the_vocabulary_is_the_one_that_the_model_has(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    assert CLIPTokenizer.from_pretrained(path("landscapes") / "tokenizer").get_vocab() == tokenizer.get_vocab()
