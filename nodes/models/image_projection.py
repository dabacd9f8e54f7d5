"""The module of most IP-Adapters: what it projects pictures with, and the keys and values of its attention layers.

diffusers' classes project; their names for tensors are not those of files.

Imports torch: only the bodies of nodes and loaders import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterFaceIDImageProjection,
    IPAdapterFaceIDPlusImageProjection,
    IPAdapterFullImageProjection,
    IPAdapterPlusImageProjection,
)
from torch import Tensor, nn

from weft.nodes.models.image_projector import HEAD, LAYER, ImageProjector
from weft.nodes.models.ip_adapter_files import (
    FACES,
    LAYERS,
    PROJECTION,
    IPAdapterFacts,
    numbered_keys,
    under_own_names,
)
from weft.nodes.models.loading import notice_unread, ready
from weft.nodes.models.lora_file import FACE_LORA
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.single_file import below, tensors
from weft.nodes.models.timed_image_projection import TimedImageProjector
from weft.nodes.models.vision_models import EncodedImages


class FixedImageProjector(ImageProjector):
    """An IP-Adapter whose tokens are the same in all steps, with a key and a value for each attention layer.

    Args:
        weights: its tensors: `projection.`, by the names of diffusers' classes, `keys.` and `values.` by the number of
            an attention layer.
        name: of its file, for messages.
    """

    def __init__(self, facts: IPAdapterFacts, weights: Mapping[str, Tensor], dtype: torch.dtype, name: str) -> None:
        super().__init__(facts)
        with init_empty_weights(include_buffers=False):
            self.projection: Any = _projection(facts, weights)
            biased = "keys.0.bias" in weights
            sides = [nn.ModuleList(nn.Linear(facts.width, one, biased) for one in facts.layers) for _ in range(2)]
        self.keys, self.values = sides
        self.fill(weights, dtype, name)

    def project(self, encoded: EncodedImages) -> Tensor:
        """The tokens of pictures."""
        given = encoded.vectors if self.facts.reads_vectors else encoded.tokens
        first = next(self.parameters())
        with network_call("the projection of an IP-Adapter", {"picture": given}):
            projected: Tensor = self.projection(given.to(first.device, first.dtype))
        return projected.float().cpu()

    def project_faces(self, faces: Tensor, tokens: Tensor | None, shortcut: bool) -> Tensor:
        """The tokens of faces `[face, token, channel]`, for an adapter that reads them.

        Args:
            faces: their embeddings `[face, channel]`.
            tokens: of their pictures `[face, token, channel]`, for FaceID Plus.
            shortcut: whether what is made of the face alone is added (FaceID Plus v2).
        """
        first, projection = next(self.parameters()), self.projection
        if tokens is not None:
            projection.clip_embeds = tokens[:, None].to(first.device, first.dtype)
            projection.shortcut = shortcut
        with network_call("the projection of an IP-Adapter", {"face": faces}):
            projected: Tensor = projection(faces.to(first.device, first.dtype))
        projection.clip_embeds = None
        return projected.float().cpu()

    def attended(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The key and the value of each attention layer for tokens `[item, token, channel]`."""
        first = next(self.parameters())
        given = tokens.to(first.device, first.dtype)
        return [(key(given), value(given)) for key, value in zip(self.keys, self.values, strict=True)]


def _projection(facts: IPAdapterFacts, weights: Mapping[str, Tensor]) -> nn.Module:
    """diffusers' module, its sizes from the tensors."""

    def size(name: str, axis: int = 0) -> int:
        return int(weights[f"projection.{name}"].shape[axis])

    if facts.kind == "plain":
        return ImageProjection(facts.reads, facts.width, size("image_embeds.weight") // facts.width)
    if facts.kind == "full":
        kind: Any = IPAdapterFullImageProjection
        full: nn.Module = kind(facts.reads, facts.width)
        return full
    if facts.kind == FACES[0]:
        face: Any = IPAdapterFaceIDImageProjection
        alone: nn.Module = face(
            facts.face,
            facts.width,
            mult=size("ff.net.0.proj.weight") // facts.face,
            num_tokens=size("ff.net.2.weight") // facts.width,
        )
        return alone
    layers = [name for name in weights if LAYER.match(name.removeprefix("projection."))]
    depth, heads = len({name.split(".")[2] for name in layers}), size("layers.0.attn.to_q.weight") // HEAD
    if facts.kind == FACES[1]:
        inner = size("proj_in.weight")
        return IPAdapterFaceIDPlusImageProjection(
            embed_dims=inner,
            output_dims=facts.width,
            hidden_dims=facts.reads,
            id_embeddings_dim=facts.face,
            depth=depth,
            dim_head=HEAD,
            heads=heads,
            num_tokens=size("proj.net.2.weight") // inner,
            ffn_ratio=size("layers.0.ff.1.net.2.weight", 1) / inner,
            ffproj_ratio=size("proj.net.0.proj.weight") // facts.face,
        )
    hidden = size("latents", 2)
    return IPAdapterPlusImageProjection(
        embed_dims=facts.reads,
        output_dims=facts.width,
        hidden_dims=hidden,
        depth=depth,
        dim_head=HEAD,
        heads=heads,
        num_queries=size("latents", 1),
        ffn_ratio=size("layers.0.ff.1.net.2.weight", 1) / hidden,
    )


def load_ip_adapter(facts: IPAdapterFacts, path: Path, dtype: torch.dtype, device: str) -> ImageProjector:
    """The projection of an adapter, with the keys and values of its layers.

    Raises:
        InputError: where weights are missing.
    """
    found = under_own_names(tensors(path, dtype=dtype))
    layers = below(LAYERS, found)
    if facts.timed:
        timed = TimedImageProjector(facts, below(PROJECTION, found), layers, dtype, path.name)
        notice_unread(path.name, [name for name in found if not name.startswith((PROJECTION, LAYERS))])
        return ready(timed, device)
    weights: dict[str, Tensor] = {
        **{f"projection.{name}": one for name, one in _renamed(facts.kind, below(PROJECTION, found))},
        **{
            name: one
            for number, key in enumerate(numbered_keys(layers))
            for name, one in _of_layer(layers, number, key[0])
        },
    }
    projector = FixedImageProjector(facts, weights, dtype, path.name)
    read = {name for number, _ in numbered_keys(layers) for name in _names_of_layer(number)}
    others = [name for name in found if not name.startswith((PROJECTION, LAYERS))]
    left = (LAYERS + name for name in layers if name not in read)
    notice_unread(path.name, [*others, *(name for name in left if not FACE_LORA.match(name))])
    return ready(projector, device)


def _names_of_layer(number: int) -> Iterator[str]:
    for side in ("k", "v"):
        yield from (f"{number}.to_{side}_ip.weight", f"{number}.to_{side}_ip.bias")


def _of_layer(layers: Mapping[str, Tensor], number: int, key: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an attention layer, by the names of `ImageProjector`."""
    for name in _names_of_layer(key):
        if name in layers:
            _, inner, kind = name.split(".")
            yield f"{'keys' if inner == 'to_k_ip' else 'values'}.{number}.{kind}", layers[name]


PLAIN = {"proj.": "image_embeds."}
FACE = {"proj.0.": "ff.net.0.proj.", "proj.2.": "ff.net.2."}
FACE_PLUS = {"proj.0.": "proj.net.0.proj.", "proj.2.": "proj.net.2."}
FULL = {"proj.0.": "ff.net.0.proj.", "proj.2.": "ff.net.2.", "proj.3.": "norm."}
PLUS = {
    "0.norm1.": "ln0.",
    "0.norm2.": "ln1.",
    "0.to_q.": "attn.to_q.",
    "0.to_out.": "attn.to_out.0.",
    "1.0.": "ff.0.",
    "1.1.": "ff.1.net.0.proj.",
    "1.3.": "ff.1.net.2.",
}
"""Names of the authors and diffusers' own: of the whole projection, or of a layer of the resampler."""


def _renamed(kind: str, found: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a projection under diffusers' names."""
    tables = {"plain": PLAIN, "full": FULL, "plus": PLUS, FACES[0]: FACE, FACES[1]: FACE_PLUS}
    for name, one in found.items():
        name = name.removeprefix("perceiver_resampler.") if kind == FACES[1] else name
        match = LAYER.match(name) if kind in ("plus", FACES[1]) else None
        table = PLUS if match else tables[kind]
        layer, rest = (match[0], name[match.end() :]) if match else ("", name)
        if rest.startswith("0.to_kv."):
            key, value = one.chunk(2)
            yield f"{layer}attn.to_k.weight", key
            yield f"{layer}attn.to_v.weight", value
            continue
        whole = kind != "plus" or match
        old = next((old for old in table if whole and rest.startswith(old)), "")
        yield layer + (table[old] + rest.removeprefix(old) if old else rest), one
