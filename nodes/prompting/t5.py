"""T5's encoder as a text model: how it is recognised and loaded, and how it encodes prompts.

It reads a prompt whole, padded to a length that its family was trained with. No single file of weights carries its
tokenizer: that is looked for next to the file, then in the hub's cache. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from weft.engine import InputError
from weft.engine.weights.streaming import device_of
from weft.nodes.models import hub
from weft.nodes.models import single_file as original
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.prompting.prompts import Weighted
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles
from weft.nodes.prompting.text_reader import (
    NO_WORDS,
    Chunk,
    Encoded,
    TextReader,
    Words,
    padded,
    tokens_of,
    weighed,
    weighed_from_empty,
)
from weft.nodes.prompting.tokenizers import load_tokenizer, tokenizer_files

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T5_TOKENIZER = "t5_tokenizer"
"""The name of the folder next to a single file in which T5's tokenizer may be."""

T5_IN_HUB = {
    "black-forest-labs/FLUX.1-dev": "tokenizer_2",
    "black-forest-labs/FLUX.1-schnell": "tokenizer_2",
    "stabilityai/stable-diffusion-3-medium-diffusers": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-medium": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-large": "tokenizer_3",
}
"""Models of the hub that carry T5's tokenizer, and the folder that it is in."""

UMT5_TOKENIZER = "umt5_tokenizer"
"""The name of the folder next to a single file in which UMT5's tokenizer may be."""

UMT5_IN_HUB = {
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": "tokenizer",
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": "tokenizer",
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": "tokenizer",
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": "tokenizer",
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": "tokenizer",
}
"""Models of the hub that carry UMT5's tokenizer, and the folder that it is in."""

TOKENIZERS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "t5": ("T5", T5_TOKENIZER, T5_IN_HUB),
    "umt5": ("UMT5", UMT5_TOKENIZER, UMT5_IN_HUB),
}
"""For each kind of text model: its name, and where its tokenizer may be. Of one kind, numbers stand for other words."""

TABLE = "shared.weight"
"""T5's table of tokens."""

GATE = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"
"""A tensor of T5 1.1, whose layers are gated; those of the first T5 are not."""

SECOND_BIAS = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
"""A tensor of UMT5, which has positions in each layer; T5 has them in the first alone."""

T5_LONGEST = 512
"""The most tokens that T5 was trained to read, its end token included."""


@dataclass(frozen=True)
class T5(TextModel):
    """T5's encoder.

    Args:
        length: tokens that a shorter prompt is padded to; a longer one is padded to `longest` and cut there.
        longest: see `length`.
        masked: whether padding is not read, neither by T5 nor by the denoiser, which gets a mask.
        marked: whether T5 reads padding, and the denoiser, which gets a mask, does not.
    """

    length: int = T5_LONGEST
    longest: int = T5_LONGEST
    masked: bool = False
    marked: bool = False

    kind: ClassVar[str] = "t5"
    entries: ClassVar[tuple[str, ...]] = (TABLE, original.T5_TABLE)
    takes_tokenizer: ClassVar[bool] = True
    takes_length: ClassVar[bool] = True

    def of_config(self, config: Mapping[str, Any]) -> TextModelFacts | None:
        if config.get("model_type") != "t5" or "d_model" not in config:
            return None
        known = config.get("vocab_size", 0)
        return TextModelFacts(self.kind, config["d_model"], config.get("num_layers", 0), vocabulary=known)

    def of_shapes(self, shapes: Shapes) -> TextModelFacts | None:
        entry = self.entry(shapes)
        if entry is None:
            return None
        if SECOND_BIAS in shapes:
            return None
        if GATE not in shapes:
            found = "a T5 without the gated layers of T5 1.1"
            raise InputError(
                f"the text encoder is {found}, which no family reads", "give T5 1.1 (t5xxl)", "wrong-text-models"
            )
        layers = original.count(shapes, "encoder.block.{}.layer.0.layer_norm.weight")
        known, width = shapes[entry][0], shapes[entry][1]
        return TextModelFacts(self.kind, width, layers, shapes=shapes, vocabulary=known)

    def check_tokenizer(self, files: TextModelFiles) -> None:
        t5_tokenizer_folder(files)

    def reader(self, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> T5Reader:
        from transformers import T5Config, T5EncoderModel

        tokenizer = self.tokenizer(files)
        network = t5_network(T5Config, T5EncoderModel, files, variant, dtype, device)
        longest = max(self.length, self.longest)
        return self.reader_class(self.name, network, tokenizer, self.length, longest)

    @property
    def reader_class(self) -> type[T5Reader]:
        """What reads prompts by it."""
        return MaskedT5Reader if self.masked else MarkedT5Reader if self.marked else T5Reader

    def tokenizer(self, files: TextModelFiles) -> Any:
        """Its tokenizer.

        Raises:
            InputError: where there is none.
        """
        special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
        return load_tokenizer(t5_tokenizer_folder(files), self.tokenizer_hint, **special)


def t5_network(
    configuration: Any, network: Any, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str
) -> Any:
    """An encoder of T5's or UMT5's, from a folder or from a single file.

    Args:
        configuration: its class in transformers.
        network: its class in transformers.
    """
    from weft.nodes.models.loading import assembled_text, own_config, pretrained, ready
    from weft.nodes.models.weights_file import file_weights, reading_onto

    if files.root.is_dir():
        given = configuration.from_dict(own_config(read_config(files.root / "config.json")))
        with reading_onto(device):
            return ready(pretrained(network, files.root, variant, dtype=dtype, config=given), device)
    weights = file_weights(files.root, files.facts.prefix)
    if TABLE not in weights:
        weights[TABLE] = weights[original.T5_TABLE]
    given = configuration(**original.t5_config(files.facts.shapes))
    return ready(assembled_text(network, given, weights, dtype, files.root.name), device)


class T5Reader(TextReader):
    """T5's encoder with its tokenizer.

    Args:
        length: see `T5`.
        longest: the length that a longer prompt is padded to and cut at; None is the longer one of `length` and
            `T5_LONGEST`.
    """

    def __init__(self, name: str, network: Any, tokenizer: Any, length: int, longest: int | None = None) -> None:
        super().__init__(name, network, tokenizer)
        self.length = length
        self.longest = longest or max(length, T5_LONGEST)

    def limited(self, longest: int) -> Self:
        """Every text padded to this length, or cut there."""
        return type(self)(self.name, self.network, self.tokenizer, longest, longest)

    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The tokens in one chunk, cut at what T5 can read; embeddings are not for T5, so it reads their words."""
        tokens = [token for run in tokens_of(self.tokenizer, prompt, {}) for token in run]
        return [tokens[: self.longest - 1]]

    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        import torch

        weigh = weighed_from_empty if from_empty else weighed

        chunks = [chunk for (chunk,) in texts]
        fits = all(len(chunk) < self.length for chunk in chunks)
        encode = partial(self._encode, length=self.length if fits else self.longest)
        rows = zip(chunks, encode(chunks), strict=True)
        return Encoded(torch.stack([weigh(chunk, row, encode, start=0) for chunk, row in rows]))

    def _encode(self, chunks: Sequence[Chunk], length: int) -> Tensor:
        """The embeddings of chunks, padded to a length; padding is read like any other token."""
        import torch

        numbers = torch.tensor(self._numbers(chunks, length), device=device_of(self.network))
        with network_call(f"the text model {self.name}", {"tokens": numbers}):
            embeddings: Tensor = self.network(numbers).last_hidden_state
        return embeddings

    def _numbers(self, chunks: Sequence[Chunk], length: int) -> list[list[int]]:
        """The numbers of the tokens of chunks, with the token that ends each, padded to a length."""
        end, padding = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        return padded([[*(token.number for token in chunk), end] for chunk in chunks], length, padding)


class MarkedT5Reader(T5Reader):
    """T5's encoder with its tokenizer, which tells the denoiser by a mask what is padding."""

    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        encoded = super().read(texts, count, layer, skip, from_empty)
        mask = self._mask([chunk for (chunk,) in texts], encoded.embeddings.shape[1])
        return encoded._replace(attention_mask=mask)

    def _mask(self, chunks: Sequence[Chunk], length: int) -> Tensor:
        """Which tokens are read: those of the text and the one that ends it."""
        import torch

        return torch.tensor([[int(place <= len(chunk)) for place in range(length)] for chunk in chunks])


class MaskedT5Reader(MarkedT5Reader):
    """T5's encoder with its tokenizer, where padding is not read."""

    def _encode(self, chunks: Sequence[Chunk], length: int) -> Tensor:
        import torch

        numbers = torch.tensor(self._numbers(chunks, length), device=device_of(self.network))
        mask = self._mask(chunks, length).to(numbers.device)
        with network_call(f"the text model {self.name}", {"tokens": numbers}):
            embeddings: Tensor = self.network(numbers, attention_mask=mask).last_hidden_state
        return embeddings


def separate_tokenizer(root: Path, facts: TextModelFacts) -> Path | None:
    """The folder of the tokenizer that a text model of a source reads with and that no part of the source names.

    Args:
        root: of the source.
        facts: about the text model; any but T5 and UMT5 has none.
    """
    return _tokenizer(TextModelFiles.of(root, facts)) if facts.kind in TOKENIZERS else None


def t5_tokenizer_folder(files: TextModelFiles) -> Path:
    """The folder of the tokenizer of T5 or UMT5, or the `tokenizer.json` that was given.

    Raises:
        InputError: where it is neither next to the weights nor in the hub's cache.
    """
    present = _tokenizer(files)
    if present is None:
        name, next_to, in_hub = TOKENIZERS[files.facts.kind]
        wanted = files.tokenizer or files.root.parent / next_to
        carriers = ", ".join(f"`{folder}` of {model}" for model, folder in [*in_hub.items()][:3])
        raise InputError(
            f"`{files.root.name}` has weights of {name}, whose tokenizer is neither next to it nor in the hub's cache",
            f"put the folder {carriers} next to it as `{wanted.name}`, or give it to LoadTextEncoder as `tokenizer`",
            "no-tokenizer",
        )
    return present


def _tokenizer(files: TextModelFiles) -> Path | None:
    """What `t5_tokenizer_folder` says; None where there is none. Only names of files are read."""
    if files.tokenizer and files.tokenizer.is_file():
        return files.tokenizer
    _, next_to, in_hub = TOKENIZERS[files.facts.kind]
    found = [files.tokenizer or files.root.parent / next_to]
    for hub_id, folder in in_hub.items():
        snapshot = hub.snapshot(hub_id, hub.cache_folder())
        found += [snapshot / folder] if snapshot else []
    return next((folder for folder in found if tokenizer_files(folder)), None)
