"""A prompt is put into a conversation, and found in it again."""

from __future__ import annotations

import pytest

from tests.nodes.families.tiny import chat_tokenizer
from weft.engine import InputError
from weft.nodes.prompting.chat import Chat

OWN = Chat("<ask>{}</ask>")
TEMPLATE = Chat("<ask>{}</ask>", {"enable_thinking": True})


@pytest.mark.parametrize("prompt", ["", "user", "{0} {}", "  a house\n", "<ask>"])
@pytest.mark.parametrize("chat", [OWN, TEMPLATE])
def test_the_prompt_stands_at_the_given_index(chat: Chat, prompt: str) -> None:
    text, start = chat.rendered(chat_tokenizer(), prompt)
    assert text[start : start + len(prompt)] == prompt and text != prompt
    assert start == (len("<ask>") if chat is OWN else len("<|im_start|>user\n"))


def test_a_tokenizer_s_template_is_used_where_there_is_one_and_it_is_asked_for() -> None:
    tokenizer = chat_tokenizer()
    assert TEMPLATE.rendered(tokenizer, "night")[0] == "<|im_start|>user\nnight<|im_end|>\n<|im_start|>assistant\n"
    without = Chat("", {"enable_thinking": False}).rendered(tokenizer, "night")[0]
    assert without.endswith("<think>\n\n</think>\n\n")
    assert OWN.rendered(tokenizer, "night")[0] == "<ask>night</ask>"
    tokenizer.chat_template = None
    assert TEMPLATE.rendered(tokenizer, "night")[0] == "<ask>night</ask>"


def test_a_template_that_strips_prompts_gives_the_words_their_places() -> None:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "<a>{{ messages[0].content | trim }}</a>"
    text, start = TEMPLATE.rendered(tokenizer, "  a house ")
    assert text == "<a>a house</a>" and text[start + 2 :].startswith("a house")


def test_a_template_without_the_prompt_is_refused() -> None:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "{{ messages[0].role }}"
    with pytest.raises(InputError):
        TEMPLATE.rendered(tokenizer, "a house")
