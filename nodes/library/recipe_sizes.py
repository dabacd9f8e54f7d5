"""How large the modules of recipes will be: what the headers of their files count, in their precision or packed.

The residency makes room by these before it loads. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.engine import Loading
from weft.nodes.families import checkpoint_in, family, text_models_in, vae_in
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import ControlNetFacts
from weft.nodes.models.gguf_header import BLOCKS, stored_bytes
from weft.nodes.models.quantised_weights import FLOATS_8, without_scales
from weft.nodes.models.safetensors_header import read_header
from weft.nodes.models.stored_weights import files_of_variant
from weft.nodes.models.tensor_header import Header
from weft.nodes.prompting.clip import Clip
from weft.nodes.values import VAE, ControlNet, LanguageSight, Model, MotionAdapter, TextEncoder, Weights

BYTES: Mapping[str, int] = {"float32": 4}
"""Of a number in a precision; all others take two."""

TABLES = ("embed_tokens.weight", "shared.weight", "token_embedding.weight", "position_embedding.weight")
"""What the names of tables end with, which are not stored in eight bits."""

UNREAD = ("visual.", "model.visual.", "lm_head.")
"""What the names of weights begin with that language models have and text encoders do not load."""


def module_size(recipe: Weights, loading: Loading) -> int:
    """Bytes of the module of a recipe; 0 where its class is none of those known here."""
    size: Callable[[Any, Loading], int] | None = _SIZES.get(type(recipe))
    return size(recipe, loading) if size else 0


def _model_size(recipe: Model[Any], loading: Loading) -> int:
    """Bytes of a denoiser's network, with its motion modules."""
    source = loading.locate(recipe.source)
    facts = checkpoint_in(source.facts)
    folder = component(source.root, family(recipe.family).network.folder) if source.root.is_dir() else None
    network = _bytes(source.root, folder, recipe, facts.network.prefix if facts else "")
    return network + (_motion_size(recipe, recipe.motion, loading) if recipe.motion else 0)


def _motion_size(recipe: Model[Any], motion: MotionAdapter, loading: Loading) -> int:
    """Bytes of motion modules."""
    source = loading.locate(motion.source)
    folder = source.root if source.root.is_dir() else None
    return _bytes(source.root, folder, replace(recipe, variant=motion.variant), "")


def _vae_size(recipe: VAE[Any], loading: Loading) -> int:
    """Bytes of a VAE."""
    source = loading.locate(recipe.source)
    facts = vae_in(source.facts)
    if facts is None:
        return 0
    folder = component(source.root, "vae") if source.root.is_dir() else None
    return _bytes(source.root, folder, recipe, facts.prefix)


def _control_net_size(recipe: ControlNet[Any], loading: Loading) -> int:
    """Bytes of a ControlNet."""
    source = loading.locate(recipe.source)
    if not isinstance(source.facts, ControlNetFacts):
        return 0
    format = family(recipe.family).control_format(source.facts)
    folder = component(source.root, format.folder) if source.root.is_dir() else None
    return _bytes(source.root, folder, recipe, source.facts.network.prefix)


def _text_encoder_size(recipe: TextEncoder[Any], loading: Loading) -> int:
    """Bytes of all text models."""
    return sum(_text_models(recipe, loading))


def _sight_size(recipe: LanguageSight[Any], loading: Loading) -> int:
    """Bytes of the part of a language model that reads pictures."""
    source = loading.locate(recipe.source)
    whole, texts = checkpoint_in(source.facts), text_models_in(source.facts)
    found = [*whole.text_models.values()] if whole else [*texts.models] if texts else []
    folders = [source.root / facts.folder if source.root.is_dir() else None for facts in found]
    return sum(_bytes(source.root, folder, recipe, prefix) for folder in folders for prefix in UNREAD[:2])


def _text_models(recipe: TextEncoder[Any], loading: Loading) -> Iterator[int]:
    """The bytes of each text model."""
    for source in [loading.locate(digest) for _, digest in recipe.files] or [loading.locate(recipe.source)]:
        checkpoint = None if recipe.files else checkpoint_in(source.facts)
        texts = text_models_in(source.facts)
        for facts in checkpoint.text_models.values() if checkpoint else texts.models if texts else ():
            folder = source.root / facts.folder if source.root.is_dir() else None
            yield _bytes(source.root, folder, recipe, facts.prefix, UNREAD, packs=facts.kind != Clip.kind)


def _bytes(
    root: Path, folder: Path | None, recipe: Weights, prefix: str, unread: tuple[str, ...] = (), packs: bool = True
) -> int:
    """The bytes of a component's weights in memory.

    Args:
        folder: its folder; None where the root is a file.
        prefix: what their names begin with in a file.
        unread: what the names of those begin with, after the prefix, that are not loaded.
        packs: whether weights stay as small as the file has them.
    """
    files: Iterable[Path] = [root] if folder is None else files_of_variant(folder, recipe.variant)
    prefix = prefix if folder is None or prefix.startswith(UNREAD) else ""
    left_out = tuple(prefix + one for one in unread)
    return sum(
        _held(header, name, recipe, packs and folder is None)
        for header in map(read_header, files)
        for name in without_scales(header.shapes)
        if name.startswith(prefix) and not (left_out and name.startswith(left_out))
    )


def _held(header: Header, name: str, recipe: Weights, packs: bool) -> int:
    """The bytes of one weight in memory."""
    shape, dtype = header.shapes[name], header.dtypes[name]
    numbers, of_layer = math.prod(shape), name.endswith(".weight") and len(shape) in (2, 4)
    if packs and of_layer and dtype in BLOCKS:
        return stored_bytes(dtype, shape)
    if packs and of_layer and dtype in FLOATS_8:
        return numbers
    if recipe.storage == "nf4" and of_layer and not name.endswith(TABLES):
        return shape[0] * math.ceil(numbers / shape[0] / 64) * (32 + BYTES["float32"])
    if recipe.storage and of_layer and not name.endswith(TABLES):
        return numbers + BYTES["float32"] * shape[0]
    return numbers * BYTES.get(recipe.dtype, 2)


_SIZES: Mapping[type[Weights], Callable[[Any, Loading], int]] = {
    Model: _model_size,
    TextEncoder: _text_encoder_size,
    LanguageSight: _sight_size,
    VAE: _vae_size,
    ControlNet: _control_net_size,
}
