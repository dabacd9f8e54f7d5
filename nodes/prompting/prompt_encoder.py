"""What turns prompts into conditioning: the text models of a checkpoint, put together as its family needs them.

A family subclasses `PromptEncoder` in its own file. Importing this module imports no torch. Read next:
`weft.nodes.prompting.text_reader`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.lora_file import parts_of
from weft.nodes.prompting.embeddings import match_vectors
from weft.nodes.prompting.prompts import PLAIN, Reading
from weft.nodes.prompting.text_reader import NO_WORDS, Encoded, TextReader, Words

if TYPE_CHECKING:
    from torch import Tensor, nn

    from weft.nodes.models.lora_merging import Uses
    from weft.nodes.prompting.language_sight import PictureTokens
    from weft.nodes.prompting.picture_chat import PictureChat


OTHER_TEXTS_HINT = "leave `text_2` and `text_3` out"
"""What to do where a family has fewer text models than texts are given."""


class PromptEncoder(ABC):
    """The text models of a checkpoint, in the order in which their family lists them.

    Args:
        config: what else the checkpoint says about its prompts (`settings`), and `width`: the channels that the
            denoiser reads.
    """

    fills_length: ClassVar[bool] = False
    """Whether other values stand in place of a text model that would take a length."""

    def __init__(self, readers: Sequence[TextReader] = (), config: Mapping[str, Any] | None = None) -> None:
        self.readers = tuple(readers)
        self.config = dict(config or {})
        self.words: Words = NO_WORDS

    @classmethod
    def settings(cls, root: Path) -> Mapping[str, Any]:
        """What a whole checkpoint says about how its prompts are read; goes into `config`."""
        return {}

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        """The channels of what text models make together.

        Args:
            channels: of a token, by the name of each text model.
        """
        return PromptWidths(sum(channels.values()), sum(channels.values()))

    @classmethod
    def pooled_width(cls, channels: Mapping[str, int]) -> int:
        """The channels of the pooled vectors of prompts, of the same text models; 0 where prompts have none."""
        return 0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The torch modules whose weights it keeps in memory."""
        return tuple(reader.network for reader in self.readers)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The text models by name."""
        return {reader.name: reader.network for reader in self.readers}

    def learn(self, word: str, vectors: Mapping[str, Tensor]) -> Callable[[], None]:
        """Read a word as vectors `[vector, channel]`; gives the function that undoes it.

        Args:
            vectors: by the names of the tensors in a file of embeddings.

        Raises:
            InputError: where they do not fit the text models.
        """
        before, readers = self.words, [reader for reader in self.readers if reader.takes_embeddings]
        sizes = {name: (len(one), one.shape[1]) for name, one in vectors.items()}
        names = match_vectors(word, sizes, {reader.name: reader.width for reader in readers})
        # One way for vectors into a text model serves all words: the first word opens it.
        opened = [] if before else [reader.accept_vectors() for reader in readers]
        self.words = {**before, word: {own: vectors[name] for own, name in names.items()}}

        def undo() -> None:
            self.words = before
            for close in opened:
                close()

        return undo

    def add_loras(self, uses: Uses) -> Callable[[], None]:
        """Add LoRAs to the weights of the text models; gives the function that puts back what was there."""
        from weft.nodes.models.lora_merging import add_loras

        undone = ExitStack()
        with ExitStack() as entered:
            for reader in self.readers:
                parts = parts_of(reader.name, [one.name for one in self.readers])
                entered.callback(add_loras(reader.network, uses, parts))
            undone = entered.pop_all()
        return undone.close

    def lora_sums(self, uses: Uses) -> Callable[[str, Tensor], Tensor]:
        """What LoRAs make of a weight, by the name of its text model and its own; the text models stay as they are."""
        from weft.nodes.models.lora_merging import lora_sums

        known = [reader.name for reader in self.readers]
        sums = {one.name: lora_sums(one.network, uses, parts_of(one.name, known)) for one in self.readers}

        def total(name: str, weight: Tensor) -> Tensor:
            model, _, own = name.partition(".")
            return sums[model](own, weight)

        return total

    def read(self, texts: Sequence[str], reading: Reading, layer: int | None = None) -> list[Encoded]:
        """What each text model makes of some texts; all of CLIP's read the same number of chunks.

        Args:
            layer: the hidden state that is taken of CLIP's (see `TextReader.read`).
        """
        readers = self.readers if reading.longest is None else [one.limited(reading.longest) for one in self.readers]
        split = [
            [reader.split(reading.of(text), self.words) for text in reading.texts(number, texts)]
            for number, reader in enumerate(readers)
        ]
        count = max((len(chunks) for each in split for chunks in each), default=1)
        skip = (layer or -1) + reading.layer if reading.layer else reading.skip
        return [
            reader.read(each, count, layer, skip, reading.from_empty)
            for reader, each in zip(readers, split, strict=True)
        ]

    def encode(self, texts: Sequence[str], reading: Reading = PLAIN) -> Encoded:
        """Texts as the family's denoisers read them, float32, on the CPU.

        Raises:
            InputError: where a length is asked for, and no text model takes one.
        """
        longest, given = reading.longest, 1 + len(reading.others)
        if reading.others and given > len(self.readers) and not self.fills_length:
            message = f"the prompt has a text for the text model {given}, and there are {len(self.readers)} of them"
            raise InputError(message, OTHER_TEXTS_HINT, "unsupported-by-model")
        if longest and not self.fills_length and all(one.limited(longest) is one for one in self.readers):
            raise InputError(
                "these text models read chunks of 75 tokens, or no tokens at all, and take no `max_sequence_length`",
                "leave `max_sequence_length` out",
                "unsupported-by-model",
            )
        return _on_cpu(self.combined(texts, reading))

    def encode_with_pictures(
        self, text: str, pictures: Sequence[PictureTokens], chat: PictureChat, numbered: bool
    ) -> Encoded:
        """A prompt with pictures that a language model reads with it, float32, on the CPU."""
        from weft.nodes.prompting.language_reader import LanguageModelReader

        (reader,) = (one for one in self.readers if isinstance(one, LanguageModelReader))
        return _on_cpu(reader.read_with_pictures(text, pictures, chat, numbered))

    def unprompted(self) -> Encoded:
        """What guidance leads away from where no negative prompt is given, float32, on the CPU."""
        return _on_cpu(self.without_prompt())

    @abstractmethod
    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        """Texts as the family's denoisers read them: what the text models make, put together."""

    def without_prompt(self) -> Encoded:
        """The empty prompt; a family may have something else."""
        return self.combined([""], PLAIN)


class OneTextModel(PromptEncoder):
    """The tokens of a family's only text model, without a pooled vector."""

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        (encoded,) = self.read(texts, reading)
        return encoded._replace(pooled=None)


def _on_cpu(encoded: Encoded) -> Encoded:
    embeddings, mask, pooled = encoded
    rest = (None if tensor is None else tensor.float().cpu() for tensor in (mask, pooled))
    return Encoded(embeddings.float().cpu(), *rest)
