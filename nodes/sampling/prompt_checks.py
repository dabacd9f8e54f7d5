"""Static checks of what acts with prompts against the model that reads them: widths, ControlNets, pictures, places."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.families import family
from weft.nodes.models.facts import ControlNetFacts
from weft.nodes.models.unclip import has_noise
from weft.nodes.sampling.image_prompt_checks import image_vector_fits, ip_adapter_fits, redux_fits
from weft.nodes.sampling.loader_checks import prompt_width
from weft.nodes.sampling.model_links import Loaded, loaded, loader_above, model_loader_of, prompt_nodes
from weft.nodes.sampling.traits import IMAGE_VECTOR_HINT, PromptTraits, lacks_vae
from weft.nodes.sizes import size_above
from weft.nodes.values import Conditioning, ControlNet, Guide, TextEncoder


def prompts_fit(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Prompts must be as wide as the model reads them, and ControlNets made for a network of its structure."""
    for node in prompt_nodes(sampler):
        encoder = loader_above(node, TextEncoder)
        made = prompt_width(encoder) if encoder else 0
        if encoder and made and model.facts.widths.prompt not in (0, made):
            message = (
                f"`{node.call.id}` encodes prompts {made} channels wide, by the text encoder of `{encoder.call.id}`; "
                f"the model of `{model.node}` reads {model.facts.widths.prompt}"
            )
            hint = "encode them with the text encoder of the model's own checkpoint"
            yield NodeProblem("guide", message, hint, "wrong-channels")
        config, denoiser = model.facts.network.config, model.family.denoiser
        named = f"the model of `{model.node}` ({model.family.name})"
        yield from ip_adapter_fits(node, denoiser, config, named)
        yield from redux_fits(node, model.facts.widths.prompt, denoiser.reads_image_tokens, named)
        net = node.above_by_type(ControlNet)
        source = net.source("source") if net else None
        # Two families are a problem of the types.
        if net and source and isinstance(source.facts, ControlNetFacts) and source.family == model.facts.family:
            network = family(source.facts.family).control_format(source.facts).network_class
            try:
                network.check_steered(source.facts.network.config, model.facts.network.config)
            except InputError as refusal:
                yield NodeProblem.of(refusal, "guide", after=f"; `{net.call.id}` and `{model.node}`")
            try:
                if size := size_above(sampler, "latent"):
                    network.check_size(source.facts.network.config, *size)
            except InputError as refusal:
                yield NodeProblem.of(refusal, "latent", after=f"; `{net.call.id}`")


def additions_fit(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Prompts must have the vector of a picture where the model reads one, and nothing that it does not read.

    Those that come right from a text encoder have none.
    """
    guide = sampler.above_by_type(Guide)
    prompts = [*guide.all_by_type(Conditioning)] if guide else []
    reads = model.family.denoiser.image_vector_width(model.facts.network.config)
    if reads and prompts and all(node.above_by_type(TextEncoder) for node in prompts):
        message = f"the model of `{model.node}` reads the vector of a picture, which its prompts lack"
        yield NodeProblem("guide", message, IMAGE_VECTOR_HINT, "wrong-prompt")
    denoiser, config = model.family.denoiser, model.facts.network.config
    grounds, shown = denoiser.grounds(config), denoiser.grounds_pictures(config)
    for node in prompt_nodes(sampler):
        traits = node.call.type.trait(PromptTraits)
        for given, read, what in (
            (traits and traits.image_vector, reads, "the vector of a picture"),
            (traits and traits.grounding, grounds, "objects at places"),
            (traits and traits.grounding_pictures, shown, "pictures of objects at places"),
            (traits and traits.framing, denoiser.takes_size_conditions, "size conditions"),
        ):
            if given and not read:
                message = f"`{node.call.id}` gives {what}, and the model of `{model.node}` reads none"
                yield NodeProblem("guide", message, f"leave `{node.call.id}` out", "unsupported-by-model")


def control_fits(node: Upstream) -> Iterator[NodeProblem]:
    """A ControlNet that reads latents needs a VAE, and one of several kinds of pictures must know which it is given."""
    net = node.above_by_type(ControlNet)
    source = net.source("source") if net else None
    if net is None or source is None or not isinstance(source.facts, ControlNetFacts):
        return
    network = family(source.facts.family).control_format(source.facts).network_class
    config = source.facts.network.config
    if network.reads_latents(config) and node.call.inputs.get("vae") is None:
        yield NodeProblem.of(lacks_vae(), "vae", after=f"; it is from `{net.call.id}`")
    try:
        network.check_mask(config, node.call.inputs.get("mask") is not None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "mask", after=f"; it is from `{net.call.id}`")
    try:
        network.check_source(config, *(node.call.inputs.get(name) is not None for name in ("source", "mask")))
    except InputError as refusal:
        yield NodeProblem.of(refusal, "source", after=f"; it is from `{net.call.id}`")
    if "kind" in node.literals:
        try:
            network.kind_number(config, node.literals["kind"])
        except InputError as refusal:
            yield NodeProblem.of(refusal, "kind", after=f"; it is from `{net.call.id}`")


def unclip_fits(apply: Upstream) -> Iterator[NodeProblem]:
    """The model must read the vector of a picture, as its image encoder makes it."""
    loader = model_loader_of(apply)
    if model := loaded(loader) if loader else None:
        width = model.family.denoiser.image_vector_width(model.facts.network.config)
        named = f"the model of `{model.node}` ({model.family.name})"
        yield from image_vector_fits(apply, width, has_noise(model.facts.contents), named)
