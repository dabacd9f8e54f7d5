"""Hypernetworks: ApplyHypernetwork, `weft.nodes.models.hypernetwork`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, node
from weft.nodes.families.sources import HypernetworkSource
from weft.nodes.models.hypernetwork import AppliedHypernetwork, Hypernetwork, check_widths
from weft.nodes.models.hypernetwork_files import HypernetworkFacts
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import F, Model


def _fits(apply: Upstream) -> Iterator[NodeProblem]:
    """The model must have attention of the widths that the hypernetwork is made for."""
    loader, source = loader_above(apply, Model), apply.source("source")
    model = loaded(loader) if loader else None
    if model is None or source is None or not isinstance(source.facts, HypernetworkFacts):
        return
    config = model.facts.network.config
    if not model.family.denoiser.has_skips:
        message = f"hypernetworks change UNets, and the network of {model.family.name} is none; {model}"
        yield NodeProblem("model", message, "use a LoRA", "unsupported-by-model")
        return
    read = {*config.get("block_out_channels", ()), model.facts.widths.prompt} - {0}
    try:
        check_widths(set(source.facts.widths), read)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "source", after=f"; {model}")


def _unmergeable(apply: Upstream) -> str:
    return "it is no change of weights" if apply.literals.get("strength") else ""


@node(category="models", lane="io", fits=_fits, traits=(ModelTraits(_unmergeable),))
def ApplyHypernetwork(
    model: Model[F],
    source: Annotated[str, HypernetworkSource()],
    *,
    strength: Annotated[float, Range(-10.0, 10.0)] = 1.0,
    context: Context = INJECTED,
) -> Model[F]:
    """Add a hypernetwork to a model: small networks that change what its attention reads.

    Hypernetworks of AUTOMATIC1111's web UI, for SD 1, SD 2 and SDXL, as safetensors. Its own files are pickles, which
    are not read, since one can run code; the refusal says how to convert them. Several of these nodes in a row add
    several, one after the other.

    Args:
        model: from LoadCheckpoint, LoadDiffusionModel or another of these nodes.
        source: a .safetensors file under a models folder, with tensors `768.0.linear.0.weight` (for keys) and
            `768.1.linear.0.weight` (for values) for each width, and `activation_func` in its metadata.
        strength: the factor of what is added; 1 is as trained, 0 adds nothing.
    """
    if not strength:
        return model
    applied = AppliedHypernetwork(Hypernetwork(str(context.found(source).digest)), strength)
    return replace(model, changes=(*model.changes, applied))
