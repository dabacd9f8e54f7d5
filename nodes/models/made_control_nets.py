"""ControlNets that a node has made: a file of their weights with their configuration in its metadata. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save

from weft.nodes.models.loading import assembled
from weft.nodes.models.safetensors_header import header_in

CONFIG = "config"
"""The entry of the metadata with the configuration, as JSON."""


def control_net_file(network: Any, metadata: Mapping[str, str]) -> bytes:
    """The file of a ControlNet, in float32."""
    weights = {name: one.detach().float().cpu().contiguous() for name, one in sorted(network.state_dict().items())}
    return save(weights, {"format": "pt", CONFIG: network.to_json_string(), **metadata})


def made_network(content: bytes, dtype: torch.dtype) -> Any:
    """diffusers' module of the bytes of a file."""
    import diffusers

    config = json.loads(header_in(content, "a trained ControlNet").metadata[CONFIG])
    network_class: Any = getattr(diffusers, config["_class_name"])
    return assembled(network_class, config, dict(load(content)), dtype)


def config_of(content: bytes) -> bytes:
    """The configuration in the bytes of a file, as diffusers writes it next to its weights."""
    return header_in(content, "a trained ControlNet").metadata[CONFIG].encode()
