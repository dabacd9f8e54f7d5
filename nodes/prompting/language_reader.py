"""How a decoder language model encodes prompts: inside a conversation, each at its own length, with an attention mask.

Read next: `weft.nodes.prompting.language_model`, which recognises and loads such models. Importing this module imports
no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.engine.weights.streaming import device_of
from weft.nodes.models.network_calls import network_call
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_sight import PictureTokens, places_of_tokens
from weft.nodes.prompting.picture_chat import PLACE, PictureChat
from weft.nodes.prompting.prompts import PLAIN, Weighted
from weft.nodes.prompting.text_reader import NO_WORDS, Chunk, Encoded, TextReader, Token, Words, padded, weighed

if TYPE_CHECKING:
    from torch import Tensor


class LanguageModelReader(TextReader):
    """A decoder language model with its tokenizer.

    Args:
        chat: the conversation that a prompt is put into.
        hidden_state: the index of the hidden state that is taken, counted from the end; -1 is the last, with its norm.
        dropped: leading tokens of the conversation that the denoiser does not read.
        longest: the most tokens of the rest; what is longer is cut at its end.
    """

    def __init__(
        self, name: str, network: Any, tokenizer: Any, chat: Chat, hidden_state: int, dropped: int, longest: int
    ) -> None:
        super().__init__(name, network, tokenizer)
        self.chat = chat
        self.hidden_state = hidden_state
        self.dropped = dropped
        self.longest = longest

    def limited(self, longest: int) -> LanguageModelReader:
        """Texts cut at this length."""
        own = (self.name, self.network, self.tokenizer, self.chat, self.hidden_state, self.dropped)
        return LanguageModelReader(*own, longest)

    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The tokens of the whole conversation in one chunk; those of the prompt have its weights."""
        return [self._tokens(prompt)[0]]

    def _tokens(self, prompt: Weighted) -> tuple[Chunk, int]:
        """The tokens of the conversation, and how many of them are in front of the prompt."""
        text, start = self.chat.rendered(self.tokenizer, prompt.text)
        end = start + len(prompt.text)
        found = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokens = [
            Token(number, prompt.weight(first - start, last - start) if start <= first < end else 1.0)
            for number, (first, last) in zip(found.input_ids, found.offset_mapping, strict=True)
        ]
        leading = sum(first < start for first, _ in found.offset_mapping)
        return tokens[: self.dropped + self.longest], leading

    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        """The hidden states of the tokens, filled up with zeros to the longest text, and which of them are read.

        There is no mask where all texts have one length. Weighted words are compared with the token that ends the empty
        prompt, since no padding is read that could stand in their place; all else is as `weighed` has it.
        """
        import torch

        chunks = [chunk for (chunk,) in texts]
        states = zip(chunks, self._states(chunks), strict=True)
        if any(token.weight != 1 for chunk in chunks for token in chunk):
            encode = self._states_without_words()
            rows = [weighed(chunk, row, encode, start=0)[self.dropped :] for chunk, row in states]
        else:
            rows = [row[self.dropped :] for _, row in states]
        embeddings = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([row.new_ones(len(row)) for row in rows], batch_first=True)
        return Encoded(embeddings, attention_mask=None if bool(mask.all()) else mask)

    def read_with_pictures(
        self, prompt: str, pictures: Sequence[PictureTokens], chat: PictureChat, numbered: bool
    ) -> Encoded:
        """The hidden states of a prompt with pictures in front of it.

        Raises:
            InputError: where the tokenizer has no token that stands for a picture's.
        """
        import torch

        text = chat.rendered(prompt, [len(one.tokens) for one in pictures], numbered)
        numbers = torch.tensor([self.tokenizer(text, verbose=False).input_ids], device=device_of(self.network))
        pictured = numbers[0] == self.tokenizer.convert_tokens_to_ids(PLACE)
        tokens = torch.cat([one.tokens for one in pictures])
        if int(pictured.sum()) != len(tokens):
            hint = "give the tokenizer of Qwen2.5-VL, and write no such token into the prompt"
            message = f"the prompt has {int(pictured.sum())} tokens `{PLACE}` for the {len(tokens)} of its pictures"
            raise InputError(message, hint, "wrong-tokenizer")
        places = places_of_tokens(pictured.tolist(), [(one.rows, one.columns) for one in pictures])
        given = self.network.get_input_embeddings()(numbers)
        given[0, pictured] = tokens.to(given)
        with network_call(f"the text model {self.name}", {"tokens": given}):
            states = self.network(
                inputs_embeds=given,
                position_ids=torch.tensor(places, device=numbers.device).T[:, None],
                attention_mask=torch.ones_like(numbers),
                output_hidden_states=True,
                use_cache=False,
            ).hidden_states[self.hidden_state]
        return Encoded(states[:, chat.dropped :])

    def _states_without_words(self) -> Callable[[Sequence[Chunk]], list[Tensor]]:
        """Encodes as `_states`; for an empty chunk, gives the token that ends the empty prompt at every place."""
        tokens, leading = self._tokens(PLAIN.of(""))
        end = self._states([tokens])[0][leading].expand(self.dropped + self.longest, -1)

        def encode(chunks: Sequence[Chunk]) -> list[Tensor]:
            states = iter(self._states([chunk for chunk in chunks if chunk]))
            return [next(states) if chunk else end for chunk in chunks]

        return encode

    def _states(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """The hidden states `[token, channel]` of each chunk."""
        import torch

        rows = [[token.number for token in chunk] for chunk in chunks]
        length, device = max(map(len, rows)), device_of(self.network)
        # Padding goes to the end, where no token of a causal model sees it; its number does not count under the mask.
        numbers = torch.tensor(padded(rows, length, 0), device=device)
        mask = torch.tensor(padded([[1] * len(row) for row in rows], length, 0), device=device)
        with network_call(f"the text model {self.name}", {"tokens": numbers}):
            states = self.network(
                input_ids=numbers, attention_mask=mask, output_hidden_states=True, use_cache=False
            ).hidden_states[self.hidden_state]
        return [state[: len(row)] for state, row in zip(states, rows, strict=True)]
