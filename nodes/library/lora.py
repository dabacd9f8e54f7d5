"""LoRAs: LoadLoRA, ApplyLoRA, ApplyLoRAToModel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, NamedTuple

from weft.engine import INJECTED, Context, InputError, Limits, MemoryUse, NodeProblem, Range, Upstream, node
from weft.nodes.families.sources import LoRASource
from weft.nodes.library.control import check_range
from weft.nodes.lora_values import AppliedLoRA, LoRA, with_lora
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.network_blocks import read_blocks
from weft.nodes.sampling.lora_compatibility import lora_fits
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import F, Model, TextEncoder


class Adapted(NamedTuple, Generic[F]):
    """A model and its text encoder with a LoRA."""

    model: Model[F]
    text_encoder: TextEncoder[F]


@node(category="loaders", lane="io")
def LoadLoRA(source: Annotated[str, LoRASource()], *, context: Context = INJECTED) -> LoRA[F]:
    """Load a LoRA: small changes to the weights of a model (https://arxiv.org/abs/2106.09685).

    This node only reads the header. Files of kohya's scripts, diffusers, PEFT, ai-toolkit and ComfyUI are read, with
    the names of modules of diffusers or of a model's authors; LoRA of linear layers and convolutions (LoCon), LoHa,
    LoKr, DoRA, and differences of weights and biases. Control LoRAs of FLUX.1 (`FLUX.1-Canny-dev-lora`,
    `FLUX.1-Depth-dev-lora`) make a model read a picture too: put ControlGuide after its guide. A tensor that is not
    read is an error that names it. `weft models list` shows what a LoRA was made for, where its trainer wrote it down.

    Args:
        source: a .safetensors file under a models folder, a folder of PEFT with its `adapter_config.json`, or a name
            on the hub (`org/name`, `org/name/FILE.safetensors`) whose files are in the hub's cache.
    """
    found = context.found(source)
    return LoRA(str(found.digest), found.resolved.family or "")


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """`blocks` must be readable, and `start` less than `end`."""
    yield from check_range(inputs, limits)
    try:
        read_blocks(inputs.get("blocks") or "")
    except InputError as refusal:
        yield NodeProblem.of(refusal, "blocks")


def _applied(lora: LoRA[F], strength: float, blocks: str, start: float, end: float) -> AppliedLoRA:
    """A LoRA with the factors of parts of a network."""
    read = read_blocks(blocks)
    factors = tuple((one.name, one.number) for one in read)
    return AppliedLoRA(lora, strength, factors, start, end, max((one.blocks for one in read), default=0))


def _unmergeable(apply: Upstream) -> str:
    loader = apply.above_by_type(LoRA)
    source = loader.source("source") if loader else None
    if source and isinstance(source.facts, LoRAFacts) and source.facts.replaces_norms:
        return "it is a Control LoRA, which changes what the model reads"
    whole = apply.literals.get("start", 0.0) == 0 and apply.literals.get("end", 1.0) == 1
    return "" if whole else "it acts in a part of the steps"


def _counted(literals: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a LoRA by which it needs memory: whether it acts counts, and how strongly does not."""
    return {name: bool(given) if name.endswith("strength") else given for name, given in literals.items()}


_TRAITS = (ModelTraits(_unmergeable), MemoryUse(_counted))

Strength = Annotated[float, Range(-100.0, 100.0)]

Fraction = Annotated[float, Range(0.0, 1.0)]


@node(category="models", lane="cpu", check=_check, fits=lora_fits, traits=_TRAITS)
def ApplyLoRA(
    lora: LoRA[F],
    model: Model[F],
    text_encoder: TextEncoder[F],
    *,
    strength: Strength = 1.0,
    text_encoder_strength: Annotated[float | None, Range(-100.0, 100.0)] = None,
    blocks: str = "",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
) -> Adapted[F]:
    """Add a LoRA to a model and its text encoder. Several of these nodes in a row add several.

    Prompts must be encoded with the text encoder that this node gives. Weights are changed in place as they are used,
    and put back exactly when other changes are wanted: all strengths of a LoRA, and all LoRAs, share one model in
    memory. What a stack adds is summed in float32 from the weights without it, and rounded once. At strength 0 the
    result is the model without the LoRA. The strength of a DoRA is that of its direction, as in PEFT: its magnitudes
    stay.

    LCM-LoRAs are sampled by `lcm` in 4 to 8 steps with a guidance scale of 1 to 2, Hyper-SD's by `tcd` or `ddim`, and
    Lightning's by `euler` on the schedule `sgm_uniform` at scale 1.

    Args:
        lora: from LoadLoRA.
        model: from LoadCheckpoint, LoadDiffusionModel or another of these nodes.
        text_encoder: the one of the model; the parts of the LoRA for text models that it does not have are left out.
        strength: the factor of the changes to the denoiser; 1 is as trained. Start with 0.6 to 1; less than 0 leads
            away from what was trained.
        text_encoder_strength: the factor of those to the text encoder; left out, it is `strength`.
        blocks: factors of `strength` for parts of the denoiser; what none names has 1. Blocks of a UNet as
            block-weighted merging names them, `IN04=0.5, M00=0, OUT=1`, or one number for each block in their order;
            parts of any network by what names of modules begin with: `mid_block=0, transformer_blocks.0-18=0.5`. Where
            several name a part, the last one counts.
        start: the fraction of the steps at which the changes of the denoiser begin; those of the text encoder hold for
            the whole run.
        end: the fraction of the steps at which they end.
    """
    own = strength if text_encoder_strength is None else text_encoder_strength
    text = with_lora(text_encoder, AppliedLoRA(lora, own))
    return Adapted(with_lora(model, _applied(lora, strength, blocks, start, end)), text)


@node(category="models", lane="cpu", check=_check, fits=lora_fits, traits=_TRAITS)
def ApplyLoRAToModel(
    lora: LoRA[F],
    model: Model[F],
    *,
    strength: Strength = 1.0,
    blocks: str = "",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
) -> Model[F]:
    """Add a LoRA to a model alone, as ApplyLoRA does; its changes to text encoders are left out.

    Args:
        lora: from LoadLoRA.
        model: from LoadCheckpoint, LoadDiffusionModel or another of these nodes.
        strength: the factor of the changes; 1 is as trained.
        blocks: factors of `strength` for parts of the denoiser, as for ApplyLoRA.
        start: the fraction of the steps at which the changes begin.
        end: the fraction of the steps at which they end.
    """
    return with_lora(model, _applied(lora, strength, blocks, start, end))
