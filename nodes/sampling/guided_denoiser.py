"""Predictions under guidance: a denoiser with its prompts and their ControlNets, as a sampler calls it.

Guidance leads along branches: away from the negative prompt, towards the positive one, and away from the positive one
under perturbed attention. A branch is one prompt, or several that act together. All prompts that act at a step go
through the network as one batch, `[negative, positive, perturbed]`, and a ControlNet sees its rows of that batch;
prompts of different lengths take a call each. Where guidance is off, and for a network that takes its scale itself, the
positive prompt goes alone.

Imports torch: only the bodies of nodes import this module. `weft.nodes.sampling.controlnets` has what ControlNets add,
`weft.nodes.sampling.pag` how attention is perturbed, `weft.nodes.sampling.guidance_math` how predictions are combined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.models.clip_pictures import CLIP_NUMBERS, FIRST_FRAMES, PICTURE_TOKENS, check_begins, check_tokens
from weft.nodes.models.control_networks import ControlNetwork
from weft.nodes.models.denoiser import EXTRA_CHANNELS, REFERENCE, Conditions, Denoiser
from weft.nodes.models.denoiser_facts import check_references
from weft.nodes.models.grounding import GROUNDING
from weft.nodes.models.image_attention import shown_images
from weft.nodes.models.motion_modules import clip_frames
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.optimisations import fresh_cache, remembered, skips_blocks
from weft.nodes.models.sliced_attention import spared
from weft.nodes.sampling.controlnets import BoundControl, bound, distinct, fused, repeated, total
from weft.nodes.sampling.forecasting import ForecastPredictions
from weft.nodes.sampling.guidance_math import (
    GuidanceStep,
    averaged,
    projected,
    prompt_weight,
    rescaled,
    window_slices,
)
from weft.nodes.sampling.guide_patches import patches_of
from weft.nodes.sampling.image_prompting import ActingImages, BoundImages, acting, bound_images, check_additions, joined
from weft.nodes.sampling.pag import perturbed_rows
from weft.nodes.sampling.sampling_run import Position, SamplingRun
from weft.nodes.sampling.timed_loras import TimedLoRAs
from weft.nodes.sampling.traits import (
    TRUE_SCALE_HINT,
    extra_channels_hint,
    nothing_between,
    nothing_to_project,
    two_directions,
)
from weft.nodes.values import Guide, Latent, Prompt


@dataclass(frozen=True)
class GuidanceBranch:
    """One of the predictions that guidance combines: its prompts, and the channels concatenated to the latents.

    Args:
        extra: `[batch or 1, channel, ..., height, width]`; None for models that read latents alone.
        references: latents of pictures to refer to, of the same form.
        clip_pictures: what the model reads of the pictures that a clip begins and ends with, by the names of
            `weft.nodes.models.clip_pictures`.
    """

    prompts: tuple[Prompt[Any], ...]
    negative: bool
    extra: Tensor | None
    perturbed: bool = False
    references: tuple[Tensor, ...] = ()
    clip_pictures: tuple[tuple[str, Tensor], ...] = ()


@dataclass(frozen=True)
class BranchPrompt:
    """One prompt of a branch, on the device.

    Args:
        branch: the number of its branch.
        conditions: inputs of the network, a row for each item.
        controls: the numbers of the ControlNets that act with it.
        weight: among the prompts of its branch, `[batch or 1, 1, height, width]` in latent elements; a number where it
            is the same all over.
        perturbed: whether it is predicted under perturbed attention.
        images: the pictures that its rows attend to.
    """

    branch: int
    prompt: Prompt[Any]
    conditions: Conditions
    controls: tuple[int, ...]
    weight: Tensor | float
    perturbed: bool
    images: tuple[BoundImages, ...] = ()

    def joins(self, other: BranchPrompt) -> bool:
        """Whether both can go through the network in one batch."""
        seen = [(one.grounded, one.prompt.window, one.prompt.window_in_shares) for one in (self, other)]
        return seen[0] == seen[1] and {name: tensor.shape for name, tensor in self.conditions.items()} == {
            name: tensor.shape for name, tensor in other.conditions.items()
        }

    @property
    def grounded(self) -> float:
        """The fraction of the steps at which objects at places stop to count; 0 where there are none."""
        return self.prompt.grounding.end if self.prompt.grounding else 0.0


@dataclass(frozen=True)
class NetworkCall:
    """Prompts that go through the network in one batch, each with its rows; frames of clips may be rows of their own.

    Attention is perturbed in the rows of the last prompts, those that are `perturbed`.

    Args:
        forecast: extrapolates predictions from those of earlier steps; None where all are computed.
    """

    prompts: tuple[BranchPrompt, ...]
    conditions: Conditions
    controls: tuple[BoundControl, ...]
    images: tuple[ActingImages, ...] = ()
    forecast: ForecastPredictions | None = None

    def predict(self, model: Denoiser, latents: Tensor, timestep: Tensor, position: Position) -> Sequence[Tensor]:
        """The prediction for each prompt, in float32."""
        if self.forecast is None:
            whole = self._computed(model, latents, timestep, position)
        elif self.forecast.due():
            whole = self.forecast.computed(self._computed(model, latents, timestep, position))
        else:
            whole = self.forecast.extrapolated()
        return whole.chunk(len(self.prompts))

    def _computed(self, model: Denoiser, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The network's predictions for all prompts; zero where it does not see the picture with them."""
        height, width = latents.shape[-2:]
        window = window_slices(self.prompts[0].prompt, height, width, model.latent_factor, model.limits)
        if window is None:
            return self._predicted(model, latents, timestep, position)
        rows, columns = window
        seen = self._predicted(model, latents[..., rows, columns], timestep, position)
        whole = seen.new_zeros((*seen.shape[:-2], *latents.shape[-2:]))
        whole[..., rows, columns] = seen
        return whole

    def _predicted(self, model: Denoiser, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The network's predictions for all prompts, of what it sees of the picture."""
        sample = torch.cat([latents] * len(self.prompts)).to(model.dtype)
        frames = sample.shape[2] if model.frames_are_rows else 0
        if frames:
            sample = sample.transpose(1, 2).flatten(0, 1)
        conditions = self._conditions(position)
        residuals = total(self.controls, sample, timestep, conditions, model, position)
        kept = sum(not prompt.perturbed for prompt in self.prompts)
        count = len(self.prompts)
        perturbed = perturbed_rows(kept, count) if kept < count else nullcontext()
        time = model.network_timestep(timestep)
        pictured = shown_images(acting(self.images, position, time, model.dtype)) if self.images else nullcontext()
        given = {"latents": sample, **conditions}
        walk = remembered(model, f"call {id(self)}")
        moving = clip_frames(frames) if frames else nullcontext()
        with walk, perturbed, pictured, moving, network_call(f"the denoiser of {model.family}", given):
            prediction = model.predict(sample, timestep, conditions, residuals).float()
        return prediction.view(-1, frames, *prediction.shape[1:]).transpose(1, 2) if frames else prediction

    def _conditions(self, position: Position) -> Conditions:
        """Those of a position: objects at places count at the beginning of a run."""
        if not self.prompts[0].grounded or position.among(0.0, self.prompts[0].grounded):
            return self.conditions
        return {name: one for name, one in self.conditions.items() if name not in GROUNDING}


@dataclass(frozen=True)
class GuidedDenoiser:
    """Predictions under guidance, which leads along a chain of branches: away from the first, towards the positive one.

    Args:
        scales: how far guidance goes from each branch to the next, up to the positive one, whose number is their count;
            the perturbed branch comes after it.
        nets: the ControlNets that prompts number.
        step: what guidance adds from one branch to the next; it may remember the steps before.
        loras: those that act in a part of the steps.
        calls: the network calls for each set of prompts that has acted, by their numbers.
    """

    model: Denoiser
    guide: Guide[Any]
    prompts: tuple[BranchPrompt, ...]
    scales: tuple[float, ...]
    nets: tuple[BoundControl, ...]
    step: GuidanceStep
    loras: TimedLoRAs
    calls: dict[tuple[int, ...], tuple[NetworkCall, ...]] = field(default_factory=dict)

    def __call__(self, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The prediction for scaled latents `[batch, channel, ..., height, width]`, of their shape, in float32."""
        self.loras.enter(position)
        branches = self._branches(latents, timestep, position)
        if len(branches) == 1:
            return branches[0]
        positive = branches[len(self.scales)]
        guided = branches[0]
        for scale, before, after in zip(self.scales, branches, branches[1:], strict=False):
            guided = guided + self.step(before, after, self._over_frames(scale, after))
        if self.scales and self.guide.normalised:
            guided = self.model.normalised(guided, positive)
        if self.guide.perturbation:
            guided = guided + self.guide.perturbation.scale * (positive - branches[-1])
        return rescaled(guided, positive, self.guide.rescale) if self.guide.rescale else guided

    def _over_frames(self, scale: float, prediction: Tensor) -> Any:
        """A scale of guidance; for each frame of a clip where it rises from the first to the last."""
        if self.guide.first_scale is None or prediction.ndim < 5:
            return scale
        rising = torch.linspace(self.guide.first_scale, scale, prediction.shape[2], device=prediction.device)
        return rising[:, None, None]

    def _branches(self, latents: Tensor, timestep: Tensor, position: Position) -> list[Tensor]:
        """The prediction of each branch; that of the positive one alone where guidance is off."""
        count = len(self.scales) + 1 + bool(self.guide.perturbation)
        acts = position.among(self.guide.start, self.guide.end)
        branches = range(count) if acts else (len(self.scales),)
        found: dict[int, list[tuple[Tensor, Tensor | float]]] = {branch: [] for branch in branches}
        for call in self._network_calls(branches, position):
            predictions = call.predict(self.model, latents, timestep, position)
            for prompt, prediction in zip(call.prompts, predictions, strict=True):
                found[prompt.branch].append((prediction, prompt.weight))
        return [averaged(predictions) for predictions in found.values()]

    def _network_calls(self, branches: Sequence[int], position: Position) -> tuple[NetworkCall, ...]:
        """The calls that the prompts of this position take; equal sets of prompts are joined once in a run."""
        numbers = tuple(
            number
            for number, one in enumerate(self.prompts)
            if one.branch in branches and position.among(one.prompt.start, one.prompt.end)
        )
        if {self.prompts[number].branch for number in numbers} != set(branches):
            raise InputError(
                f"no prompt acts at {position.index} of {position.count} predictions",
                "let the fractions of the prompts cover the whole run (PromptSteps)",
                "no-prompt",
            )
        if numbers not in self.calls:
            self.calls[numbers] = tuple(self._joined([self.prompts[number] for number in numbers]))
        return self.calls[numbers]

    def _joined(self, prompts: list[BranchPrompt]) -> Iterator[NetworkCall]:
        """One call for all prompts whose conditions have equal shapes, in their order: perturbed ones stay last.

        Where the model wants them separate, each has a call of its own.
        """
        separate = self.guide.model.separate
        while prompts:
            together = tuple(one for one in prompts if (one is prompts[0] if separate else one.joins(prompts[0])))
            prompts = [one for one in prompts if one not in together]
            names = together[0].conditions
            conditions = {name: torch.cat([one.conditions[name] for one in together]) for name in names}
            steered = [(net, [number in one.controls for one in together]) for number, net in enumerate(self.nets)]
            controls = tuple(net.on(parts) for net, parts in steered if any(parts))
            forecast = ForecastPredictions(self.guide.model.forecast) if self.guide.model.forecast else None
            images = tuple(joined([one.images for one in together]))
            yield NetworkCall(together, conditions, controls, images, forecast)


def seen_pictures(guide: Guide[Any], model: Denoiser, latent: Latent[Any], run: SamplingRun) -> Guide[Any]:
    """A guide with the latents that its network sees beside its own, drawn where they are a distribution.

    diffusers' inpainting pipelines draw those of the masked picture after the noise, also for networks that do not read
    them. So noise of later steps follows it.
    """
    beside, deviation = guide.beside, guide.picture_deviation
    if beside is not None and deviation is not None:
        drawn = deviation * run.draw(deviation.shape[1:], len(deviation)).cpu()
        nothing = torch.zeros(1, 1, latent.height, latent.width, dtype=torch.float32)
        return replace(guide, beside=beside + model.masked_channels(nothing, drawn, model.latent_factor))
    if latent.deviation is not None and latent.mask and not latent.mask.differential:
        run.draw(latent.deviation.shape[1:], len(latent.deviation))
    return guide


@contextmanager
def guided(guide: Guide[Any], model: Denoiser, latent: Latent[Any], context: Context) -> Iterator[GuidedDenoiser]:
    """A guide's predictions for latents of this size and batch; its ControlNets' weights are held while it is open.

    Raises:
        InputError: where the guide does not fit the model or the latents.
    """
    _check_extra_channels(guide, model, latent)
    _check_pictures(guide, model)
    if guide.references:
        clean, diagonal = guide.clean_references, guide.diagonal_references
        check_references(model.family, model.references, clean, diagonal, model.extra_channels)
    scale_conditions = model.guidance_conditions(guide.scale)
    distilled = scale_conditions is not None
    if guide.true_scale != 1 and not distilled:
        raise InputError(
            "the model was not distilled with guidance, so it has one scale alone",
            TRUE_SCALE_HINT,
            "unsupported-by-model",
        )
    distilled = distilled and guide.true_scale == 1
    if distilled and guide.middle is not None:
        raise nothing_between()
    step = _guidance_step(guide, model, distilled)
    branches, scales = branches_of(guide, distilled)
    prompts = [(number, prompt) for number, branch in enumerate(branches) for prompt in branch.prompts]
    _check_windows([prompt for _, prompt in prompts], guide)
    controls, numbers = distinct([prompt for _, prompt in prompts])
    with ExitStack() as held:
        if patches := patches_of(guide):
            # For a caller that holds the model without them; they are entered once where it has them already.
            held.enter_context(context.weights(guide.model, patches=patches))
        held.enter_context(fresh_cache(model))
        held.enter_context(spared(context))
        if controls and skips_blocks(model):
            raise InputError(
                "blocks that are skipped would have what ControlNets add twice",
                "set `cache` of Optimize to `taylor_seer` or `none`",
                "conflicting-inputs",
            )
        nets = []
        for control in controls:
            network = held.enter_context(context.weights(control.control_net, ControlNetwork))
            nets.append(bound(control, latent, network, model, context))
        # A perturbed prompt has the ControlNets of the positive one, and counts as one of its branch.
        acting = [*_acting_controls(nets, [min(number, len(scales)) for number, _ in prompts], numbers)]
        nets, steered = fused(nets, acting)
        inputs = [
            BranchPrompt(
                number,
                prompt,
                _network_inputs(branches[number], prompt, model, latent, scale_conditions or {}, context.device),
                own,
                prompt_weight(prompt, latent, model, context.device),
                branches[number].perturbed,
                bound_images(prompt.images, latent, model, context, held),
            )
            for (number, prompt), own in zip(prompts, steered, strict=True)
        ]
        loras = held.enter_context(TimedLoRAs(guide, context))
        nets = [_reading(number, net, inputs, len(scales)) for number, net in enumerate(nets)]
        if len(inputs) > 1 and not guide.model.separate and context.saves("calls"):
            guide = replace(guide, model=replace(guide.model, separate=True))
        yield GuidedDenoiser(model, guide, tuple(inputs), scales, tuple(nets), step, loras)


def _check_windows(prompts: Sequence[Prompt[Any]], guide: Guide[Any]) -> None:
    """Raise `InputError` where the denoiser is to see a part of the picture, and reads others that are as large."""
    windowed = [one for one in prompts if one.window]
    pictures = guide.beside is not None or guide.first_frames is not None or guide.picture_tokens is not None
    if windowed and (pictures or any(one.controls or one.images or one.grounding for one in windowed)):
        message = "a prompt with a window has a ControlNet, an image prompt or objects, or its guide a picture"
        raise InputError(
            message, "use PromptArea, with which the denoiser sees the whole picture", "conflicting-inputs"
        )


def _reading(number: int, net: BoundControl, prompts: Sequence[BranchPrompt], positive: int) -> BoundControl:
    """A control with what it reads of the positive prompt, where it reads no other and there is one alone.

    Args:
        number: of the control.
        positive: the number of the positive branch.
    """
    own = [one for one in prompts if one.branch == positive and number in one.controls]
    if not net.network.reads_positive or len(own) != 1:
        return net
    conditions = own[0].conditions
    return replace(net, positive={name: conditions[name] for name in net.network.conditions if name in conditions})


def _acting_controls(
    nets: Sequence[BoundControl], branches: Sequence[int], numbers: Sequence[tuple[int, ...]]
) -> Iterator[tuple[int, ...]]:
    """The numbers of the ControlNets that act with each prompt, of those that it has.

    One that pools its output into one vector, for style, acts on the last branch alone that has it, as in diffusers.

    Args:
        branches: the number of each prompt's branch.
        numbers: of the ControlNets that each prompt has.
    """
    lasts = {
        one: max(branch for branch, own in zip(branches, numbers, strict=True) if one in own)
        for one, net in enumerate(nets)
        if net.network.pools
    }
    for branch, own in zip(branches, numbers, strict=True):
        yield tuple(one for one in own if lasts.get(one, branch) == branch)


def _guidance_step(guide: Guide[Any], model: Denoiser, distilled: bool) -> GuidanceStep:
    """What guidance adds from one branch to the next: the model's own step, or adaptive projected guidance.

    Raises:
        InputError: where guidance is to be projected, and there is not one direction to project.
    """
    if guide.projection is None:
        return model.guidance_step
    if distilled:
        raise nothing_to_project()
    if guide.image_scale is not None or guide.middle is not None:
        raise two_directions()
    return projected(guide.projection)


def branches_of(guide: Guide[Any], distilled: bool) -> tuple[list[GuidanceBranch], tuple[float, ...]]:
    """The branches that guidance leads along, up to the positive one, and its scale from each to the next.

    The perturbed branch, where there is one, comes after these. A model that was distilled with guidance has no others,
    unless the guide has a `true_scale`. A picture to edit has its own scale: neither prompt nor picture, the picture,
    both (InstructPix2Pix). A guide with a middle prompt leads from the negative one to it, and on to the positive one.
    """
    given = {FIRST_FRAMES: guide.first_frames, PICTURE_TOKENS: guide.picture_tokens}
    pictures = tuple((name, one) for name, one in given.items() if one is not None)
    numbers = ((CLIP_NUMBERS, torch.tensor([guide.clip_numbers])),) if guide.clip_numbers else ()
    positive = GuidanceBranch(
        guide.positive.prompts, False, guide.beside, False, guide.references, (*pictures, *numbers)
    )
    last = [positive, *([replace(positive, perturbed=True)] if guide.perturbation else [])]
    if guide.negative is None or distilled:
        return last, ()
    negative = replace(positive, prompts=guide.negative.prompts, negative=True)
    if guide.withheld:
        nothing = tuple((name, torch.zeros_like(one)) for name, one in pictures)
        extra = None if guide.beside is None else torch.zeros_like(guide.beside)
        negative = replace(negative, extra=extra, clip_pictures=(*nothing, *numbers))
    if guide.middle is not None:
        middle = replace(positive, prompts=guide.middle.prompts)
        return [negative, middle, *last], (guide.middle_scale, guide.scale)
    if guide.image_scale is None or guide.beside is None:
        return [negative, *last], (guide.scale if guide.true_scale == 1 else guide.true_scale,)
    blind = GuidanceBranch(guide.negative.prompts, True, torch.zeros_like(guide.beside))
    return [blind, negative, *last], (guide.image_scale, guide.scale)


def _network_inputs(
    branch: GuidanceBranch,
    prompt: Prompt[Any],
    model: Denoiser,
    latent: Latent[Any],
    scale_conditions: Conditions,
    device: str,
) -> Conditions:
    """The network's inputs for one prompt, one row an item, on the device.

    Raises:
        InputError: where the prompt does not fit the model, or has neither one row nor one for each item.
    """
    width, expected = prompt.embeddings.shape[-1], model.prompt_width
    if width != expected:
        raise InputError(
            f"the prompt was encoded {width} channels wide, and the model reads {expected}",
            "encode it with the text encoder of the model's own checkpoint",
            "wrong-channels",
        )
    if prompt.framing and not model.takes_size_conditions:
        raise InputError(
            f"a model of {model.family} reads no size conditions", "leave Framing out", "unsupported-by-model"
        )
    check_additions(prompt, model)
    inputs = {**model.conditions(prompt, latent, branch.negative), **scale_conditions}
    batch, frames = latent.batch_size, model.frame_rows(latent)
    rows = {name: repeated(one, batch, "a prompt", frames) for name, one in inputs.items()}
    if branch.extra is not None:
        rows[EXTRA_CHANNELS] = repeated(branch.extra, batch, "the picture of a guide", frames)
    for name, picture in branch.clip_pictures:
        rows[name] = repeated(picture, batch, "the picture that a clip begins with", frames)
    for number, reference in enumerate(branch.references):
        rows[f"{REFERENCE} {number:04d}"] = repeated(reference, batch, "the picture to refer to", frames)
    return {name: _on_device(tensor, model.dtype, device) for name, tensor in rows.items()}


def _on_device(tensor: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    """A condition on the device; masks and numbers of classes keep their dtype."""
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _check_extra_channels(guide: Guide[Any], model: Denoiser, latent: Latent[Any]) -> None:
    """Raise `InputError` where the guide's extra channels are not those that the network reads."""
    given, expected = 0 if guide.beside is None else guide.beside.shape[1], model.extra_channels
    if given != expected:
        raise InputError(
            f"the model reads {expected} channels in addition to its latents, and the guide gives {given}",
            extra_channels_hint(expected, model.clips is not None),
            "wrong-guide",
        )
    if model.maps_pictures and guide.image_scale is not None:
        message = f"a model of {model.family} makes a map of a picture, and the guide has one to edit"
        raise InputError(message, "use DensePredictionGuide in place of EditGuide", "wrong-guide")
    *_, height, width = shape = model.latent_shape(latent)
    for given_clip in (guide.beside, guide.first_frames):
        if given_clip is not None and given_clip.ndim == 5:
            _check_clip_pictures(given_clip, shape, model, latent)
    if guide.beside is not None and guide.beside.shape[-2:] != (height, width):
        found = " x ".join(str(side * model.latent_factor) for side in reversed(guide.beside.shape[-2:]))
        raise InputError(
            f"the guide's picture has {found} pixels, the latents are for {latent.width} x {latent.height}",
            "start from the same picture, or scale one of them",
            "size-mismatch",
        )


def _check_clip_pictures(given: Tensor, shape: Sequence[int], model: Denoiser, latent: Latent[Any]) -> None:
    """Raise `InputError` where the pictures that a clip begins and ends with were encoded for one of another size.

    Args:
        given: what the network reads of them.
        shape: of one item of the model's latents.
    """
    _, frames, *sides = shape
    if list(given.shape[-2:]) != sides or given.shape[2] not in (1, frames):
        found = " x ".join(str(side * model.latent_factor) for side in reversed(given.shape[-2:]))
        raise InputError(
            f"the pictures of ImageToVideoGuide were encoded for {given.shape[2]} latent frames of {found} pixels, and "
            f"the clip has {frames} of {latent.width} x {latent.height}",
            "link `latent` of ImageToVideoGuide to that of the sampler",
            "size-mismatch",
        )


def _check_pictures(guide: Guide[Any], model: Denoiser) -> None:
    """Raise `InputError` where a model does not read the pictures that a clip is to begin with, as they are encoded."""
    reading, tokens = model.reads_pictures(model.network.config), guide.picture_tokens
    moves = reading is not None and reading.sets_in_motion
    if (guide.first_frames is not None or tokens is not None) and not moves:
        check_begins(reading, ends=False)
    if reading is not None:
        check_tokens(reading, *((0, 0) if tokens is None else (tokens.shape[-1], tokens.shape[1])))
