"""CLIP's and OpenCLIP's text models: how they are recognised and loaded, and how they encode prompts.

They read 75 tokens at a time between a start and an end token; a longer prompt is read in chunks. Importing this module
imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.engine.weights.streaming import device_of
from weft.nodes.models import single_file as original
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_layouts import Config
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

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

OPEN_ENTRY = "token_embedding.weight"
"""The tensor by which OpenCLIP's layout is recognised."""

OPEN_NAMES = re.compile(
    r"positional_embedding|token_embedding\.weight|text_projection|ln_final\.(weight|bias)"
    r"|transformer\.resblocks\.\d+\.(attn\.in_proj_(weight|bias)|(attn\.out_proj|ln_[12]|mlp\.c_(fc|proj))\.(weight|bias))"
)
"""The names of OpenCLIP's tensors."""

MOST_CHUNKS = 100
"""The limit on the chunks of a prompt; sampling slows down with each."""

LAYERS = (
    "transformer.resblocks.{}.mlp.c_fc.weight",
    "text_model.encoder.layers.{}.mlp.fc1.weight",
    "encoder.layers.{}.mlp.fc1.weight",
)
"""A tensor of each layer: OpenCLIP's, and transformers' with and without the projection."""


@dataclass(frozen=True)
class Clip(TextModel):
    """A text model of CLIP or OpenCLIP.

    Args:
        activation: of its layers, as transformers calls it.
        padding: the padding token of its tokenizer, where the checkpoint carries none; None takes the end token.
        unread: the number of last layers to leave out of OpenCLIP's file, as the family was trained.
        vector_alone: whether the family reads nothing but the pooled vector: that of the first chunk, unweighted.
        longest: the most tokens of a chunk, with those that begin and end it, of text models that could read more; 0
            leaves it to the tokenizer.
    """

    activation: str = "quick_gelu"
    padding: str | None = None
    unread: int = 0
    vector_alone: bool = False
    longest: int = 0

    kind: ClassVar[str] = "clip"
    takes_embeddings: ClassVar[bool] = True
    entries: ClassVar[tuple[str, ...]] = (
        "embeddings.token_embedding.weight",
        "text_model.embeddings.token_embedding.weight",
        OPEN_ENTRY,
    )

    def of_config(self, config: Mapping[str, Any]) -> TextModelFacts | None:
        if config.get("model_type") != "clip_text_model" or "hidden_size" not in config:
            return None
        projects = "CLIPTextModelWithProjection" in str(config.get("architectures"))
        size, layers, known = (config.get(name, 0) for name in ("hidden_size", "num_hidden_layers", "vocab_size"))
        return TextModelFacts(self.kind, size, layers, projects, vocabulary=known)

    def of_shapes(self, shapes: Shapes) -> TextModelFacts | None:
        entry = self.entry(shapes)
        if entry is None:
            return None
        projects = "text_projection" in shapes or "text_projection.weight" in shapes
        layers = max(original.count(shapes, pattern) for pattern in LAYERS)
        known, width = shapes[entry][0], shapes[entry][1]
        return TextModelFacts(self.kind, width, layers, projects, shapes=shapes, vocabulary=known)

    def renamed(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return original.open_text_renamed(found) if OPEN_ENTRY in found else found

    def reader(self, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> ClipReader:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        from weft.nodes.models.loading import assembled_text, notice_unread, own_config, pretrained, ready
        from weft.nodes.models.weights_file import reading_onto
        from weft.nodes.prompting.clip_tokenizer import clip_tokenizer

        network_class: Any = CLIPTextModelWithProjection if self.projects else CLIPTextModel
        if files.root.is_dir():
            given = CLIPTextConfig.from_dict(own_config(read_config(files.root / "config.json")))
            with reading_onto(device):
                network = pretrained(network_class, files.root, variant, dtype=dtype, config=given)
        else:
            config, weights = self._single_file(files, dtype)
            opened = OPEN_ENTRY in files.facts.shapes
            # The last layers that a family leaves out of OpenCLIP's file are no surprise.
            where = "" if opened and self.unread else files.root.name
            network = assembled_text(network_class, CLIPTextConfig(**config), weights, dtype, where)
            names = [name for name in files.facts.shapes if opened and not OPEN_NAMES.fullmatch(name)]
            notice_unread(files.root.name, [files.facts.prefix + name for name in names])
        tokenizer = clip_tokenizer(files.tokenizer, self.padding)
        return ClipReader(self.name, ready(network, device), tokenizer, self.vector_alone, self.longest)

    def _single_file(self, files: TextModelFiles, dtype: torch.dtype) -> tuple[Config, dict[str, Tensor]]:
        """The configuration of the model in a file, and its weights under transformers' names."""
        shapes, prefix = files.facts.shapes, files.facts.prefix
        if OPEN_ENTRY not in shapes:
            found = original.text_config(shapes) | {"hidden_act": self.activation}
            weights = original.text_weights(files.root, prefix, dtype)
            if self.identity_projection and not files.facts.projects:
                weights["text_projection.weight"] = identity(found["hidden_size"])
            return found, weights
        found = original.open_text_config(shapes)
        layers = found["num_hidden_layers"] - self.unread
        return found | {"num_hidden_layers": layers}, original.open_text_weights(files.root, prefix, dtype)


def identity(width: int) -> Tensor:
    """The projection that changes nothing `[width, width]`: CLIP's own, where SD 3 is published without it."""
    import torch

    return torch.eye(width, dtype=torch.float32)


class ClipReader(TextReader):
    """A text model of CLIP or OpenCLIP with its tokenizer.

    Args:
        vector_alone, longest: see `Clip`.
    """

    takes_embeddings = True

    def __init__(self, name: str, network: Any, tokenizer: Any, vector_alone: bool = False, longest: int = 0) -> None:
        super().__init__(name, network, tokenizer)
        own = int(tokenizer.model_max_length)
        self.length = min(own, longest or own)
        self.vector_alone = vector_alone

    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The tokens in chunks; the vectors of one embedding stay together, if need be at the start of the next."""
        known = {word: vectors[self.name] for word, vectors in words.items() if self.name in vectors}
        chunks: list[Chunk] = [[]]
        room = self.length - 2
        for run in tokens_of(self.tokenizer, prompt, known):
            if len(chunks[-1]) + len(run) > room:
                chunks.append([])
            chunks[-1] = [*chunks[-1], *run]
        if len(chunks) > MOST_CHUNKS:
            count = sum(map(len, chunks))
            raise InputError(f"the prompt has {count:,} tokens, over {MOST_CHUNKS * room:,}", "shorten it", "too-long")
        if self.vector_alone:
            return [[token._replace(weight=1.0) for token in chunks[0]]]
        return chunks

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

        chunks = [chunk for text in texts for chunk in (*text, *([()] * (count - len(text))))]
        encode = partial(self._encode, layer=layer, skip=skip)
        embeddings, _, pooled = encode(chunks)
        rows = [
            weigh(chunk, row, _embeddings_of(encode), start=1) for chunk, row in zip(chunks, embeddings, strict=True)
        ]
        joined = torch.stack(rows).reshape(len(texts), -1, embeddings.shape[-1])
        return Encoded(joined, pooled=None if pooled is None else pooled[::count])

    def _encode(self, chunks: Sequence[Chunk], layer: int | None, skip: int) -> Encoded:
        """The embeddings of chunks, padded to the length that CLIP reads, and their pooled vectors."""
        import torch

        network, tokenizer, device = self.network, self.tokenizer, device_of(self.network)
        rows = [
            [tokenizer.bos_token_id, *(token.number for token in chunk), tokenizer.eos_token_id] for chunk in chunks
        ]
        numbers = torch.tensor(padded(rows, self.length, tokenizer.pad_token_id), device=device)
        mask = torch.tensor(padded([[1] * len(row) for row in rows], self.length, 0), device=device)
        masked = getattr(network.config, "use_attention_mask", False)
        deep = layer is not None or skip > 0
        with _read_with_vectors(chunks), network_call(f"the text model {self.name}", {"tokens": numbers}):
            output = network(numbers, attention_mask=mask if masked else None, output_hidden_states=deep)
        last = (layer or -1) - skip
        if deep and -last > len(output.hidden_states):
            left = len(output.hidden_states) + (layer or -1)
            raise InputError(
                f"`clip_skip` or `clip_layer` leaves out {skip} layers, and the text model has {left} that can be",
                "skip fewer",
                "out-of-range",
            )
        embeddings = output.hidden_states[last] if deep else output.last_hidden_state
        if skip and layer is None:
            embeddings = getattr(network, "text_model", network).final_layer_norm(embeddings)
        return Encoded(embeddings, pooled=output.get("text_embeds", output.get("pooler_output")))

    def accept_vectors(self) -> Callable[[], None]:
        hook = self.network.get_input_embeddings().register_forward_hook(_place_vectors)
        remove: Callable[[], None] = hook.remove
        return remove


_CHUNKS: ContextVar[Sequence[Chunk]] = ContextVar("chunks that are read", default=())
"""What the present call of a text model reads, a chunk for each row."""


@contextmanager
def _read_with_vectors(chunks: Sequence[Chunk]) -> Iterator[None]:
    """While open, tokens that have a vector of their own are read as it."""
    token = _CHUNKS.set(chunks)
    try:
        yield
    finally:
        _CHUNKS.reset(token)


def _place_vectors(table: nn.Module, given: Any, embedded: Tensor) -> Tensor | None:
    """A hook on the token embeddings `[row, token, channel]` of a text model; None leaves them as they are."""
    import torch

    own = [
        (row, place + 1, token.vector)
        for row, chunk in enumerate(_CHUNKS.get())
        for place, token in enumerate(chunk)
        if token.vector is not None
    ]
    if not own:
        return None
    rows, places, vectors = zip(*own, strict=True)
    changed = embedded.clone()
    changed[list(rows), list(places)] = torch.stack(vectors).to(embedded)
    return changed


def _embeddings_of(encode: Callable[[Sequence[Chunk]], Encoded]) -> Callable[[Sequence[Chunk]], Tensor]:
    return lambda chunks: encode(chunks).embeddings
