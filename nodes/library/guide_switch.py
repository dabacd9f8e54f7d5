"""Two models in one run: SwitchGuide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import NodeProblem, Range, Upstream, node
from weft.nodes.sampling.compatibility import wrong_channels
from weft.nodes.sampling.model_links import guides_of, model_of_guide
from weft.nodes.sampling.traits import AS_READ, GuideTraits
from weft.nodes.values import F, Guide


def _fits(switch: Upstream) -> Iterator[NodeProblem]:
    """Both models must read the same latents and prompts."""
    first, later = (above and model_of_guide(above) for above in (switch.above("guide"), switch.above("later")))
    if first and later and first.family is later.family:  # Others are no guides of one type.
        found, wanted = (
            (one.facts.latent_channels, one.extra_channels, one.facts.widths.prompt) for one in (later, first)
        )
        if found != wanted:
            message = (
                f"the model of `{later.node}` reads {found[0]} channels of latents, {found[1]} further ones and "
                f"prompts of {found[2]}, and that of `{first.node}` {wanted[0]}, {wanted[1]} and {wanted[2]}"
            )
            yield NodeProblem("later", message, "load both from one model's folder", "wrong-guide")


def _comes_last(switch: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """What a guide behind the switch adds would act on one of the models alone, but for a picture to begin with.

    The second model has to read one too, from there or from its own guide.
    """
    begins = False
    for guide in guides_of(sampler):
        traits = guide.call.type.trait(GuideTraits)
        if guide.call.id == switch.call.id:
            break
        begins = begins or (traits is not None and traits.extra_channels == AS_READ)
        if traits is None or traits.extra_channels != AS_READ:
            message = f"`{guide.call.id}` comes after `{switch.call.id}`, and acts on the first of its models alone"
            hint = f"put it before `{switch.call.id}`, for each of its guides"
            yield NodeProblem("guide", message, hint, "wrong-guide")
    given, later = switch.above("guide"), switch.above("later")
    first, model = (model_of_guide(above) if above else None for above in (given, later))
    # Models of other channels than each other are a problem of `_fits`.
    alike = model and (first is None or first.extra_channels == model.extra_channels)
    if later and model and alike and not begins and (problem := wrong_channels(later, model)):
        yield problem


@node(category="guidance", lane="cpu", fits=_fits, traits=(GuideTraits(check_sampler=_comes_last),))
def SwitchGuide(guide: Guide[F], later: Guide[F], *, boundary: Annotated[float, Range(0.0, 1.0)] = 0.875) -> Guide[F]:
    """Sample with one model at high noise levels, and with another one below them, in one run (Wan 2.2 A14B).

    Each has its own prompts, scale and LoRAs. One of them is held in memory at a time. Samplers go on with what they
    remember of earlier steps, as in diffusers' pipelines with `transformer_2`.

    Args:
        guide: from CFGGuide, of the model for high noise: that of LoadCheckpoint, for Wan 2.2.
        later: from CFGGuide, of the model for low noise: LoadDiffusionModel takes the folder `MODEL/transformer_2`.
        boundary: the timestep at which `later` takes over, as a share of those of the training: diffusers'
            `boundary_ratio`, 0.875 for text and 0.9 for pictures with Wan 2.2.
    """
    return replace(guide, later=later, boundary=boundary)
