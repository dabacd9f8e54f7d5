"""Whether models, text encoders and VAEs can be merged, before a run: by the headers of their loaders' files.

Where links lead to no loader, weights are compared when they are merged. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from weft.engine import InputError, NodeProblem, Upstream, listed
from weft.nodes.families import family
from weft.nodes.models.facts import TextModelFacts, VAEFacts
from weft.nodes.models.mergeable import MergedModel, check_models, check_structure, common_weights
from weft.nodes.models.network_blocks import BlockNumber, check_modules, check_unet_blocks, is_unet_block, read_blocks
from weft.nodes.sampling.loader_checks import text_facts
from weft.nodes.sampling.lora_compatibility import shapes_of
from weft.nodes.sampling.model_links import Loaded, checkpoint_facts, loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import VAE, Model, TextEncoder

OTHERS = ("other", "minus")


def models_merge(node: Upstream) -> Iterator[NodeProblem]:
    """Models must have the same structure and predict the same, and blocks must be there."""
    yield from _blocks_fit(node)
    yield from _weights_alone(node)
    first = _model(node, "model")
    for name in OTHERS:
        other = _model(node, name)
        if first and other and first.family is other.family:  # Others are no models of one type.
            try:
                check_models(_merged(first), _merged(other))
                _check_weights(node, name)
            except InputError as refusal:
                yield NodeProblem.of(refusal, name)


def _check_weights(node: Upstream, name: str) -> None:
    """Raise `InputError` where one of the models lacks layers of another one, by the headers of their files."""
    first = "model" if name == "other" else "other"
    wanted, found = (_layers(_loader(node, input)) for input in (first, name))
    loader = _loader(node, name)
    source = loader.source("source") if loader else None
    if wanted and found and source:
        common_weights(wanted, found, source.text, exact=name == "minus")


def _layers(loader: Upstream | None) -> dict[str, tuple[int, ...]]:
    """The weights of layers and convolutions, which every layout of a family's files names."""
    shapes = shapes_of(loader)
    return {name: shape for name, shape in shapes.items() if name.endswith(".weight") and len(shape) > 1}


def _loader(node: Upstream, input: str) -> Upstream | None:
    """The loader of the model that an input is given."""
    above = node.above(input)
    return above and (loader_above(above, Model) or above)


def _weights_alone(node: Upstream) -> Iterator[NodeProblem]:
    """A model that is merged into another may have no changes but those of weights."""
    for name in OTHERS:
        above = node.above(name)
        while above:
            traits = above.call.type.trait(ModelTraits)
            why = traits.unmergeable(above) if traits else ""
            if why:
                message = f"what `{above.call.id}` changes cannot be merged: {why}"
                yield NodeProblem(name, message, f"put `{above.call.id}` after the merge", "unsupported-by-model")
            above = above.above_by_type(Model)


def _model(node: Upstream, input: str) -> Loaded | None:
    """The model that an input is given, as its loader tells."""
    loader = _loader(node, input)
    return loaded(loader) if loader else None


def _merged(model: Loaded) -> MergedModel:
    return MergedModel(model.node, model.facts.network.config, model.scheduler, model.extra_channels)


def _blocks_fit(node: Upstream) -> Iterator[NodeProblem]:
    """The text of blocks must be readable, and name blocks that the network has."""
    text = node.literals.get("blocks")
    if not isinstance(text, str):
        return
    try:
        blocks = read_blocks(text)
        model = _model(node, "model")
        if model:
            check_unet_blocks(blocks, model.facts.network.config)
            if shapes := shapes_of(_loader(node, "model")):
                check_modules(blocks, [*shapes])
        elif "model" not in node.call.type.inputs:
            _refuse_unet_blocks(blocks)
            _check_parts(node, blocks)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "blocks")


def _check_parts(node: Upstream, blocks: Sequence[BlockNumber]) -> None:
    """Raise `InputError` where a part begins with no text model, and with no part of a VAE."""
    texts = _texts(node, "text_encoder") if "text_encoder" in node.call.type.inputs else None
    known = [*texts[1]] if texts else VAE_PARTS if "vae" in node.call.type.inputs else ()
    named = next((block.name for block in blocks if known and block.name.split(".")[0] not in known), None)
    if named:
        raise InputError(f"there is no part `{named}`", f"name parts of these: {listed(known)}", "unknown-layer")


VAE_PARTS = ("encoder", "decoder", "quant_conv", "post_quant_conv")
"""What names of a VAE's modules begin with."""


def _refuse_unet_blocks(blocks: Sequence[BlockNumber]) -> None:
    named = next((block.name for block in blocks if is_unet_block(block.name)), None)
    if named:
        raise InputError(
            f"`{named}` is a block of a UNet", "name parts by what the names of modules begin with", "unknown-layer"
        )


def texts_merge(node: Upstream) -> Iterator[NodeProblem]:
    """Text encoders must be there, and have the same text models, of the same sizes."""
    yield from _blocks_fit(node)
    yield from _is_there(node, TextEncoder, "text_encoder", "read no words, and have no text encoder")
    first = _texts(node, "text_encoder")
    for name in OTHERS:
        other = _texts(node, name)
        if not first or not other:
            continue
        missing = [text for text in first[1] if text not in other[1]]
        shared = [text for text in first[1] if text in other[1]]
        unlike = [text for text in shared if _sizes(other[1][text]) != _sizes(first[1][text])]
        others = [text for text in shared if not _share_words(other[1][text], first[1][text])]
        if missing:
            message = f"`{other[0]}` lacks the text model {missing[0]}, which `{first[0]}` has"
            yield NodeProblem(name, message, "merge text encoders of the same models", "wrong-text-models")
        elif unlike:
            text = unlike[0]
            message = f"{text} of `{other[0]}` is {other[1][text]}, and that of `{first[0]}` {first[1][text]}"
            yield NodeProblem(name, message, "merge text encoders of the same models", "wrong-text-models")
        elif others:
            known = [one[1][others[0]].vocabulary for one in (other, first)]
            message = f"{others[0]} of `{other[0]}` knows {known[0]} tokens, and that of `{first[0]}` {known[1]}"
            yield NodeProblem(name, message, "merge text encoders of one tokenizer", "wrong-text-models")


def _is_there(node: Upstream, value: type, input: str, why: str) -> Iterator[NodeProblem]:
    """What is merged must be a part that models of the family have.

    Args:
        value: the class of what arrives at the input.
        why: what models do that do not have it.
    """
    loader = loader_above(node, value)
    facts = checkpoint_facts(loader) if loader else None
    made = family(facts.family) if facts else None
    if loader and made and not (made.vae if value is VAE else made.texts):
        message = f"models of {made.name} {why} that could be merged; `{loader.call.id}`"
        yield NodeProblem(input, message, f"leave `{node.call.id}` out", "unsupported-by-model")


def _share_words(one: TextModelFacts, other: TextModelFacts) -> bool:
    """Whether two text models have equal vocabularies, as far as headers say it."""
    return one.vocabulary == other.vocabulary or 0 in (one.vocabulary, other.vocabulary)


def _sizes(facts: TextModelFacts) -> tuple[str, int, int]:
    return facts.kind, facts.width, facts.layers


def _texts(node: Upstream, input: str) -> tuple[str, Mapping[str, TextModelFacts]] | None:
    """The loader of the text encoder that an input is given, and its text models by name."""
    above = node.above(input)
    loader = above and (loader_above(above, TextEncoder) or above)
    facts = text_facts(loader) if loader else None
    return (loader.call.id, {text.name: one for text, one in facts.items()}) if loader and facts else None


def vaes_merge(node: Upstream) -> Iterator[NodeProblem]:
    """VAEs must be there, and of the same kind and structure."""
    yield from _blocks_fit(node)
    yield from _is_there(node, VAE, "vae", "sample pixels, and have no VAE")
    first, other = _vae(node, "vae"), _vae(node, "other")
    if not first or not other:
        return
    if not set(first[1].classes) & set(other[1].classes):
        message = f"`{other[0]}` is a {other[1].classes[0]}, and `{first[0]}` a {first[1].classes[0]}"
        yield NodeProblem("other", message, "merge VAEs of the same kind", "wrong-size")
        return
    try:
        check_structure(first[0], first[1].config, other[0], other[1].config)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "other")


def _vae(node: Upstream, input: str) -> tuple[str, VAEFacts] | None:
    """The loader of the VAE that an input is given, and what its headers say."""
    above = node.above(input)
    loader = above and (loader_above(above, VAE) or above)
    source, checkpoint = (loader.source("source"), checkpoint_facts(loader)) if loader else (None, None)
    facts = checkpoint.vae if checkpoint else source.facts if source else None
    return (loader.call.id, facts) if loader and isinstance(facts, VAEFacts) else None
