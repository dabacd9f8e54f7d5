"""What reads prompts: the text models of a checkpoint, each with its tokenizer.

A text becomes tokens, in chunks; weights move what is read of words (`weft.nodes.prompting.prompts`), and vectors stand
in the places of words that have their own (`weft.nodes.prompting.embeddings`). Imports torch: only the bodies of nodes
and of families import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.prompting.embeddings import matched, spoken
from weft.nodes.prompting.prompts import PLAIN, Reading, Weighted

if TYPE_CHECKING:
    from weft.nodes.families.family import Family


class Encoded(NamedTuple):
    """Texts as a denoiser reads them: `[text, token, channel]`, and `[text, channel]` where it reads a vector too."""

    embeddings: Tensor
    pooled: Tensor | None = None


class Token(NamedTuple):
    """A token of a text, and what it weighs.

    Args:
        vector: what is read in its place `[channel]`; left out, what the text model has for its number.
    """

    number: int
    weight: float
    vector: Tensor | None = None


Words = Mapping[str, Mapping[str, Tensor]]
"""Vectors `[vector, channel]` that stand for words: by word, and by the name of the text model."""


Chunk = Sequence[Token]
"""What a text model reads in one go, without the tokens around it."""

T5_LONGEST = 512
"""Tokens that T5 was trained to read at most, its end token among them."""

MOST_CHUNKS = 100
"""Chunks that a prompt may have; a denoiser takes longer with each."""


class Reader(nn.Module):
    """A text model with its tokenizer.

    Args:
        name: what its family calls it.
        length: tokens that T5 has a text padded to; left out for CLIP, whose tokenizer says it (77).
        vector_alone: whether nothing but CLIP's vector of a prompt is read: that of its first chunk, unweighed.
    """

    def __init__(
        self, name: str, text_model: Any, tokenizer: Any, length: int | None = None, vector_alone: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.text_model = text_model
        self.tokenizer = tokenizer
        self.is_clip = length is None
        self.length = length or tokenizer.model_max_length
        self.vector_alone = vector_alone

    def split(self, prompt: Weighted, words: Words = MappingProxyType({})) -> list[Chunk]:
        """A prompt in chunks: CLIP has as many as it fills, one at least; T5 has one, cut at what it can read.

        The vectors of a word stay together: where they do not fit into the rest of a chunk, they begin the next.
        """
        known = {word: vectors[self.name] for word, vectors in words.items() if self.name in vectors}
        chunks: list[list[Token]] = [[]]
        room = self.length - 2 if self.is_clip else max(self.length, T5_LONGEST) - 1
        for run in self._runs(prompt, known):
            if len(chunks[-1]) + len(run) > room:
                chunks.append([])
            chunks[-1].extend(run)
        if len(chunks) > MOST_CHUNKS and self.is_clip:
            count = sum(map(len, chunks))
            raise InputError(f"the prompt has {count:,} tokens, over {MOST_CHUNKS * room:,}", "shorten it")
        if self.vector_alone:
            return [[token._replace(weight=1.0) for token in chunks[0]]]
        return list(chunks) if self.is_clip else [chunks[0]]

    def _runs(self, prompt: Weighted, known: Mapping[str, Tensor]) -> Iterator[Chunk]:
        """The tokens of a prompt, each by itself, but for those that stand for one word together."""
        for start, text, word in spoken(prompt.text, known):
            if word is not None:
                weight = prompt.weight(start, start + len(text))
                yield [Token(self.tokenizer.bos_token_id, weight, vector) for vector in known[word]]
                continue
            found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            for number, (first, last) in zip(found.input_ids, found.offset_mapping, strict=True):
                yield (Token(number, prompt.weight(start + first, start + last)),)

    def read(self, texts: Sequence[Sequence[Chunk]], count: int, layer: int | None = None, skip: int = 0) -> Encoded:
        """What the model makes of some texts: what it reads in all chunks, in a row, and the vector of the first ones.

        Args:
            count: chunks of each text; those that are missing are empty.
            layer: which of the model's hidden states is taken, as it stands; its last one, normed, where left out.
            skip: how many layers before that one.
        """
        chunks = [chunk for text in texts for chunk in (*text, *([()] * (count - len(text))))]
        fits = self.is_clip or all(len(chunk) < self.length for chunk in chunks)
        encode = partial(self._encode, length=self.length if fits else T5_LONGEST, layer=layer, skip=skip)
        embeddings, pooled = encode(chunks)
        embeddings = torch.stack([self._weighed(*one, encode) for one in zip(chunks, embeddings, strict=True)])
        rows = embeddings.reshape(len(texts), -1, embeddings.shape[-1])
        return Encoded(rows, None if pooled is None else pooled[::count])

    def _weighed(self, chunk: Chunk, embeddings: Tensor, encode: Callable[[Sequence[Chunk]], Encoded]) -> Tensor:
        """What is read of a chunk, moved by the weight of its words away from what is read without them.

        Tokens after these words are compared with themselves, the padding with what stands there without them, and the
        words with the empty text: full + sum of (weight - 1) x (full - without).
        """
        moved, at, begin = embeddings, 0, int(self.is_clip)
        end = begin + len(chunk) + 1
        for weight, run in groupby(chunk, key=attrgetter("weight")):
            first, last = at, at + len([*run])
            at = last
            if weight != 1:
                without, empty = encode([[*chunk[:first], *chunk[last:]], ()]).embeddings
                words = slice(begin + first, begin + last)
                after = without[words.start : end - (last - first)]
                base = torch.cat([without[: words.start], empty[words], after, without[end:]])
                moved = moved + (weight - 1) * (embeddings - base)
        return moved

    def _encode(self, chunks: Sequence[Chunk], length: int, layer: int | None, skip: int) -> Encoded:
        begin = [self.tokenizer.bos_token_id] if self.is_clip else []
        end, padding = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        rows = [[*begin, *(token.number for token in chunk), end] for chunk in chunks]
        device = self.text_model.device
        numbers = torch.tensor([row + [padding] * (length - len(row)) for row in rows], device=device)
        masked = getattr(self.text_model.config, "use_attention_mask", False)
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
        deep = layer is not None or skip > 0
        with self._placed(chunks):
            given = self.text_model(numbers, attention_mask=mask if masked else None, output_hidden_states=deep)
        last = (layer or -1) - skip
        if deep and -last > len(given.hidden_states):
            left = len(given.hidden_states) + (layer or -1)
            raise InputError(f"`clip_skip` is {skip}, and the text model can leave out {left} layers", "skip fewer")
        embeddings = given.hidden_states[last] if deep else given.last_hidden_state
        if skip and layer is None:
            embeddings = getattr(self.text_model, "text_model", self.text_model).final_layer_norm(embeddings)
        return Encoded(embeddings, given.get("text_embeds", given.get("pooler_output")))

    @contextmanager
    def _placed(self, chunks: Sequence[Chunk]) -> Iterator[None]:
        """Vectors in the places of tokens that have their own; on exit the text model is as it was."""
        own = [
            (row, place + int(self.is_clip), token.vector)
            for row, chunk in enumerate(chunks)
            for place, token in enumerate(chunk)
            if token.vector is not None
        ]
        if not own:
            yield
            return
        rows, places, vectors = zip(*own, strict=True)

        def put(table: nn.Module, given: Any, embedded: Tensor) -> Tensor:
            changed = embedded.clone()
            changed[list(rows), list(places)] = torch.stack(vectors).to(embedded)
            return changed

        hook = self.text_model.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            hook.remove()


class Encoder(nn.Module):
    """What reads prompts: the text models of a checkpoint, in the order in which their family has them.

    Args:
        family: which knows what becomes of a text.
        config: what else the checkpoint says of it.
        words: those that stand for vectors of their own, whose names are those of the text models.
    """

    def __init__(
        self,
        family: Family,
        readers: Sequence[nn.Module],
        config: Mapping[str, Any] | None = None,
        words: Words = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.family = family
        self.readers = nn.ModuleList(readers)
        self.config = dict(config or {})
        self.words = words

    def knowing(self, words: Words) -> Encoder:
        """The same text models, which read vectors where these words stand.

        Args:
            words: what files of embeddings have, by their tensors' names.

        Raises:
            InputError: where vectors do not fit the text models.
        """
        readers = [cast(Reader, reader) for reader in self.readers]
        clips = {reader.name: int(reader.text_model.config.hidden_size) for reader in readers if reader.is_clip}
        fitting = {}
        for word, found in words.items():
            sizes = {name: (len(vectors), vectors.shape[1]) for name, vectors in found.items()}
            fitting[word] = {clip: found[name] for clip, name in matched(word, sizes, clips).items()}
        return Encoder(self.family, readers, self.config, fitting)

    def read(self, texts: Sequence[str], reading: Reading, layer: int | None = None) -> list[Encoded]:
        """What each text model makes of some texts; CLIP's models have the same number of chunks.

        Args:
            layer: which hidden state of CLIP's models is taken (see `Reader.read`); T5's is always the last one.
        """
        prompts = [reading.of(text) for text in texts]
        readers = [cast(Reader, reader) for reader in self.readers]
        split = [[reader.split(prompt, self.words) for prompt in prompts] for reader in readers]
        count = max((len(chunks) for each in split for chunks in each), default=1)
        told = [(count, layer, reading.skip) if reader.is_clip else (1, None, 0) for reader in readers]
        return [reader.read(each, *how) for reader, each, how in zip(readers, split, told, strict=True)]

    def encode(self, texts: Sequence[str], reading: Reading = PLAIN) -> Encoded:
        """Some texts as the family's denoisers read them, float32, on the CPU."""
        return _at_rest(self.family.encode(self, texts, reading))

    def unprompted(self) -> Encoded:
        """What stands where guidance is given no negative prompt, float32, on the CPU."""
        return _at_rest(self.family.unprompted(self))


def _at_rest(encoded: Encoded) -> Encoded:
    embeddings, pooled = encoded
    return Encoded(embeddings.float().cpu(), None if pooled is None else pooled.float().cpu())
