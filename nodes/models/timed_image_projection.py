"""The module of an IP-Adapter for SD 3, whose tokens depend on the timestep (InstantX's, by diffusers' modules).

A resampler reads the tokens of pictures with the timestep; each attention layer of the denoiser has a norm that reads
the timestep too, and norms for the heads of its own attention.

Imports torch: only the bodies of nodes and loaders import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from torch import Tensor, nn

from weft.nodes.models.image_projector import HEAD, LAYER, ImageProjector
from weft.nodes.models.ip_adapter_files import IPAdapterFacts, numbered_keys
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.vision_models import EncodedImages


class TimedImageProjector(ImageProjector):
    """An IP-Adapter whose tokens are others in each step.

    Args:
        projection: the tensors of its resampler, by their names in its file.
        layers: those of its attention layers, `NUMBER.NAME`.
        name: of its file, for messages.
    """

    def __init__(
        self,
        facts: IPAdapterFacts,
        projection: Mapping[str, Tensor],
        layers: Mapping[str, Tensor],
        dtype: torch.dtype,
        name: str,
    ) -> None:
        super().__init__(facts)
        numbers = [number for number, _ in numbered_keys(layers)]
        heads = int(layers[f"{numbers[0]}.norm_q.weight"].shape[0]) if f"{numbers[0]}.norm_q.weight" in layers else HEAD
        hidden = int(projection["proj_in.weight"].shape[0])
        with init_empty_weights(include_buffers=False):
            self.projection = _resampler(facts, projection)
            self.layers = nn.ModuleList(
                SD3IPAdapterJointAttnProcessor2_0(channels, facts.width, heads, hidden) for channels in facts.layers
            )
        places = {number: place for place, number in enumerate(numbers)}
        self.fill({**dict(_renamed(projection)), **dict(_placed(layers, places))}, dtype, name)

    def project(self, encoded: EncodedImages) -> Tensor:
        """The tokens of pictures as the encoder made them: they are projected in each step."""
        return encoded.tokens

    def attended_at(self, tokens: Tensor, timestep: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The key and the value of each attention layer at a timestep, `[item, token, channel]`.

        Args:
            tokens: of pictures `[item, picture, token, channel]`.
            timestep: the network's, a scalar.
        """
        first = next(self.parameters())
        given = tokens.flatten(0, 1).to(first.device, first.dtype)
        times = timestep.to(first.device).expand(len(given))
        with network_call("the projection of an IP-Adapter", {"picture": given}):
            made, embedded = self.projection(given, times)
        count = tokens.shape[1]
        found = []
        for layer in self.layers:
            normed = layer.norm_ip(made, temb=embedded)  # type: ignore[operator]
            pair = (layer.to_k_ip(normed), layer.to_v_ip(normed))  # type: ignore[operator]
            key, value = (one.unflatten(0, (-1, count)).flatten(1, 2) for one in pair)
            found.append((key, value))
        return found


def _resampler(facts: IPAdapterFacts, weights: Mapping[str, Tensor]) -> nn.Module:
    """diffusers' module, its sizes from the tensors."""
    hidden = int(weights["proj_in.weight"].shape[0])
    kind: Any = IPAdapterTimeImageProjection
    made: nn.Module = kind(
        embed_dim=facts.reads,
        output_dim=facts.width,
        hidden_dim=hidden,
        depth=len({name.split(".")[1] for name in weights if LAYER.match(name)}),
        dim_head=HEAD,
        heads=int(weights["layers.0.0.to_q.weight"].shape[0]) // HEAD,
        num_queries=int(weights["latents"].shape[1]),
        ffn_ratio=int(weights["layers.0.1.1.weight"].shape[0]) // hidden,
        timestep_in_dim=int(weights["time_embedding.linear_1.weight"].shape[1]),
    )
    return made


NAMES = {
    "0.norm1.": "ln0.",
    "0.norm2.": "ln1.",
    "0.to_q.": "attn.to_q.",
    "0.to_kv.": "attn.to_kv.",
    "0.to_out.": "attn.to_out.0.",
    "1.0.": "adaln_norm.",
    "1.1.": "ff.net.0.proj.",
    "1.3.": "ff.net.2.",
    "2.1.": "adaln_proj.",
}
"""Names of the authors and diffusers' own, of a layer of the resampler."""


def _renamed(found: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a resampler under the names of `TimedImageProjector`."""
    for name, one in found.items():
        match = LAYER.match(name)
        layer, rest = (match[0], name[match.end() :]) if match else ("", name)
        old = next((old for old in NAMES if match and rest.startswith(old)), "")
        yield f"projection.{layer}{NAMES[old] + rest.removeprefix(old) if old else rest}", one


def _placed(layers: Mapping[str, Tensor], places: Mapping[int, int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of attention layers, by the place of each in their order."""
    for name, one in layers.items():
        number, _, rest = name.partition(".")
        yield f"layers.{places.get(int(number), number) if number.isdecimal() else number}.{rest}", one
