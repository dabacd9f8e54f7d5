"""How a decoder language model encodes prompts: inside a conversation, each at its own length, with an attention mask.

Read next: `weft.nodes.prompting.language_model`, which recognises and loads such models. Importing this module imports
no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class LanguageReading:
    """How a denoiser reads the hidden states of a language model.

    Args:
        chat: the conversation that a prompt is put into.
        states: the indices of the hidden states that are taken, counted from the end where they are negative; -1 is the
            last, with its norm. Several follow each other along the channels; none are those of all layers.
        dropped: leading tokens of the conversation that the denoiser does not read.
        longest: the most tokens of the rest; what is longer is cut at its end.
        filled: whether shorter ones are padded to `longest` with the tokenizer's own tokens, which the denoiser reads.
    """

    chat: Chat
    states: tuple[int, ...] = (-1,)
    dropped: int = 0
    longest: int = 512
    filled: bool = False


class LanguageModelReader(TextReader):
    """A decoder language model with its tokenizer.

    Args:
        reading: how its hidden states are read.
    """

    def __init__(self, name: str, network: Any, tokenizer: Any, reading: LanguageReading) -> None:
        super().__init__(name, network, tokenizer)
        self.reading = reading

    def limited(self, longest: int) -> LanguageModelReader:
        """Texts cut at this length."""
        return LanguageModelReader(self.name, self.network, self.tokenizer, replace(self.reading, longest=longest))

    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The tokens of the whole conversation in one chunk; those of the prompt have its weights."""
        return [self._tokens(prompt)[0]]

    @property
    def _most(self) -> int:
        """Tokens of the longest conversation."""
        return self.reading.dropped + self.reading.longest

    def _tokens(self, prompt: Weighted) -> tuple[Chunk, int]:
        """The tokens of the conversation, and how many of them are in front of the prompt."""
        text, start = self.reading.chat.rendered(self.tokenizer, prompt.text)
        end = start + len(prompt.text)
        # A template may begin with the token that the tokenizer would put there.
        begun = bool(self.tokenizer.bos_token) and text.startswith(self.tokenizer.bos_token)
        options = {"add_special_tokens": False} if begun else {}
        found = self.tokenizer(text, return_offsets_mapping=True, verbose=False, **options)
        tokens = [
            Token(number, prompt.weight(first - start, last - start) if start <= first < end else 1.0)
            for number, (first, last) in zip(found.input_ids, found.offset_mapping, strict=True)
        ]
        leading = sum(first < start for first, _ in found.offset_mapping)
        return tokens[: self._most], leading

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
            rows = [weighed(chunk, row, encode, start=0)[self.reading.dropped :] for chunk, row in states]
        else:
            rows = [row[self.reading.dropped :] for _, row in states]
        if self.reading.filled:
            return Encoded(torch.stack([self._placed(row, chunk) for row, chunk in zip(rows, chunks, strict=True)]))
        embeddings = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([row.new_ones(len(row)) for row in rows], batch_first=True)
        return Encoded(embeddings, attention_mask=None if bool(mask.all()) else mask)

    def _placed(self, states: Tensor, chunk: Chunk) -> Tensor:
        """The states of a chunk and its padding where the tokenizer puts that: in front, or behind."""
        left = self.tokenizer.padding_side == "left"
        return states.roll(self._most - len(chunk), 0) if left else states

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
            ).hidden_states
        return Encoded(self._taken(states)[:, chat.dropped :])

    def _states_without_words(self) -> Callable[[Sequence[Chunk]], list[Tensor]]:
        """Encodes as `_states`; for an empty chunk, gives the token that ends the empty prompt at every place.

        Where nothing comes after a prompt, that is the token in front of it.
        """
        tokens, leading = self._tokens(PLAIN.of(""))
        states = self._states([tokens])[0]
        end = states[min(leading, len(states) - 1)].expand(self._most, -1)

        def encode(chunks: Sequence[Chunk]) -> list[Tensor]:
            states = iter(self._states([chunk for chunk in chunks if chunk]))
            return [next(states) if chunk else end for chunk in chunks]

        return encode

    def _states(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """The hidden states `[token, channel]` of each chunk; padding that is read comes after it."""
        import torch

        rows = [[token.number for token in chunk] for chunk in chunks]
        filled, device = self.reading.filled, device_of(self.network)
        length = self._most if filled else max(map(len, rows))
        left = filled and self.tokenizer.padding_side == "left"
        # Padding that is not read goes to the end, where no token of a causal model sees it; its number does not count.
        number = _padding(self.tokenizer) if filled else 0
        numbers = torch.tensor(padded(rows, length, number), device=device)
        mask = torch.tensor(padded([[1] * len(row) for row in rows], length, 0), device=device)
        if left:
            numbers, mask = (_turned(one, rows, length) for one in (numbers, mask))
        with network_call(f"the text model {self.name}", {"tokens": numbers}):
            found = self.network(input_ids=numbers, attention_mask=mask, output_hidden_states=True, use_cache=False)
        states = self._taken(found.hidden_states)
        if left:
            return [state.roll(len(row) - length, 0) for state, row in zip(states, rows, strict=True)]
        return [state if filled else state[: len(row)] for state, row in zip(states, rows, strict=True)]

    def _taken(self, states: Sequence[Tensor]) -> Tensor:
        """The hidden states that are read `[text, token, channel]`, of those of all layers."""
        import torch

        taken = [states[index] for index in self.reading.states] or [*states[1:]]
        return taken[0] if len(taken) == 1 else torch.cat(taken, dim=-1)


def _padding(tokenizer: Any) -> int:
    """The number of the token that pads: the one that ends a text, where the tokenizer has none for it (Llama's)."""
    number = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if number is None else number)


def _turned(rows: Tensor, chunks: Sequence[Sequence[int]], length: int) -> Tensor:
    """Rows with what pads them in front."""
    import torch

    return torch.stack([row.roll(length - len(chunk)) for row, chunk in zip(rows, chunks, strict=True)])
