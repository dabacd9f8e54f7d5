"""Static checks of pictures as prompts: adapters against image encoders and models, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.image_prompt_values import ImageEmbedding, ImageEncoder, IPAdapter
from weft.nodes.models.denoiser import ImageLayer
from weft.nodes.models.ip_adapter_files import IPAdapterFacts, check_encoder, check_layers
from weft.nodes.models.network_blocks import check_modules, check_unet_blocks, number_for, read_blocks
from weft.nodes.models.vision_models import VisionFacts


def adapter_reads(apply: Upstream) -> Iterator[NodeProblem]:
    """An IP-Adapter must read what the image encoder makes."""
    adapter, encoder = ip_adapter_of(apply), encoder_of(apply)
    if adapter and encoder:
        (one, facts), (other, vision) = adapter, encoder
        try:
            check_encoder(facts, vision.width, vision.vector)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "embedding", after=f"; `{one.call.id}` and `{other.call.id}`")


def ip_adapter_fits(
    apply: Upstream, layers: Sequence[ImageLayer], config: Mapping[str, Any], model: str
) -> Iterator[NodeProblem]:
    """An IP-Adapter must have been made for a network of the model's structure, and act in parts that it has.

    Args:
        apply: a node behind a sampler; one that applies no adapter has no problem.
        layers: of the model's network, in which adapters act.
        config: of the model's network.
        model: for messages.
    """
    if (adapter := ip_adapter_of(apply)) is None:
        return
    loader, facts = adapter
    try:
        check_layers(facts, layers, model)
        layer_factors(1.0, apply.literals.get("blocks", ""), layers, config)
    except InputError as refusal:
        if refusal.code == "malformed-blocks":
            return  # The node's own check says so.
        yield NodeProblem.of(refusal, "guide", after=f"; `{loader.call.id}` and `{apply.call.id}`")


def layer_factors(
    scale: float, blocks: str, layers: Sequence[ImageLayer], config: Mapping[str, Any]
) -> tuple[float, ...]:
    """The factor of an adapter's output in each layer.

    Args:
        blocks: factors of `scale` for parts of the network, as text; the others have 0. Empty is 1 for all.
        config: of the network.

    Raises:
        InputError: where the network has no such part, or none with attention to prompts.
    """
    names, read = [layer.name for layer in layers], read_blocks(blocks)
    check_unet_blocks(read, config)
    check_modules(read, names)
    return tuple(scale * number_for(name, read, 0.0 if read else 1.0, config) for name in names)


def ip_adapter_of(apply: Upstream) -> tuple[Upstream, IPAdapterFacts] | None:
    """The loader of the IP-Adapter that a node applies, and what its headers say."""
    loader = apply.above_by_type(IPAdapter)
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    return (loader, facts) if loader and isinstance(facts, IPAdapterFacts) else None


def encoder_of(apply: Upstream) -> tuple[Upstream, VisionFacts] | None:
    """The loader of the image encoder behind the pictures that a node applies, and what its headers say."""
    encode = apply.above_by_type(ImageEmbedding)
    loader = encode.above_by_type(ImageEncoder) if encode else None
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    return (loader, facts) if loader and isinstance(facts, VisionFacts) else None
