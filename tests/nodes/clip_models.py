"""Tiny random models that compare pictures with texts, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}

SIDE = 32

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

WORDS = 2 * len(LETTERS) + 2


def tokenizer(length: int) -> transformers.CLIPTokenizer:
    """A tokenizer that spells: a token for each letter, within a word and at its end."""
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def save_clip(folder: Path) -> None:
    """CLIP with its tokenizer and processor; vectors of 12 channels."""
    torch.manual_seed(3)
    texts = {**TINY, "max_position_embeddings": 77, "vocab_size": WORDS, "eos_token_id": WORDS - 1}
    pictures = {**TINY, "image_size": SIDE, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=texts, vision_config=pictures, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    processor: Any = transformers.CLIPImageProcessorPil
    processor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tokenizer(77).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """SigLIP with a tokenizer of CLIP's words."""
    torch.manual_seed(3)
    texts = {**TINY, "max_position_embeddings": 24, "vocab_size": WORDS}
    pictures = {**TINY, "image_size": SIDE, "patch_size": 8}
    config = transformers.SiglipConfig(text_config=texts, vision_config=pictures)
    transformers.SiglipModel(config).save_pretrained(folder)
    processor: Any = transformers.SiglipImageProcessorPil
    processor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tokenizer(24).save_pretrained(folder)
