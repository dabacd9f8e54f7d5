"""How image encoders and adapters of pictures are loaded; importing this module registers it and imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.engine import Loading, loader_for
from weft.nodes.families import checkpoint_in
from weft.nodes.image_prompt_values import ImageEncoder, IPAdapter, PictureProjection, Redux, UnCLIP
from weft.nodes.models.grounding_pictures import PictureProjectionFacts, load_picture_projection
from weft.nodes.models.ip_adapter_files import IPAdapterFacts
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.redux_files import ReduxFacts, load_redux
from weft.nodes.models.source_facts import facts_of
from weft.nodes.models.unclip import ImageNoise, load_image_noise, no_noise
from weft.nodes.models.vision_models import ImageReader, VisionFacts, load_image_reader

if TYPE_CHECKING:
    from weft.nodes.models.image_projector import ImageProjector


@loader_for(ImageEncoder)
def load_image_encoder(recipe: ImageEncoder, loading: Loading) -> ImageReader:
    """The vision model, with what prepares pictures for it."""
    import torch

    source = loading.locate(recipe.source)
    facts = facts_of(source, VisionFacts, "an image encoder", "LoadImageEncoder")
    with reading_weights(source.text):
        return load_image_reader(facts, source.root, recipe.variant, getattr(torch, recipe.dtype), loading.device)


@loader_for(IPAdapter)
def load_projector(recipe: IPAdapter, loading: Loading) -> ImageProjector:
    """The projection of an IP-Adapter, with the keys and values of its layers."""
    import torch

    from weft.nodes.models.finite_weights import check_finite
    from weft.nodes.models.image_projection import load_ip_adapter

    source = loading.locate(recipe.source)
    facts = facts_of(source, IPAdapterFacts, "an IP-Adapter", "LoadIPAdapter")
    (file,) = source.files
    with reading_weights(source.text):
        projector = load_ip_adapter(facts, file, getattr(torch, recipe.dtype), loading.device)
    check_finite(projector.named_parameters(), source.text)
    return projector


@loader_for(Redux)
def load_image_embedder(recipe: Redux, loading: Loading) -> Any:
    """The projection of encoded pictures to tokens of a prompt."""
    import torch

    source = loading.locate(recipe.source)
    facts = facts_of(source, ReduxFacts, "a Redux", "LoadRedux")
    with reading_weights(source.text):
        return load_redux(facts, source.root, recipe.variant, getattr(torch, recipe.dtype), loading.device)


@loader_for(PictureProjection)
def load_projection(recipe: PictureProjection, loading: Loading) -> Any:
    """GLIGEN's projection of pictures to vectors of phrases."""
    import torch

    source = loading.locate(recipe.source)
    facts_of(source, PictureProjectionFacts, "GLIGEN's projection of pictures", "LoadPictureProjection")
    with reading_weights(source.text):
        return load_picture_projection(source.root, recipe.variant, getattr(torch, recipe.dtype), loading.device)


@loader_for(UnCLIP)
def load_unclip(recipe: UnCLIP, loading: Loading) -> ImageNoise:
    """The mean and the deviation of vectors of pictures, with their schedule of noise."""
    source = loading.locate(recipe.source)
    whole = checkpoint_in(source.facts)
    if whole is None:
        raise no_noise(source.text)
    with reading_weights(source.text):
        return load_image_noise(whole.contents, source.root, recipe.variant)
