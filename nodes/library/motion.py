"""Motion adapters: ApplyMotionAdapter, `weft.nodes.models.motion_modules`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import INJECTED, Choices, Context, InputError, NodeProblem, Upstream, node
from weft.nodes.families.motion_sources import MotionAdapterSource
from weft.nodes.library.loaders import NOISES, Noise, variant_fits
from weft.nodes.models.motion_files import MotionAdapterFacts, check_motion_adapter
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import F, Model, MotionAdapter

NOISE = Choices(
    {
        "checkpoint": "that of the model, as for `builtin:landscapes-motion`",
        "linear": "as the published adapters of AnimateDiff were trained",
        "scaled_linear": "that of Stable Diffusion",
        "cosine": "the squared cosine of the paper on improved DDPM",
    }
)


def _fits(apply: Upstream) -> Iterator[NodeProblem]:
    """The model must be a UNet of the levels that the adapter was made for."""
    yield from variant_fits(apply)
    loader, adapter = loader_above(apply, Model), _facts(apply)
    model = loaded(loader) if loader else None
    if model is None or adapter is None:
        return
    try:
        if not model.family.denoiser.has_skips:
            raise InputError(
                f"motion adapters change UNets, and the network of {model.family.name} is none",
                "use a model of SD 1.x or SDXL",
                "unsupported-by-model",
            )
        check_motion_adapter(adapter, model.facts.network.config)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "source", after=f"; {model}")


def _facts(apply: Upstream) -> MotionAdapterFacts | None:
    source = apply.source("source")
    return source.facts if source and isinstance(source.facts, MotionAdapterFacts) else None


def _longest(apply: Upstream) -> int | None:
    facts = _facts(apply)
    return facts.longest if facts else None


def _unmergeable(apply: Upstream) -> str:
    return "it makes clips by modules that other models do not have"


@node(category="models", lane="io", fits=_fits, traits=(ModelTraits(_unmergeable, longest_clip=_longest),))
def ApplyMotionAdapter(
    model: Model[F],
    source: Annotated[str, MotionAdapterSource()],
    *,
    variant: str = "",
    noise: Annotated[Noise, NOISE] = "checkpoint",
    context: Context = INJECTED,
) -> Model[F]:
    """Let a model of pictures make clips: attention over frames goes between its layers (AnimateDiff).

    The model stays as it is otherwise, so its LoRAs, ControlNets and IP-Adapters act in every frame. Link the sampler's
    `latent` to EmptyVideoLatent and decode with VAEDecodeVideo. LoRAs for motion (zoom, pan) are added by ApplyLoRA,
    behind this node. "AnimateDiff: Animate Your Personalized Text-to-Image Diffusion Models without Specific Tuning"
    (Guo et al., 2023), https://arxiv.org/abs/2307.04725.

    Args:
        model: from LoadCheckpoint or LoadDiffusionModel; SD 1.x, or SDXL for its own adapters.
        source: a diffusers folder of a MotionAdapter, or the authors' motion modules as a .safetensors file, under a
            models folder; a name on the hub (`guoyww/animatediff-motion-adapter-v1-5-2`) whose files are in the hub's
            cache; or `builtin:landscapes-motion` for `builtin:landscapes`.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        noise: the noise schedule that the adapter was trained with; `linear` for those of AnimateDiff's authors: with
            another one contrast and motion are weak.
    """
    found = context.found(source)
    adapter = MotionAdapter(str(found.digest), variant)
    trained = "" if noise == "checkpoint" else NOISES.get(noise, noise)
    return replace(model, motion=adapter, noise=trained or model.noise)
