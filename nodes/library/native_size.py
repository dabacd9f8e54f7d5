"""Pictures in the size that a model was trained on: ScaleImageToModel."""

from __future__ import annotations

from typing import Literal

from weft.engine import INJECTED, Context, InputError, Upstream, check_pixels, node
from weft.nodes.families import family
from weft.nodes.families.model_details import native_size
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.pictures.fitting import filled, of_pixels
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.pictures.resampling import Filter, resized
from weft.nodes.sampling.model_links import checkpoint_facts, loader_above
from weft.nodes.sizes import Size, SizeTraits, literals_of, size_of
from weft.nodes.values import Model, P

ModelFit = Literal["area", "fill", "stretch"]


def _native(source: Size, facts: CheckpointFacts, fit: ModelFit) -> Size | None:
    """The size of a picture for a model; None where nothing says what the model was trained on."""
    native = native_size(facts)
    if native is None or fit != "area":
        return native
    multiple = family(facts.family).denoiser.size_limits(facts.network.config).multiple * facts.latent_factor
    return of_pixels(source, native.width * native.height, multiple)


def _size(node: Upstream, source: Size | None) -> Size | None:
    given, loader = literals_of(node, "fit"), loader_above(node, Model)
    facts = checkpoint_facts(loader) if loader else None
    return _native(source, facts, given[0]) if source and facts and given else None


@node(category="image", lane="cpu", traits=(SizeTraits(_size, of="image"),))
def ScaleImageToModel(
    image: P, model: Model, *, fit: ModelFit = "area", filter: Filter = "lanczos", context: Context = INJECTED
) -> P:
    """Scale pictures or masks to the size that a model was trained on, with sides that it takes.

    Args:
        image: the pictures, or the masks.
        model: from LoadCheckpoint; its configuration or its family says the size.
        fit: `area` keeps the proportions and takes as many pixels as the model's pictures had; `fill` takes their
            size, and cuts off what is too much; `stretch` takes it and changes the proportions.
        filter: as in ScaleImage.
    """
    facts = context.located(model.source).facts
    pixels = pixels_of(image)
    source = size_of(pixels)
    size = _native(source, facts, fit) if isinstance(facts, CheckpointFacts) else None
    if size is None:
        raise InputError(
            f"nothing says which size the {model.family} model was trained on", "use ScaleImage", "unsupported-by-model"
        )
    check_pixels(*size, len(pixels), context.limits)
    box = filled(source, size, "centre") if fit == "fill" else None
    return as_given(image, resized(pixels, size, filter, box))
