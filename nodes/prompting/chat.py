"""How a language model is asked to read a prompt: the conversation that the prompt is put into.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from weft.engine import InputError

MARK = "\ue000"
"""A character that no template contains, put where the prompt goes to find out what stands in front of it."""


@dataclass(frozen=True)
class Chat:
    """The conversation that a prompt is put into.

    Args:
        text: the conversation, with `{}` where the prompt goes.
        options: where there are some, the tokenizer's own chat template is rendered with them, and `text` is used only
            for a tokenizer that carries none.
        system: the message in front of the prompt's, for such a template; empty has none.
        listed: whether such a template takes a message as a list of texts.
        blank: what is read in place of an empty prompt.
    """

    text: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    system: str = ""
    listed: bool = False
    blank: str = ""

    def rendered(self, tokenizer: Any, prompt: str) -> tuple[str, int]:
        """The conversation with a prompt in it, and the index of the prompt's first character."""
        prompt = prompt or self.blank
        if not (self.options and getattr(tokenizer, "chat_template", None)):
            head, tail = self.text.split("{}")
            return f"{head}{prompt}{tail}", len(head)
        head = self._rendered(tokenizer, MARK).partition(MARK)[0]
        whole, own = self._rendered(tokenizer, prompt), prompt.strip()
        found = whole.find(own, len(head))
        if found < 0:
            raise InputError(
                "the tokenizer's chat template changes the prompt", "give the tokenizer of the model", "wrong-tokenizer"
            )
        return whole, found - (len(prompt) - len(prompt.lstrip()) if own else 0)

    def _rendered(self, tokenizer: Any, prompt: str) -> str:
        messages = [("system", self.system)] * bool(self.system) + [("user", prompt)]
        contents = [(role, [{"type": "text", "text": text}] if self.listed else text) for role, text in messages]
        rendered: str = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in contents],
            **{"tokenize": False, "add_generation_prompt": True, **self.options},
        )
        return rendered
