"""What makes models faster: Optimize and OptimizeVAE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from weft.engine import ADDED_LATER, Choices, Limits, NodeProblem, Patch, Range, Upstream, node
from weft.nodes.models.fused_projections import FusedProjections
from weft.nodes.models.optimisations import (
    PACKAGES,
    AttentionBackend,
    AttentionName,
    CapturedNetwork,
    ChannelsLast,
    CompiledBlocks,
    FirstBlockCache,
    unsupported,
)
from weft.nodes.models.sliced_attention import SlicedAttention
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import VAE, F, Forecast, Model

Attention = Annotated[
    AttentionName,
    Choices(
        {
            "model": "as the model has it: torch chooses the kernel",
            "math": "torch's own arithmetic, on every device",
            "efficient": "torch's memory-efficient kernel, on NVIDIA GPUs",
            "flash": "torch's flash attention, on NVIDIA GPUs in half precision and on the CPU",
            "cudnn": "cuDNN's kernel, on NVIDIA GPUs in half precision",
            "flash_attn": "the package flash-attn, on NVIDIA GPUs in half precision",
            "sage": "the package sageattention, with numbers of eight bits: lossy",
            "xformers": "the package xformers, on NVIDIA GPUs",
            "sliced": "torch's, a few heads or rows at once, for every model: less memory on devices without a kernel "
            "that does without all scores (MPS, old GPUs)",
        }
    ),
]

Cache = Annotated[
    Literal["none", "taylor_seer", "first_block"],
    Choices(
        {
            "none": "each step is computed",
            "taylor_seer": "steps between computed ones are extrapolated from these; for every model",
            "first_block": "all blocks but the first are skipped where that changes little; for FLUX.1 and Qwen-Image",
        }
    ),
]


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """What is asked for must be installed, and go together."""
    package = PACKAGES.get(inputs.get("attention", ""))
    if package and find_spec(package) is None:
        message = f"the attention kernel `{inputs['attention']}` is in the package {package}, which is not installed"
        yield NodeProblem("attention", message, f"pip install {package}, or choose another one", "missing-package")
    if inputs.get("compile") and inputs.get("cache") == "first_block":
        message = "blocks that may be skipped are not compiled"
        yield NodeProblem("cache", message, "set `cache` to `taylor_seer`, or `compile` to false", "conflicting-inputs")
    if inputs.get("compile") and inputs.get("attention") == "sliced":
        message = "attention in slices is not compiled"
        yield NodeProblem(
            "attention", message, "set `attention` to `model`, or `compile` to false", "conflicting-inputs"
        )
    if inputs.get("capture") and inputs.get("cache") == "first_block":
        message = "what is recorded computes all blocks, and none may be skipped"
        yield NodeProblem("cache", message, "set `cache` to `taylor_seer`, or `capture` to false", "conflicting-inputs")


def _fits(optimize: Upstream) -> Iterator[NodeProblem]:
    """The network must have what is to be faster."""
    loader = loader_above(optimize, Model)
    model = loaded(loader) if loader else None
    if model is None:
        return
    given, denoiser, family = optimize.literals, model.family.denoiser, model.family.name
    if given.get("compile") and not denoiser.repeated_blocks:
        fault = unsupported(family, "no blocks that repeat, which could be compiled", "compile")
        yield NodeProblem.of(fault, "compile")
    if given.get("attention", "model") not in ("model", "sliced") and not denoiser.dispatches_attention:
        fault = unsupported(family, "no attention that other kernels can compute", "attention")
        yield NodeProblem.of(fault, "attention")
    if given.get("fuse") and not denoiser.fuses_projections:
        fault = unsupported(family, "no attention whose projections are fused", "fuse")
        yield NodeProblem.of(fault, "fuse")
    if given.get("cache") == "first_block" and not denoiser.skips_blocks:
        fault = unsupported(family, "no first block that tells of the others", "cache")
        yield NodeProblem.of(fault, "cache")


def _unmergeable(optimize: Upstream) -> str:
    return "it is no change of weights"


@node(category="models", lane="cpu", check=_check, fits=_fits, traits=(ModelTraits(_unmergeable),))
def Optimize(
    model: Model[F],
    *,
    compile: bool = False,
    attention: Attention = "model",
    channels_last: bool = False,
    separate: bool = False,
    cache: Cache = "none",
    interval: Annotated[int, Range(1, 100)] = 2,
    warm_up: Annotated[int, Range(1, 1_000)] = 3,
    order: Annotated[int, Range(0, 4)] = 1,
    threshold: Annotated[float, Range(0.0, 1.0)] = 0.08,
    capture: Annotated[bool, ADDED_LATER] = False,
    fuse: Annotated[bool, ADDED_LATER] = False,
) -> Model[F]:
    """Sample faster with a model: compiled, with other kernels, or without computing each step.

    `compile`, `attention`, `channels_last`, `fuse` and `separate` change a picture by rounding alone. `cache` is lossy:
    fewer steps are computed, and details change. Begin with `compile` on a GPU, and add `cache` with 20 steps or more.
    LoRAs may come before or after it, and others do not compile again.

    Args:
        model: from LoadCheckpoint or LoadDiffusionModel.
        compile: compile the blocks of which the network has many (torch.compile). The first picture takes some ten
            seconds more, once for all sizes; later processes find what was compiled in torch's own cache. It needs a
            C++ compiler on the CPU, Triton on a GPU. Blocks whose attention other nodes change or record (IP-Adapters,
            PerturbedAttention, KSamplerAttention) run as they are.
        attention: which kernel computes attention, for FLUX.1, Qwen-Image and Z-Image.
        channels_last: lay the weights of convolutions out with channels last. For UNets: SD 1, SD 2, SDXL.
        separate: call the network once for each prompt, where the positive and the negative one would share a call:
            less memory for large pictures, more time.
        cache: which steps are not computed whole.
        interval: with `taylor_seer`, compute every so many steps; 2 keeps most details, 5 few.
        warm_up: with `taylor_seer`, the first steps, which are all computed: they lay the picture out.
        order: of the series by which `taylor_seer` extrapolates; 0 repeats the last computed prediction.
        threshold: with `first_block`, how much the first block's change may differ from that of the last whole step,
            as a share of it; more skips more. Items of a batch share the decision.
        capture: record the network's work on an NVIDIA or AMD GPU as a CUDA graph, in its third call with pictures of
            a size, and replay it from then on: for small networks and pictures, which wait for Python. Each of eight
            sizes takes memory for its work; with `compile` it is faster still. Where other nodes change or record
            attention, or the network waits on the host, it runs as it is.
        fuse: compute queries, keys and values by one product, as diffusers' `fuse_qkv_projections`, for UNets, SD 3,
            FLUX.1 and Wan: some per cent faster on a GPU, for as much memory as these weights take. Where other nodes
            change attention, or the network waits on the host, it runs as it is.
    """
    patches: list[Patch[Any]] = []
    if channels_last:
        patches.append(ChannelsLast())
    if attention == "sliced":
        patches.append(SlicedAttention())
    elif attention != "model":
        patches.append(AttentionBackend(attention))
    if cache == "first_block":
        patches.append(FirstBlockCache(threshold))
    if compile:
        patches.append(CompiledBlocks())
    if capture:
        patches.append(CapturedNetwork())
    if fuse:  # around what is recorded: weights are taken again before it is replayed
        patches.append(FusedProjections())
    # Before all others, so that these can change without the network being optimised again.
    faster = replace(model, changes=(*patches, *model.changes), separate=separate or model.separate)
    return replace(faster, forecast=Forecast(interval, warm_up, order)) if cache == "taylor_seer" else faster


@node(category="models", lane="cpu")
def OptimizeVAE(vae: VAE[F], *, channels_last: bool = True) -> VAE[F]:
    """Encode and decode faster with a VAE.

    Args:
        vae: from LoadCheckpoint or LoadVAE.
        channels_last: lay the weights of convolutions out with channels last, which changes pictures by rounding alone.
    """
    return replace(vae, changes=(ChannelsLast(), *vae.changes)) if channels_last else vae
