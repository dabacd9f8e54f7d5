"""Whether models, text encoders and VAEs can be merged, before a run: by the headers of their loaders' files.

Where links lead to no loader, weights are compared when they are merged. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.facts import TextModelFacts, VAEFacts
from weft.nodes.models.network_blocks import BlockNumber, check_unet_blocks, is_unet_block, read_blocks
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.compatibility import Loaded, checkpoint_facts, loaded, loader_above, text_facts
from weft.nodes.values import VAE, Model, TextEncoder

SIZES = (
    *("block_out_channels", "layers_per_block", "cross_attention_dim", "use_linear_projection", "addition_embed_type"),
    *("num_layers", "num_single_layers", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim"),
    *("dim", "n_layers", "n_refiner_layers", "cap_feat_dim", "patch_size", "qk_norm", "dual_attention_layers"),
    *("latent_channels", "z_dim", "base_dim", "out_channels", "num_embeds_ada_norm"),
)
"""Entries of configurations that decide which weights a network has, and of which shapes."""

OTHERS = ("other", "minus")


def models_merge(node: Upstream) -> Iterator[NodeProblem]:
    """Models must have the same structure and predict the same, and blocks must be there."""
    yield from _blocks_fit(node)
    first = _model(node, "model")
    for name in OTHERS:
        other = _model(node, name)
        if first and other and first.family is other.family:  # Others are no models of one type.
            yield from _same_prediction(name, first, other)
            yield from _same_structure(
                name, first.node, first.facts.network.config, other.node, other.facts.network.config
            )
    yield from _same_channels(node, first)


def _model(node: Upstream, input: str) -> Loaded | None:
    """The loader of the model that an input is given."""
    above = node.above(input)
    loader = above and (loader_above(above, Model) or above)
    return loaded(loader) if loader else None


def _same_prediction(input: str, first: Loaded, other: Loaded) -> Iterator[NodeProblem]:
    try:
        predicted, found = (parametrisation_of(one.scheduler).kind for one in (first, other))
    except InputError:
        return  # Their own loaders name it.
    if found != predicted:
        yield NodeProblem(
            input,
            f"`{other.node}` predicts {found}, and `{first.node}` {predicted}",
            "merge models that predict the same; where a file does not say it, set `prediction` of its loader",
            "wrong-prediction",
        )


def _same_structure(
    input: str, node: str, config: Mapping[str, Any], other: str, found: Mapping[str, Any]
) -> Iterator[NodeProblem]:
    """Configurations must agree in what decides shapes of weights, as far as both say it."""
    for name in SIZES:
        wanted, given = _plain(config.get(name)), _plain(found.get(name))
        if None not in (wanted, given) and wanted != given:
            yield NodeProblem(
                input,
                f"`{other}` is of another structure than `{node}`: its {name} are {given}, those of `{node}` {wanted}",
                "merge models of the same structure",
                "wrong-size",
            )
            return


def _plain(given: Any) -> Any:
    """A number for each level as one number, where all are the same."""
    if isinstance(given, list | tuple):
        return given[0] if given and all(one == given[0] for one in given) else list(given)
    return given


def _same_channels(node: Upstream, first: Loaded | None) -> Iterator[NodeProblem]:
    """A model that reads more channels than the one that it is merged into has weights for nothing there."""
    for name in OTHERS:
        other = _model(node, name)
        if first and other and other.extra_channels > first.extra_channels:
            yield NodeProblem(
                name,
                f"`{other.node}` reads {other.extra_channels} channels in addition to its latents, and `{first.node}` "
                f"{first.extra_channels}",
                f"link `{other.node}` to `model` instead",
                "wrong-channels",
            )


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
        elif "model" not in node.call.type.inputs:
            _refuse_unet_blocks(blocks)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "blocks")


def _refuse_unet_blocks(blocks: Sequence[BlockNumber]) -> None:
    named = next((block.name for block in blocks if is_unet_block(block.name)), None)
    if named:
        raise InputError(
            f"`{named}` is a block of a UNet", "name parts by what the names of modules begin with", "unknown-layer"
        )


def texts_merge(node: Upstream) -> Iterator[NodeProblem]:
    """Text encoders must have the same text models, of the same sizes."""
    yield from _blocks_fit(node)
    first = _texts(node, "text_encoder")
    for name in OTHERS:
        other = _texts(node, name)
        if not first or not other:
            continue
        missing = [text for text in first[1] if text not in other[1]]
        unlike = [
            text for text, facts in first[1].items() if text in other[1] and _sizes(other[1][text]) != _sizes(facts)
        ]
        if missing:
            message = f"`{other[0]}` lacks the text model {missing[0]}, which `{first[0]}` has"
            yield NodeProblem(name, message, "merge text encoders of the same models", "wrong-text-models")
        elif unlike:
            text = unlike[0]
            message = f"{text} of `{other[0]}` is {other[1][text]}, and that of `{first[0]}` {first[1][text]}"
            yield NodeProblem(name, message, "merge text encoders of the same models", "wrong-text-models")


def _sizes(facts: TextModelFacts) -> tuple[str, int, int]:
    return facts.kind, facts.width, facts.layers


def _texts(node: Upstream, input: str) -> tuple[str, Mapping[str, TextModelFacts]] | None:
    """The loader of the text encoder that an input is given, and its text models by name."""
    above = node.above(input)
    loader = above and (loader_above(above, TextEncoder) or above)
    facts = text_facts(loader) if loader else None
    return (loader.call.id, {text.name: one for text, one in facts.items()}) if loader and facts else None


def vaes_merge(node: Upstream) -> Iterator[NodeProblem]:
    """VAEs must be of the same kind and structure."""
    yield from _blocks_fit(node)
    first, other = _vae(node, "vae"), _vae(node, "other")
    if not first or not other:
        return
    if not set(first[1].classes) & set(other[1].classes):
        message = f"`{other[0]}` is a {other[1].classes[0]}, and `{first[0]}` a {first[1].classes[0]}"
        yield NodeProblem("other", message, "merge VAEs of the same kind", "wrong-size")
        return
    yield from _same_structure("other", first[0], first[1].config, other[0], other[1].config)


def _vae(node: Upstream, input: str) -> tuple[str, VAEFacts] | None:
    """The loader of the VAE that an input is given, and what its headers say."""
    above = node.above(input)
    loader = above and (loader_above(above, VAE) or above)
    source, checkpoint = (loader.source("source"), checkpoint_facts(loader)) if loader else (None, None)
    facts = checkpoint.vae if checkpoint else source.facts if source else None
    return (loader.call.id, facts) if loader and isinstance(facts, VAEFacts) else None
