"""Calls of whole pipelines: our inputs become parameters, a sampler becomes a scheduler, results become values.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from weft.engine import Context, InputError
from weft.nodes.families import family, of_checkpoint
from weft.nodes.models.latent_preview import latent_rgb_factors_of, with_decoder
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.pipeline_loading import LoadedPipeline
from weft.nodes.models.pipeline_parameters import (
    check_encoding,
    encoded_names,
    faults,
    parameter_of,
    python_value,
)
from weft.nodes.models.pipeline_run import PipelineRun, Preview, argument, outputs_of
from weft.nodes.models.pipeline_source import PipelineClass
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.pipeline_values import Pipeline, PipelineInputs
from weft.nodes.sampling.samplers import SamplerName, ScheduleName
from weft.nodes.sampling.scheduler_run import make_scheduler

RATE = 8.0
"""Frames a second of clips whose pipeline is given no rate, as diffusers writes them."""

RATE_SETTINGS = ("frame_rate", "fps")
"""The parameters that have the rate of clips."""


@dataclass(frozen=True)
class PipelineCall:
    """What RunPipeline was given.

    Args:
        given: the inputs that are parameters of pipelines, by their names in RunPipeline.
        settings: parameters by diffusers' names.
        inputs: values by diffusers' names.
    """

    given: Mapping[str, Any]
    settings: Mapping[str, Any]
    inputs: Sequence[PipelineInputs]
    seed: int | list[int]
    sampler: SamplerName
    schedule: ScheduleName
    latents: bool

    @property
    def named(self) -> list[str]:
        """The parameters that `inputs` gives."""
        return [name for one in self.inputs for name in one.names]

    def arguments(self, known: PipelineClass, device: str) -> dict[str, Any]:
        """The parameters of the call."""
        placed = {parameter_of(known, name): value for name, value in self.given.items()}
        placed |= {name: value for one in self.inputs for name, value in one.given}
        found = {name: argument(value, known.call[name], device) for name, value in placed.items() if name}
        return found | {name: python_value(known.call[name].annotation, value) for name, value in self.settings.items()}

    def items(self, arguments: Mapping[str, Any]) -> int:
        """How many pictures the call makes."""
        prompt, embedded = arguments.get("prompt"), arguments.get("prompt_embeds")
        texts = len(prompt) if isinstance(prompt, list) else len(embedded) if isinstance(embedded, torch.Tensor) else 1
        return texts * int(self.given.get("count", 1))

    def seeds(self, items: int) -> list[int]:
        """The seed of each picture.

        Raises:
            InputError: where there is a list of another length.
        """
        if isinstance(self.seed, int):
            return [(self.seed + number) % 2**64 for number in range(items)]
        if len(self.seed) != items:
            message = f"there are {len(self.seed)} seeds for {items} pictures"
            raise InputError(message, "give one seed, or one for each picture", "batch-mismatch")
        return self.seed


def call_pipeline(recipe: Pipeline, call: PipelineCall, context: Context) -> dict[str, Any]:
    """What a pipeline gives, by the outputs of RunPipeline.

    Raises:
        InputError: where it does not take what it is given, or is not given what it needs.
    """
    with context.weights(recipe, LoadedPipeline) as loaded:
        known = loaded.facts.known
        for fault in faults(known, [*call.given], call.settings, call.named):
            raise fault.error
        pipeline = loaded.fresh()
        if (call.sampler, call.schedule) != ("model", "model"):
            pipeline.__dict__["scheduler"] = make_scheduler(pipeline.scheduler.config, call.sampler, call.schedule)
        arguments = call.arguments(known, context.device)
        run = PipelineRun(pipeline, context, _preview(loaded, context))
        returned = run.call(arguments, call.seeds(call.items(arguments)), known.call, call.latents)
        rate = next((call.settings[name] for name in RATE_SETTINGS if call.settings.get(name)), RATE)
        return outputs_of(returned, pipeline, float(rate))


def _preview(loaded: LoadedPipeline, context: Context) -> Preview | None:
    """What draws the pipeline's latents: the colours of its family; None where it is of none that is known."""
    checkpoint = of_checkpoint(loaded.facts.contents)
    if checkpoint is None:
        return None
    factors = with_decoder(
        latent_rgb_factors_of(loaded.root, family(checkpoint.family).latent_rgb_factors), context.preview_decoders
    )
    return factors.png


def encode_prompt(
    recipe: Pipeline,
    prompt: str | list[str],
    negative_prompt: str | list[str] | None,
    settings: Mapping[str, Any],
    context: Context,
) -> PipelineInputs:
    """The embeddings of prompts, by the parameters of the pipeline's call.

    Raises:
        InputError: where the class cannot be handed embeddings, or does not take what is given.
    """
    with context.weights(recipe, LoadedPipeline) as loaded:
        known, pipeline = loaded.facts.known, loaded.fresh()
        check_encoding(known, bool(negative_prompt), settings)
        texts: dict[str, Any] = {"prompt": prompt}
        if "negative_prompt" in known.encode:
            texts["negative_prompt"] = negative_prompt
        found = _encoded(pipeline, known, texts, settings, context)
        if negative_prompt and "negative_prompt" not in known.encode:
            other = _encoded(pipeline, known, {"prompt": negative_prompt}, settings, context)
            found |= {f"negative_{name}": value for name, value in other.items()}
        wanted = encoded_names(known, bool(negative_prompt))
        return PipelineInputs(tuple((name, found[name]) for name in wanted if found.get(name) is not None))


def _encoded(
    pipeline: Any, known: PipelineClass, texts: Mapping[str, Any], settings: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """What `encode_prompt` of a pipeline gives, by name, on the CPU."""
    options = {"device": context.device, "do_classifier_free_guidance": True}
    options |= dict.fromkeys(("num_images_per_prompt", "num_videos_per_prompt"), 1)
    taken = {name: value for name, value in options.items() if name in known.encode}
    given = {name: python_value(known.encode[name].annotation, value) for name, value in settings.items()}
    with network_call(f"encode_prompt of {known.name}", {}), quietly():
        made = pipeline.encode_prompt(**texts, **taken, **given)
    values = made if isinstance(made, tuple) else (made,)
    return {name: _kept(one) for name, one in zip(known.encoded, values, strict=True)}


def _kept(value: Any) -> Any:
    """A tensor or a list of them as values hold them."""
    if isinstance(value, list | tuple):
        return [_kept(one) for one in value]
    return value.detach().clone().cpu() if isinstance(value, torch.Tensor) else value
