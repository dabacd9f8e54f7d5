"""The tokenizer that comes with Weft is CLIP's."""

from __future__ import annotations

from weft.nodes.prompting.clip_tokenizer import clip_tokenizer


def test_prompts_become_clips_tokens() -> None:
    """The tokens that CLIP's own example gives for these words."""
    tokens = clip_tokenizer()("A photo of a cat!").input_ids
    assert tokens == [49406, 320, 1125, 539, 320, 2368, 256, 49407]


def test_a_prompt_is_padded_and_cut_to_77_tokens() -> None:
    tokenizer = clip_tokenizer()
    short, long = (tokenizer(text, padding="max_length", truncation=True).input_ids for text in ("", "cat " * 100))
    assert (len(tokenizer), tokenizer.model_max_length) == (49408, 77)
    assert short == [49406] + [49407] * 76
    assert len(long) == 77 and long[-1] == 49407
