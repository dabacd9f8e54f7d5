"""UMT5's encoder as a text model: T5 of many languages, with positions in each layer (https://arxiv.org/abs/2304.09151).

It reads the words of a prompt alone; what pads it to a length are zeros. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.models import single_file as original
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.prompting.t5 import SECOND_BIAS, TABLE, MaskedT5Reader, t5_network, t5_tokenizer_folder
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles
from weft.nodes.prompting.text_reader import Chunk, Encoded
from weft.nodes.prompting.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class UMT5(TextModel):
    """UMT5's encoder.

    Args:
        length: tokens that a shorter prompt is padded to; a longer one is padded to 512 and cut there.
    """

    length: int = 512

    kind: ClassVar[str] = "umt5"
    entries: ClassVar[tuple[str, ...]] = (TABLE, original.T5_TABLE)
    takes_tokenizer: ClassVar[bool] = True
    takes_length: ClassVar[bool] = True

    def of_config(self, config: Mapping[str, Any]) -> TextModelFacts | None:
        if config.get("model_type") != "umt5" or "d_model" not in config:
            return None
        known = config.get("vocab_size", 0)
        return TextModelFacts(self.kind, config["d_model"], config.get("num_layers", 0), vocabulary=known)

    def of_shapes(self, shapes: Shapes) -> TextModelFacts | None:
        entry = self.entry(shapes)
        if entry is None or SECOND_BIAS not in shapes:
            return None
        layers = original.count(shapes, "encoder.block.{}.layer.0.layer_norm.weight")
        known, width = shapes[entry][0], shapes[entry][1]
        return TextModelFacts(self.kind, width, layers, shapes=shapes, vocabulary=known)

    def check_tokenizer(self, files: TextModelFiles) -> None:
        t5_tokenizer_folder(files)

    def reader(self, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> UMT5Reader:
        from transformers import UMT5Config, UMT5EncoderModel

        special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
        tokenizer = load_tokenizer(t5_tokenizer_folder(files), self.tokenizer_hint, **special)
        network = t5_network(UMT5Config, UMT5EncoderModel, files, variant, dtype, device)
        return UMT5Reader(self.name, network, tokenizer, self.length)


class UMT5Reader(MaskedT5Reader):
    """UMT5's encoder with its tokenizer."""

    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        """Zeros stand in place of padding, and no mask is needed."""
        encoded = super().read(texts, count, layer, skip, from_empty)
        return encoded._replace(attention_mask=None)

    def _encode(self, chunks: Sequence[Chunk], length: int) -> Tensor:
        embeddings = super()._encode(chunks, length)
        return embeddings * self._mask(chunks, length).to(embeddings)[..., None]
