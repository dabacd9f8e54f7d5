"""Decoder language models as text models: how Qwen's are recognised in folders and single files, and loaded.

What shapes of a single file do not say is data of an `Architecture`. Only the layers that read text are loaded: no part
for pictures, no head that predicts tokens. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.nodes.models import diffusers_folder
from weft.nodes.models import single_file as original
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_reader import LanguageModelReader, LanguageReading
from weft.nodes.prompting.picture_chat import PictureChat
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles
from weft.nodes.prompting.tokenizers import load_tokenizer, tokenizer_files

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.models.packed_weights import PackedNumbers

PREFIXES = ("model.language_model.", "language_model.model.", "model.", "")
"""What the names of a language model's tensors begin with, by the version of transformers that wrote them."""

PREFIXES_WITH_PICTURES = PREFIXES[:2]
"""Those of models that read pictures too, also where a file is without the part for pictures."""

TABLE = "embed_tokens.weight"

TEXT_PARTS = ("layers.", "norm.", "embed_tokens.")
"""What names of the layers that read text begin with, below the prefix."""

OTHER_PARTS = (
    *("visual.", "model.visual.", "lm_head."),
    *(prefix + part for prefix in ("", "model.") for part in ("vision_tower.", "multi_modal_projector.")),
)
"""What names of the part for pictures and of the head that predicts tokens begin with; neither is needed."""


@dataclass(frozen=True)
class Architecture:
    """The architecture of a language model, with what shapes of a single file do not say about it.

    Args:
        kind: as `model_type` in a configuration has it.
        text_kind: as it has it where the layers that read text come alone; empty where they have no other name.
        network_class: transformers' class of the layers that read text.
        config_class: transformers' class of their configuration.
        mark: the name of a tensor in the first layer, by which files are recognised.
        lacks: the names of tensors that its layers do not have, where files of other architectures have its mark too.
        square: whether the queries of all heads together have as many channels as a token, where that tells it from
            others; None does not ask.
        also: what names of other tensors begin with in its files, where files of other architectures have its mark too.
        head_channels: of an attention head, where `q_norm` does not say it.
        constants: fields of the configuration that shapes do not say.
    """

    kind: str
    network_class: str
    config_class: str
    mark: str
    lacks: tuple[str, ...] = ()
    square: bool | None = None
    also: tuple[str, ...] = ()
    head_channels: int = 128
    constants: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    text_kind: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What `model_type` may be."""
        return tuple(filter(None, (self.kind, self.text_kind)))

    def prefix(self, shapes: Shapes) -> str | None:
        """What the names of its tensors begin with in a file; None where the file is of another architecture."""
        names = (one for one in PREFIXES if f"{one}{TABLE}" in shapes and f"{one}layers.0.{self.mark}" in shapes)
        prefix = next(names, None)
        if any(f"{prefix}layers.0.{name}" in shapes for name in self.lacks):
            return None
        rows, columns = shapes.get(f"{prefix}layers.0.self_attn.q_proj.weight", (0, 0))
        if self.square not in (None, rows == columns):
            return None
        known = not self.also or prefix in PREFIXES_WITH_PICTURES or any(name.startswith(self.also) for name in shapes)
        return prefix if known else None

    def config(self, shapes: Shapes) -> dict[str, Any]:
        """The configuration of a model, from the shapes below its prefix."""
        vocabulary, width = shapes[TABLE]
        layer = original.below("layers.0.", shapes)
        head = layer.get("self_attn.q_norm.weight", (self.head_channels,))[0]
        return {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": layer["mlp.gate_proj.weight"][0],
            "num_hidden_layers": original.count(shapes, "layers.{}.mlp.gate_proj.weight"),
            "num_attention_heads": layer["self_attn.q_proj.weight"][0] // head,
            "num_key_value_heads": layer["self_attn.k_proj.weight"][0] // head,
            "head_dim": head,
            **self.constants,
        }


QWEN3 = Architecture(
    kind="qwen3",
    network_class="Qwen3Model",
    config_class="Qwen3Config",
    mark="self_attn.q_norm.weight",
    constants={"rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960},
)
"""Qwen3, such as the text model of Z-Image."""

QWEN2_5_VL = Architecture(
    kind="qwen2_5_vl",
    network_class="Qwen2_5_VLTextModel",
    config_class="Qwen2_5_VLTextConfig",
    mark="self_attn.q_proj.bias",
    also=("visual.", "model.visual."),
    constants={
        "rope_theta": 1_000_000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 128_000,
    },
    text_kind="qwen2_5_vl_text",
)
"""Qwen2.5-VL, the text model of Qwen-Image, without its part for pictures."""


GEMMA2 = Architecture(
    kind="gemma2",
    network_class="Gemma2Model",
    config_class="Gemma2Config",
    mark="pre_feedforward_layernorm.weight",
    lacks=("self_attn.q_norm.weight",),
    head_channels=256,
    constants={"max_position_embeddings": 8192},
)
"""Gemma 2, the text model of Sana and Lumina."""


MISTRAL = Architecture(
    kind="mistral3",
    network_class="MistralModel",
    config_class="MistralConfig",
    mark="self_attn.q_proj.weight",
    lacks=(QWEN3.mark, QWEN2_5_VL.mark, GEMMA2.mark),
    square=False,
    constants={
        "rope_theta": 1_000_000_000.0,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 131_072,
        "sliding_window": None,
    },
)
"""Mistral Small 3, the text model of FLUX.2 dev, without its part for pictures."""


LLAMA = Architecture(
    kind="llama",
    network_class="LlamaModel",
    config_class="LlamaConfig",
    mark="self_attn.q_proj.weight",
    lacks=MISTRAL.lacks,
    square=True,
    constants={
        "rope_theta": 500_000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 131_072,
    },
)
"""Llama 3.1, a text model of HiDream."""

CARRYING = (LLAMA.kind,)
"""Kinds that are published in folders of their own, with their tokenizers in the same folder."""


def tokenizer_next_to(root: Path, kind: str) -> Path | None:
    """The folder of the tokenizer of a language model next to its file, such as `qwen3_tokenizer`, or its folder."""
    if kind in CARRYING and root.is_dir():
        return root if tokenizer_files(root) else None
    folder = root.parent / f"{kind}_tokenizer"
    return folder if root.is_file() and tokenizer_files(folder) else None


@dataclass(frozen=True)
class LanguageModel(TextModel):
    """A decoder language model.

    Args:
        architecture: of its layers.
        chat: the conversation that a prompt is put into.
        states: the hidden states that are taken, `dropped`, `longest`, `filled`: see `LanguageReading`.
        tokenizer_source: where its tokenizer is published, for the hint where none was given.
        pictures: the conversation of prompts with pictures; None where no model of the family reads any.
    """

    architecture: Architecture = QWEN3
    chat: Chat = Chat("{}")  # noqa: RUF009
    states: tuple[int, ...] = (-1,)
    dropped: int = 0
    longest: int = 512
    filled: bool = False
    tokenizer_source: str = "the folder `tokenizer` of the model's diffusers folder"
    pictures: PictureChat | None = None

    entries: ClassVar[tuple[str, ...]] = tuple(f"{prefix}{TABLE}" for prefix in PREFIXES)
    takes_tokenizer: ClassVar[bool] = True
    takes_length: ClassVar[bool] = True

    @property
    def kind(self) -> str:
        return self.architecture.kind

    @property
    def tokenizer_hint(self) -> str:
        own = f"{self.tokenizer_source}, or its `tokenizer.json`"
        return f"give `tokenizer`: {own}, or put the folder next to a single file as `{self.kind}_tokenizer`"

    def of_config(self, config: Mapping[str, Any]) -> TextModelFacts | None:
        if config.get("model_type") not in self.architecture.kinds:
            return None
        text = {**config, **config.get("text_config", {})}
        if "hidden_size" not in text:
            return None
        return TextModelFacts(self.kind, text["hidden_size"], text.get("num_hidden_layers", 0))

    def of_shapes(self, shapes: Shapes) -> TextModelFacts | None:
        prefix = self.architecture.prefix(shapes)
        if prefix is None:
            return None
        config = self.architecture.config(original.below(prefix, shapes))
        return TextModelFacts(self.kind, config["hidden_size"], config["num_hidden_layers"], shapes=shapes)

    def tokenizer(self, files: TextModelFiles) -> Path | None:
        """The tokenizer that the files carry, or that lies next to a single file as `qwen3_tokenizer`."""
        place = files.tokenizer or tokenizer_next_to(files.root, self.kind)
        return place if place and place.exists() else None

    def check_tokenizer(self, files: TextModelFiles) -> None:
        if self.tokenizer(files) is None:
            raise InputError(
                f"`{files.root.name}` ({self.name}) carries no tokenizer", self.tokenizer_hint, "no-tokenizer"
            )

    def reader(self, files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> LanguageModelReader:
        import transformers

        from weft.nodes.models.loading import assembled_text, notice_unread, notice_unread_entries, ready

        self.check_tokenizer(files)
        place = self.tokenizer(files)
        assert place is not None
        tokenizer = load_tokenizer(place, self.tokenizer_hint)
        network_class = getattr(transformers, self.architecture.network_class)
        config = self._config(files)
        weights = language_weights(self.architecture, files, variant)
        network = assembled_text(network_class, config, weights, dtype, files.root.name)
        notice_unread(files.root.name, self.unread(files.facts.shapes))
        if files.root.is_dir():
            notice_unread_entries(files.root, network, self._config_class(files.root))
        reading = LanguageReading(self.chat, self.states, self.dropped, self.longest, self.filled)
        return LanguageModelReader(self.name, ready(network, device), tokenizer, reading)

    def unread(self, shapes: Shapes) -> list[str]:
        """The tensors of a single file that are neither of the layers that read text nor of the rest of such models."""
        prefix = self.architecture.prefix(shapes) or ""
        kept = (*(prefix + one for one in TEXT_PARTS), *OTHER_PARTS)
        return [name for name in shapes if not name.startswith(kept)]

    def _config_class(self, root: Path) -> Any:
        """transformers' class of the configuration of a folder."""
        import transformers

        kinds: Any = transformers.CONFIG_MAPPING
        return kinds[diffusers_folder.read_config(root / "config.json")["model_type"]]

    def _config(self, files: TextModelFiles) -> Any:
        """The configuration of the layers that read text: that of the folder, or from the shapes of a file."""
        import transformers

        if files.root.is_dir():
            from weft.nodes.models.loading import own_config

            found = own_config(diffusers_folder.read_config(files.root / "config.json"))
            return self._config_class(files.root).from_dict(found).get_text_config()
        shapes = files.facts.shapes
        found = self.architecture.config(original.below(self.architecture.prefix(shapes) or "", shapes))
        return getattr(transformers, self.architecture.config_class)(**found)


def language_weights(
    architecture: Architecture, files: TextModelFiles, variant: str
) -> dict[str, Tensor | PackedNumbers]:
    """The weights of the layers that read text, by the names of transformers' class for these alone."""
    from weft.nodes.models.weights_file import file_weights

    paths = list(_files(files.root, variant))
    shapes = files.facts.shapes or {name: shape for path in paths for name, shape in read_shapes(path).items()}
    prefix = files.facts.prefix + (architecture.prefix(shapes) or "")
    found = {name: one for path in paths for name, one in file_weights(path, prefix).items()}
    return {name: one for name, one in found.items() if name.startswith(TEXT_PARTS)}


def _files(root: Path, variant: str) -> Iterator[Path]:
    """The files of a variant of the weights."""
    if root.is_dir():
        yield from diffusers_folder.weights(root)[diffusers_folder.component_variant(root, variant) or ""]
    else:
        yield root
