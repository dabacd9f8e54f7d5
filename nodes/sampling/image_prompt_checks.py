"""Static checks of pictures as prompts: adapters against image encoders and models, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.image_prompt_values import ImageEmbedding, ImageEncoder, IPAdapter, PictureProjection, Redux
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.denoiser_facts import ImageLayer
from weft.nodes.models.grounding_pictures import PictureProjectionFacts
from weft.nodes.models.ip_adapter_files import IPAdapterFacts, check_encoder, check_layers
from weft.nodes.models.network_blocks import check_modules, check_unet_blocks, number_for, read_blocks
from weft.nodes.models.recognition import RAISED
from weft.nodes.models.redux_files import ReduxFacts
from weft.nodes.models.unclip import no_noise
from weft.nodes.models.vision_models import VisionFacts


def adapter_reads(apply: Upstream) -> Iterator[NodeProblem]:
    """An IP-Adapter must read what the image encoder makes."""
    adapter, encoder = ip_adapter_of(apply), encoder_of(apply)
    if adapter and adapter[1].face and "face" not in apply.call.type.inputs:
        yield NodeProblem.of(reads_faces(), "ip_adapter", after=f"; `{adapter[0].call.id}`")
    elif adapter and encoder:
        (one, facts), (other, vision) = adapter, encoder
        try:
            check_encoder(facts, vision.width, vision.vector)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "embedding", after=f"; `{one.call.id}` and `{other.call.id}`")


def reads_faces() -> InputError:
    """The error where an adapter that reads the embedding of a face is given pictures alone."""
    return InputError(
        "the IP-Adapter reads the embedding of a face (FaceID)",
        "use ApplyFaceID, with LoadFaceEmbedding",
        "unsupported-by-model",
    )


def image_vector_fits(apply: Upstream, width: int, noise: bool, model: str) -> Iterator[NodeProblem]:
    """A model must read the vector of a picture, as the image encoder makes it.

    Args:
        width: channels of the vector that the model reads; 0 where it reads none.
        noise: whether its checkpoint has what noise for vectors depends on.
        model: for messages.
    """
    encoder = encoder_of(apply)
    if not width:
        message = f"{model} reads no vector of a picture"
        yield NodeProblem("model", message, "use a Stable unCLIP model, or an IP-Adapter", "unsupported-by-model")
    elif not noise:
        yield NodeProblem.of(no_noise(model), "model")
    elif encoder and encoder[1].vector != width:
        message = (
            f"{model} reads vectors of {width} channels, and the image encoder of `{encoder[0].call.id}` makes "
            f"vectors of {encoder[1].vector}"
        )
        hint = "encode the picture with the model's own image encoder: LoadImageEncoder takes its folder"
        yield NodeProblem("embedding", message, hint, "wrong-channels")


def redux_reads(apply: Upstream) -> Iterator[NodeProblem]:
    """Redux must read what the image encoder makes."""
    redux, encoder = _redux_of(apply), encoder_of(apply)
    if redux and encoder and redux[1].reads != encoder[1].width:
        message = (
            f"Redux reads tokens of {redux[1].reads} channels, and the image encoder makes tokens of "
            f"{encoder[1].width}; `{redux[0].call.id}` and `{encoder[0].call.id}`"
        )
        hint = "encode the picture with Redux's own image encoder: LoadImageEncoder takes the folder of its pipeline"
        yield NodeProblem("embedding", message, hint, "wrong-channels")


def projection_reads(apply: Upstream) -> Iterator[NodeProblem]:
    """GLIGEN's projection must read the vectors that the image encoder makes."""
    loader, encoder = apply.above_by_type(PictureProjection), encoder_of(apply)
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    if loader and encoder and isinstance(facts, PictureProjectionFacts) and facts.width != encoder[1].vector:
        message = (
            f"the projection reads vectors of {facts.width} channels, and the image encoder makes vectors of "
            f"{encoder[1].vector}; `{loader.call.id}` and `{encoder[0].call.id}`"
        )
        hint = "encode the picture with the pipeline's own image encoder: LoadImageEncoder takes its folder"
        yield NodeProblem("embedding", message, hint, "wrong-channels")


def redux_fits(apply: Upstream, width: int, reads_tokens: bool, model: str) -> Iterator[NodeProblem]:
    """Redux must make tokens of a prompt for the model.

    Args:
        apply: a node behind a sampler; one that applies no Redux has no problem.
        width: channels of the model's prompts.
        reads_tokens: whether the model reads tokens of pictures.
        model: for messages.
    """
    redux = _redux_of(apply)
    if redux and not (reads_tokens and redux[1].width == width):
        message = (
            f"Redux makes tokens of {redux[1].width} channels for FLUX.1, and {model} reads prompts of {width}; "
            f"`{redux[0].call.id}` and `{apply.call.id}`"
        )
        yield NodeProblem("guide", message, "use it with a model of FLUX.1", "wrong-adapter")


def _redux_of(apply: Upstream) -> tuple[Upstream, ReduxFacts] | None:
    loader = apply.above_by_type(Redux)
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    return (loader, facts) if loader and isinstance(facts, ReduxFacts) else None


def ip_adapter_fits(
    apply: Upstream, denoiser: type[Denoiser], config: Mapping[str, Any], model: str
) -> Iterator[NodeProblem]:
    """An IP-Adapter must have been made for a network of the model's structure, and act in parts that it has.

    Args:
        apply: a node behind a sampler; one that applies no adapter has no problem.
        denoiser: of the model's family.
        config: of the model's network.
        model: for messages.
    """
    if (adapter := ip_adapter_of(apply)) is None:
        return
    loader, facts = adapter
    try:
        layers = denoiser.image_layers(config)
        check_layers(facts, layers, model)
        layer_factors(1.0, apply.literals.get("blocks", ""), layers, config)
    except RAISED:
        return  # A configuration unlike any network's is refused as the network is loaded.
    except InputError as refusal:
        if refusal.code == "malformed-blocks" and not _is_readable(apply):
            return  # The node's own check says so.
        yield NodeProblem.of(refusal, "guide", after=f"; `{loader.call.id}` and `{apply.call.id}`")


def _is_readable(apply: Upstream) -> bool:
    """Whether the factors of blocks can be read, whatever the model."""
    try:
        read_blocks(apply.literals.get("blocks", ""))
    except InputError:
        return False
    return True


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
