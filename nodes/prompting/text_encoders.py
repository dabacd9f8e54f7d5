"""The text models that families read prompts with: CLIP's, OpenCLIP's and T5's, told by headers, and built.

A family lists its own (`Family.texts`). In a whole checkpoint each is a component's folder, or names of a single file
below a prefix; or it comes alone, and which one it is is told by what comes beside it (`assigned`). T5's tokenizer is
in no single file: it is looked for beside it, then in the hub's cache. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Resolved, listed
from weft.nodes.models import hub
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import PromptWidths, TextModelFacts
from weft.nodes.models.safetensors_header import Shapes, read_shapes

if TYPE_CHECKING:
    import torch

    from weft.nodes.families.family import Family
    from weft.nodes.prompting.prompt_encoder import Reader

T5_TOKENIZER = "t5_tokenizer"
"""The folder beside a single file that has T5's tokenizer."""

T5_IN_HUB = {
    "black-forest-labs/FLUX.1-dev": "tokenizer_2",
    "black-forest-labs/FLUX.1-schnell": "tokenizer_2",
    "stabilityai/stable-diffusion-3-medium-diffusers": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-medium": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-large": "tokenizer_3",
}
"""Where the hub's cache may have T5's tokenizer: a folder of a model, by the model's id."""

OPEN_ENTRY, T5_ENTRY = "token_embedding.weight", "shared.weight"
ENTRIES = ("embeddings.token_embedding.weight", "text_model.embeddings.token_embedding.weight", OPEN_ENTRY, T5_ENTRY)
"""A tensor of every text model's, by which it is found in a file: as transformers has it, OpenCLIP, and T5."""


@dataclass(frozen=True)
class Place:
    """Where a text model is.

    Args:
        root: a component's folder, or a file.
        words: the folder of its own tokenizer, where it may have one.
        prefix: what the names of its tensors begin with in the file.
    """

    root: Path
    words: Path | None = None
    prefix: str = ""


@dataclass(frozen=True)
class TextModel:
    """One of the text models of a family.

    Args:
        name: what files of text models and of embeddings call it: `clip_l`.
        folder: its component in a diffusers folder; that of its tokenizer is named alike.
        prefixes: what the names of its tensors may begin with in a single file.
        optional: whether the family has models without it.
        projects: whether its vector of a prompt is projected.
        activation: of its layers, as transformers calls it.
        padding: what its tokenizer pads with, where the checkpoint has none of its own; the end token where left out.
        unread: layers at the end of OpenCLIP's model that were left out when the family was trained.
        length: tokens that T5 has a text padded to; 0 for CLIP.
        vector_alone: whether nothing but CLIP's vector of a prompt is read.
    """

    name: str
    folder: str
    prefixes: tuple[str, ...]
    optional: bool = False
    projects: bool = False
    activation: str = "quick_gelu"
    padding: str | None = None
    unread: int = 0
    length: int = 0
    vector_alone: bool = False

    @property
    def kind(self) -> str:
        """Of the text model, as `TextModelFacts` has it."""
        return "t5" if self.length else "clip"

    def facts(self, contents: Contents) -> TextModelFacts | None:
        """What the headers of a checkpoint tell of it; None where it is not there."""
        if not contents.shapes:
            config = contents.configs.get(self.folder)
            return None if config is None else of_config(config)
        prefix = self.prefix(contents.shapes)
        return None if prefix is None else of_shapes(original.below(prefix, contents.shapes))

    def prefix(self, shapes: Shapes) -> str | None:
        """What the names of its tensors begin with in a file with these; None where it is not there."""
        return next((one for one in self.prefixes if any(one + entry in shapes for entry in ENTRIES)), None)

    def within(self, root: Path) -> Place | None:
        """Where it is in a checkpoint; None where it is not there."""
        if root.is_dir():
            folder = root / self.folder
            words = root / self.folder.replace("text_encoder", "tokenizer")
            return Place(folder, words) if (folder / "config.json").is_file() else None
        prefix = self.prefix(read_shapes(root))
        return None if prefix is None else Place(root, prefix=prefix)

    def read(self, place: Place, variant: str, dtype: torch.dtype) -> Reader:
        """It, with its tokenizer."""
        return self._t5(place, variant, dtype) if self.length else self._clip(place, variant, dtype)

    def _clip(self, place: Place, variant: str, dtype: torch.dtype) -> Reader:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        from weft.nodes.models.loading import assembled_text, pretrained
        from weft.nodes.prompting.clip_tokenizer import clip_tokenizer
        from weft.nodes.prompting.prompt_encoder import Reader

        kind: Any = CLIPTextModelWithProjection if self.projects else CLIPTextModel
        if place.root.is_dir():
            model = pretrained(kind, place.root, variant, dtype=dtype)
        else:
            config, weights = self._single(place)
            model = assembled_text(kind, CLIPTextConfig(**config), weights, dtype)
        words = clip_tokenizer(place.words, self.padding)
        return Reader(self.name, model, words, vector_alone=self.vector_alone)

    def _single(self, place: Place) -> tuple[original.Config, dict[str, torch.Tensor]]:
        """The configuration of CLIP's model in a file, and its weights under transformers' names."""
        shapes = original.below(place.prefix, read_shapes(place.root))
        if OPEN_ENTRY not in shapes:
            found = original.text_config(shapes) | {"hidden_act": self.activation}
            return found, original.text_weights(place.root, place.prefix)
        found = original.open_text_config(shapes)
        layers = found["num_hidden_layers"] - self.unread
        return found | {"num_hidden_layers": layers}, original.open_text_weights(place.root, place.prefix)

    def _t5(self, place: Place, variant: str, dtype: torch.dtype) -> Reader:
        from transformers import AutoTokenizer, T5Config, T5EncoderModel

        from weft.nodes.models.loading import assembled_text, pretrained
        from weft.nodes.prompting.prompt_encoder import Reader

        words = t5_tokenizer_folder(place)
        if place.root.is_dir():
            model = pretrained(T5EncoderModel, place.root, variant, dtype=dtype)
        else:
            config = T5Config(**original.t5_config(original.below(place.prefix, read_shapes(place.root))))
            weights = original.below(place.prefix, original.tensors(place.root, place.prefix))
            model = assembled_text(T5EncoderModel, config, weights, dtype)
        return Reader(self.name, model, AutoTokenizer.from_pretrained(words, local_files_only=True), self.length)


def alone(source: Resolved) -> Place:
    """Where a text model is that is a source by itself."""
    if not source.root.is_dir():
        return Place(source.root)
    folder = source.facts.folder if isinstance(source.facts, TextModelFacts) else ""
    words = source.root / folder.replace("text_encoder", "tokenizer")
    return Place(source.root / folder, words if (words / "tokenizer_config.json").is_file() else None)


Assigned = dict[TextModel, tuple[int, TextModelFacts]]
"""For each text model of a family, the number of the source that it is in, and what its headers say."""


def assigned(family: Family, sources: Sequence[Resolved], widths: PromptWidths) -> Assigned:
    """Which of some text models, by number, is which of a family's: of two of CLIP's, the smaller is the first.

    Args:
        sources: the text models, each alone.
        widths: what the denoiser reads.

    Raises:
        InputError: where one is missing or there twice, or is not of the denoiser's size.
    """
    headers = [source.facts for source in sources if isinstance(source.facts, TextModelFacts)]
    named = ", ".join(f"`{source.text}` ({header})" for source, header in zip(sources, headers, strict=True))
    message = f"{family.name} reads prompts with {listed(text.name for text in family.texts) or 'none'}; found {named}"
    given: Assigned = {}
    for kind in ("clip", "t5"):
        wanted = [text for text in family.texts if text.kind == kind]
        sizes = {(one.width, one.layers): (number, one) for number, one in enumerate(headers) if one.kind == kind}
        count = sum(one.kind == kind for one in headers)
        if count > len(wanted) or len(sizes) < count:
            raise InputError(message, "give each of them once")
        fewer = wanted if count == len(wanted) else [text for text in wanted if not text.optional]
        if count < len(fewer):
            raise InputError(message, "give what is missing too")
        given |= zip(fewer, (sizes[size] for size in sorted(sizes)), strict=True)
    _check_widths(family, given, sources, widths)
    for text, (number, header) in given.items():
        if text.projects and not header.projects:
            message = f"`{sources[number].text}` has no projection, which {family.name} reads of {text.name}"
            raise InputError(message, "give a file of the text model with its projection")
    return given


def _check_widths(
    family: Family,
    given: Assigned,
    sources: Sequence[Resolved],
    widths: PromptWidths,
) -> None:
    """Raise `InputError` where text models make prompts or vectors of other channels than the denoiser reads."""
    clip = sum(header.width for _, header in given.values() if header.kind == "clip")
    t5 = sum(header.width for _, header in given.values() if header.kind == "t5")
    names = listed(text.name for text in family.texts)
    prompts = t5 if any(text.length for text in family.texts) else clip
    for what, made, read in (("prompts", prompts, widths.prompt), ("vectors", clip, widths.vector)):
        if made and read and made != read:
            files = listed(f"`{source.text}`" for source in sources)
            message = f"of {files} come {what} of {made} channels, and the model reads {read}"
            raise InputError(message, f"{family.name} reads prompts with {names}: give those of the model")


def facts_of(contents: Contents) -> TextModelFacts | None:
    """What the headers of a text model tell that comes alone; None where it is none."""
    return of_shapes(contents.shapes) if contents.shapes else of_config(contents.configs.get("", {}))


def of_config(config: Mapping[str, Any]) -> TextModelFacts | None:
    """What the configuration of a text model tells; None where it is none."""
    if config.get("model_type") == "t5" and "d_model" in config:
        return TextModelFacts("t5", config["d_model"], config.get("num_layers", 0))
    if config.get("model_type") == "clip_text_model" and "hidden_size" in config:
        projects = "CLIPTextModelWithProjection" in str(config.get("architectures"))
        return TextModelFacts("clip", config["hidden_size"], config.get("num_hidden_layers", 0), projects)
    return None


def of_shapes(shapes: Shapes) -> TextModelFacts | None:
    """What the shapes of a text model's tensors tell; None where they are of none."""
    entry = next((entry for entry in ENTRIES if entry in shapes), None)
    if entry is None or len(shapes[entry]) != 2:
        return None
    width = shapes[entry][1]
    projects = "text_projection" in shapes or "text_projection.weight" in shapes
    layers = (
        *("encoder.block.{}.layer.0.layer_norm.weight", "transformer.resblocks.{}.mlp.c_fc.weight"),
        *("text_model.encoder.layers.{}.mlp.fc1.weight", "encoder.layers.{}.mlp.fc1.weight"),
    )
    kind, depth = "t5" if entry == T5_ENTRY else "clip", max(original.count(shapes, pattern) for pattern in layers)
    return TextModelFacts(kind, width, depth, projects)


def t5_tokenizer_folder(place: Place) -> Path:
    """Where T5's tokenizer is.

    Raises:
        InputError: where it is neither beside the weights nor in the hub's cache.
    """
    beside = place.words or place.root.parent / T5_TOKENIZER
    found = [beside]
    for hub_id, folder in T5_IN_HUB.items():
        snapshot = hub.snapshot(hub_id, hub.cache_folder())
        found += [snapshot / folder] if snapshot else []
    present = next((folder for folder in found if (folder / "tokenizer_config.json").is_file()), None)
    if present is None:
        raise InputError(
            f"`{place.root.name}` has T5's weights, and T5's tokenizer is neither beside it nor in the hub's cache",
            f"put the folder `tokenizer_3` of SD 3, or `tokenizer_2` of FLUX.1, beside it as `{beside.name}`",
        )
    return present
