"""Static checks of a sampler with its guides, its latents and its model, before a run.

They follow links from a guide to the loader of its model (`weft.nodes.sampling.model_links`), and read the names and
headers of the loader's source, what a family declares of its networks (`weft.nodes.models.denoiser`) and what node
types declare (`weft.nodes.sampling.traits`). Where links lead to no loader, the node itself checks when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.denoiser_facts import ClipLimits, check_clip, check_references
from weft.nodes.sampling.model_links import Loaded, guides_of, model_behind, motion_behind, prompt_nodes
from weft.nodes.sampling.prompt_checks import additions_fit, prompts_fit
from weft.nodes.sampling.schedule_checks import follows
from weft.nodes.sampling.size_checks import items_fit
from weft.nodes.sampling.traits import (
    AS_READ,
    TRUE_SCALE_HINT,
    GuideTraits,
    LatentTraits,
    extra_channels_hint,
)
from weft.nodes.sizes import batch_above, size_above
from weft.nodes.values import Guide, Latent


def sampling_fits(sampler: Upstream) -> Iterator[NodeProblem]:
    """Whether a KSampler fits its latent, its model and its guide."""
    yield from _begins_with_latents(sampler)
    model = model_behind(sampler)
    if model:
        yield from follows(sampler, model)
        yield from _size_fits(sampler, model)
        yield from _clip_fits(sampler, model)
        yield from _seeds_fit(sampler, model)
        yield from prompts_fit(sampler, model)
        yield from additions_fit(sampler, model)
    yield from items_fit(sampler, prompt_nodes(sampler))
    yield from guide_fits(sampler)


def guide_fits(sampler: Upstream) -> Iterator[NodeProblem]:
    """Whether the guides behind a sampler fit it and its model, by what their node types declare (`GuideTraits`).

    For the `fits` of any node type that takes a `Guide` and samples with it.
    """
    yield from _extra_channels_fit(sampler)
    for guide in guides_of(sampler):
        traits = guide.call.type.trait(GuideTraits)
        if traits and traits.check_sampler:
            yield from traits.check_sampler(guide, sampler)


def true_scale_fits(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """Only a model that reads its scale has room for guidance next to it."""
    model = model_behind(sampler)
    if model is None or guide.literals.get("true_scale", 1.0) in (1.0, None):
        return
    if not model.family.denoiser.distilled(model.facts.network.config):
        message = f"`true_scale` of `{guide.call.id}` is for models that were distilled with guidance; {model}"
        yield NodeProblem("guide", message, TRUE_SCALE_HINT, "unsupported-by-model")


def references_fit(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """Only some models read pictures as tokens next to those of the latents."""
    if model := model_behind(sampler):
        clean, diagonal = guide.literals.get("clean"), guide.literals.get("places") == "diagonal"
        try:
            denoiser, extra = model.family.denoiser, model.extra_channels
            check_references(model.family.name, denoiser.references, bool(clean), diagonal, extra)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "guide", after=f"; `{guide.call.id}`, and {model}")


def _extra_channels_fit(sampler: Upstream) -> Iterator[NodeProblem]:
    """The guide must concatenate as many channels to the latents as the model reads."""
    guide, model = sampler.above_by_type(Guide), model_behind(sampler)
    if guide and model and (problem := wrong_channels(guide, model)):
        yield problem


def wrong_channels(guide: Upstream, model: Loaded) -> NodeProblem | None:
    """What is wrong with how many channels a guide concatenates to the latents of its model.

    Args:
        guide: the last node of the guide; what those before it give counts where it passes that on.
    """
    giver: Upstream | None = guide
    traits = guide.call.type.trait(GuideTraits)
    while giver and traits and traits.extra_channels is None:
        giver = giver.above_by_type(Guide)
        traits = giver.call.type.trait(GuideTraits) if giver else None
    clip = model.extra_channels and model.family.denoiser.reads_pictures(model.facts.network.config)
    if giver is None or traits is None:
        return None
    if traits.extra_channels == AS_READ if clip else traits.gives(model.extra_channels):
        return None
    message = (
        f"the model of `{model.node}` reads {model.extra_channels} channels in addition to its latents, "
        f"and the guide of `{giver.call.id}` gives {' or '.join(map(str, traits.channel_counts))}"
        f"{' of a picture' if clip else ''}"
    )
    hint = extra_channels_hint(model.extra_channels, model.family.denoiser.clips is not None)
    return NodeProblem("guide", message, hint, "wrong-guide")


def _begins_with_latents(sampler: Upstream) -> Iterator[NodeProblem]:
    """Latents that are only a size have no samples to keep."""
    latent, given = sampler.above_by_type(Latent), sampler.literals
    traits = latent.call.type.trait(LatentTraits) if latent else None
    if latent is None or traits is None or not traits.empty:
        return
    for name, whole in (("denoise", 1.0), ("start_step", 0), ("add_noise", True)):
        if given.get(name, whole) != whole:
            message = f"the run starts from given latents, and `{latent.call.id}` is only a size, without samples"
            yield NodeProblem(
                name, message, f"leave `{name}` out, or give latents (VAEEncode, KSampler)", "empty-latent"
            )


def _size_fits(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """The size of the latents must be one that the model takes."""
    size = size_above(sampler, "latent")
    if size is None:
        return
    try:
        limits = model.family.denoiser.size_limits(model.facts.network.config)
        limits.check(*size, model.facts.latent_factor)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "latent", after=f"; {model}")


def _seeds_fit(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """A list of seeds must have one for each picture; how many clips arrive is known only in the run."""
    seeds, batch = sampler.literals.get("seed"), batch_above(sampler, "latent")
    clips = (
        model.family.denoiser.clip_limits(model.facts.network.config) or next(motion_behind(sampler), None) is not None
    )
    if batch is None or clips or not isinstance(seeds, list) or sampler.literals.get("generator", "item") != "item":
        return
    if len(seeds) != batch:
        message = f"there are {len(seeds)} seeds for {batch} items"
        yield NodeProblem("seed", message, "give one seed, or one for each item", "batch-mismatch")


def _clip_fits(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Latents of clips are for models that make clips, and those of pictures for others."""
    latent = sampler.above("latent")
    traits = latent.call.type.trait(LatentTraits) if latent else None
    if latent is None or traits is None:
        return
    motion = next(motion_behind(sampler), None)
    own = model.family.denoiser.clip_limits(model.facts.network.config)
    clips = own if motion is None else ClipLimits(longest=motion)
    try:
        check_clip(clips, traits.clip, latent.literals.get("frames", 1))
    except InputError as refusal:
        yield NodeProblem.of(refusal, "latent", after=f"; {model}")
