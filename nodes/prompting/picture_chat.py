"""How a language model is shown pictures next to a prompt: the conversation with places for their tokens.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BEGIN, PLACE, END = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"
"""What Qwen's models read around a picture, and in place of each of its tokens."""


@dataclass(frozen=True)
class PictureChat:
    """The conversation that a prompt with pictures is put into.

    Args:
        text: with `{}` where the pictures and the prompt go.
        dropped: leading tokens that the denoiser does not read.
    """

    text: str
    dropped: int

    def rendered(self, prompt: str, tokens: Sequence[int], numbered: bool) -> str:
        """The conversation with a prompt, and a place for each token of the pictures in front of it.

        Args:
            tokens: how many each picture has.
            numbered: whether pictures have numbers that the prompt can name: `Picture 1: `.
        """
        pictures = (
            f"{f'Picture {number}: ' if numbered else ''}{BEGIN}{PLACE * count}{END}"
            for number, count in enumerate(tokens, 1)
        )
        head, tail = self.text.split("{}")
        return f"{head}{''.join(pictures)}{prompt}{tail}"
