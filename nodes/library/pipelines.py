"""Whole pipelines of diffusers: LoadPipeline, RunPipeline and what goes into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any, NamedTuple

from weft.engine import (
    INJECTED,
    NOT_ALWAYS,
    Context,
    Gives,
    InputError,
    Limits,
    Loading,
    NodeProblem,
    Range,
    Upstream,
    check_pixels,
    loader_for,
    node,
    size_for,
)
from weft.nodes.families.pipeline_sources import PipelineSource
from weft.nodes.lora_values import LoRA
from weft.nodes.media_values import Audio, Video
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.part_precisions import PartPrecision
from weft.nodes.models.pipeline_facts import PipelineFacts, gives
from weft.nodes.models.pipeline_parameters import INPUTS, check_encoding, encoded_names, faults
from weft.nodes.pipeline_values import Pipeline, PipelineInputs, PipelineLoRA
from weft.nodes.sampling.sampler_choices import SamplerInput, ScheduleInput
from weft.nodes.values import Image, Latent, Mask

DEFAULT_RATE = 8.0
"""Frames a second of clips whose pipeline is given no rate, as diffusers writes them."""


@loader_for(Pipeline)
def load_whole_pipeline(recipe: Pipeline, loading: Loading) -> Any:
    """The pipeline that a recipe names, with all of its components."""
    import torch

    from weft.nodes.models.pipeline_loading import load_pipeline

    source = loading.locate(recipe.source)
    assert isinstance(source.facts, PipelineFacts), "LoadPipeline gives digests of pipelines alone"
    with reading_weights(source.text):
        return load_pipeline(source.facts, source.root, recipe.variant, getattr(torch, recipe.dtype), loading.device)


@size_for(Pipeline)
def size_of_pipeline(recipe: Pipeline, loading: Loading) -> int:
    """Bytes of all components, from the headers of their files."""
    from weft.nodes.models.pipeline_sizes import bytes_of_pipeline

    source = loading.locate(recipe.source)
    assert isinstance(source.facts, PipelineFacts), "LoadPipeline gives digests of pipelines alone"
    return bytes_of_pipeline(source.facts, source.root, recipe.variant, recipe.dtype)


@node(category="loaders", lane="io", settings=("precision",))
def LoadPipeline(
    source: Annotated[str, PipelineSource()],
    *,
    variant: str = "",
    precision: PartPrecision = "auto",
    context: Context = INJECTED,
) -> Pipeline:
    """Load a pipeline of diffusers as a whole, of any class that the installed diffusers has.

    RunPipeline runs it. For a family that LoadCheckpoint knows that node gives more: samplers, LoRAs, ControlNets and
    latents between nodes. This node only reads headers; weights are loaded when a node uses them. Nothing is
    downloaded, only safetensors are read, and no code that comes with a model is run. `weft models list` says what is
    here, and what each pipeline takes and gives.

    Args:
        source: a folder with a `model_index.json` under a models folder, or a name on the hub (`org/name`) whose files
            are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        precision: of all components. `auto` is the engine's; give `bfloat16` for models whose card says so.
    """
    found = context.found(source)
    assert isinstance(found.resolved.facts, PipelineFacts)
    dtype = context.part_precision(("float16",), precision)
    return Pipeline(str(found.digest), found.resolved.facts.class_name, variant, dtype)


def _lora_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The class must load LoRAs, by PEFT."""
    facts = facts_above(node)
    if facts and not facts.known.loads_loras:
        message = f"diffusers has no LoRAs for {facts.class_name}"
        yield NodeProblem("pipeline", message, "leave this node out", "unsupported-by-model")
    if find_spec("peft") is None:
        message = "LoRAs in whole pipelines need the package peft"
        yield NodeProblem("pipeline", message, "pip install peft", "missing-package")


@node(category="pipelines", lane="cpu", fits=_lora_fits)
def ApplyLoRAToPipeline(
    pipeline: Pipeline, lora: LoRA, *, strength: Annotated[float, Range(-10.0, 10.0)] = 1.0
) -> Pipeline:
    """Add a LoRA to a pipeline of diffusers, for classes that have them; needs the package peft.

    All strengths share one pipeline in memory. It equals `load_lora_weights` and `set_adapters` of diffusers bit for
    bit.

    Args:
        pipeline: from LoadPipeline, or with other LoRAs.
        lora: from LoadLoRA.
        strength: what its change is multiplied by: 1 as it was trained, 0.6 to 0.8 where it takes over.
    """
    return replace(pipeline, changes=(*pipeline.changes, PipelineLoRA(lora.source, strength)))


def facts_above(node: Upstream) -> PipelineFacts | None:
    """What the folder of the pipeline says that a node's `pipeline` comes from; None where that is not known."""
    above = node.above("pipeline")
    while above is not None and "pipeline" in above.call.type.inputs:
        above = above.above("pipeline")
    source = above.source("source") if above else None
    return source.facts if source and isinstance(source.facts, PipelineFacts) else None


def _given_outputs(node: Upstream) -> Sequence[str] | None:
    facts = facts_above(node)
    return None if facts is None else gives(facts.known)


def _given(inputs: Mapping[str, Any]) -> list[str]:
    """The inputs that are parameters of pipelines and have a value; links are values."""
    return [name for name in INPUTS if inputs.get(name) is not None]


def _named_inputs(node: Upstream) -> list[str] | None:
    """The parameters that arrive at a node's `inputs`; None where they are not known before a run."""
    if node.call.inputs.get("inputs") is None:
        return []
    named: list[str] = []
    for above in node.all_by_type(PipelineInputs):
        own = _names_given_by(above)
        if own is None:
            return None
        named += own
    return named


def _names_given_by(node: Upstream) -> list[str] | None:
    if node.call.type.name == "SetPipelineInput" and "name" in node.literals:
        rest = _named_inputs(node)
        return None if rest is None else [*rest, node.literals["name"]]
    facts = facts_above(node) if node.call.type.name == "EncodePipelinePrompt" else None
    return encoded_names(facts.known, bool(node.call.inputs.get("negative_prompt"))) if facts else None


def _run_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The pipeline must take what is given, and be given what it needs."""
    facts, settings = facts_above(node), _settings(node.literals.get("settings"))
    if facts is None:
        return
    for fault in faults(facts.known, _given(node.call.inputs), settings, _named_inputs(node)):
        yield NodeProblem.of(fault.error, fault.input)
    yield from _sampler_fits(facts, node.literals)


def _sampler_fits(facts: PipelineFacts, literals: Mapping[str, Any]) -> Iterator[NodeProblem]:
    """The sampler must follow what the pipeline's model predicts."""
    from weft.nodes.sampling.scheduling import scheduler_for

    sampler, schedule = literals.get("sampler", "model"), literals.get("schedule", "model")
    if (sampler, schedule) == ("model", "model"):
        return
    config = facts.contents.configs.get("scheduler")
    if config is None:
        message = f"the pipeline has no scheduler that could be another one ({facts.class_name})"
        yield NodeProblem("sampler", message, "leave `sampler` and `schedule` at `model`", "unsupported-by-model")
        return
    try:
        scheduler_for(config, sampler, schedule)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "sampler" if sampler != "model" else "schedule")


def _check_run(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Settings are an object; sizes are within the limits."""
    settings = inputs.get("settings")
    if settings is not None and not isinstance(settings, Mapping):
        hint = 'write an object: "settings": {"value": {"eta": 0.5}}'
        yield NodeProblem("settings", "the settings are no object of names and values", hint, "wrong-type")
    width, height = inputs.get("width"), inputs.get("height")
    if width and height:
        try:
            check_pixels(width, height * (inputs.get("frames") or 1), inputs.get("count") or 1, limits)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "width")


class PipelineOutput(NamedTuple):
    """What a pipeline gives; what it does not give is None, and a link to it a problem."""

    image: Annotated[Image, NOT_ALWAYS]
    video: Annotated[Video, NOT_ALWAYS]
    audio: Annotated[Audio, NOT_ALWAYS]
    map: Annotated[Image, NOT_ALWAYS]
    tensors: Annotated[PipelineInputs, NOT_ALWAYS]


@node(category="pipelines", lane="gpu", check=_check_run, fits=_run_fits, traits=(Gives(_given_outputs),))
def RunPipeline(
    pipeline: Pipeline,
    prompt: str | list[str] | None = None,
    negative_prompt: str | list[str] | None = None,
    image: Image | list[Image] | None = None,
    mask: Mask | None = None,
    control_image: Image | list[Image] | None = None,
    video: Video | None = None,
    audio: Audio | None = None,
    inputs: PipelineInputs | list[PipelineInputs] | None = None,
    *,
    width: Annotated[int | None, Range(1, 65536)] = None,
    height: Annotated[int | None, Range(1, 65536)] = None,
    frames: Annotated[int | None, Range(1, 65536)] = None,
    count: Annotated[int | None, Range(1, 4096)] = None,
    seed: Annotated[int | list[int], Range(0, 2**64 - 1)] = 0,
    steps: Annotated[int | None, Range(1, 10_000)] = None,
    guidance: Annotated[float | None, Range(0.0, 1000.0)] = None,
    strength: Annotated[float | None, Range(0.0, 1.0)] = None,
    sampler: SamplerInput = "model",
    schedule: ScheduleInput = "model",
    settings: object = None,
    latents: bool = False,
    context: Context = INJECTED,
) -> PipelineOutput:
    """Run a pipeline of diffusers: text, pictures, clips or sound in, pictures, clips or sound out.

    Inputs that are left out have the pipeline's own defaults. Those that it does not take, unknown settings, and
    settings of another type are refused before any weights are read. What it gives depends on its class: a link to an
    output that it does not give is refused too. It equals the same call of diffusers bit for bit.

    Args:
        pipeline: from LoadPipeline.
        prompt: a text, or several for several pictures. Leave it out where EncodePipelinePrompt encodes it.
        negative_prompt: what is not wanted; for pipelines that take it.
        image: the pictures to start from, to edit, or to make move.
        mask: what is repainted: 1 there, 0 elsewhere.
        control_image: for ControlNets and adapters; for those that make pictures from text it is their `image`.
        video: the clip to change.
        audio: the sound that a clip follows.
        inputs: what has no input here, by the names of diffusers (SetPipelineInput), and prompts that are encoded
            already (EncodePipelinePrompt).
        width: in pixels. Left out, what the pipeline was made for.
        height: in pixels.
        frames: of a clip. Many models want 4 n + 1 of them.
        count: pictures for each prompt.
        seed: of the noise: picture i uses seed + i; or a list with one for each picture. Clips and sound have one.
        steps: of the sampler; left out, the pipeline's default, often 50. 20 to 30 do for most models, 4 for distilled
            ones.
        guidance: how closely the prompt is followed (`guidance_scale`); left out, the pipeline's default.
        strength: how much of a given picture is made new, from 0 to 1; 0.6 to 0.8 to start with.
        sampler: in place of the pipeline's own, where it can follow the model.
        schedule: the spacing of the noise levels; `model` is that of the pipeline.
        settings: any other parameters of the pipeline's call by diffusers' names, in a graph file as
            `{"value": {"eta": 0.5, "clip_skip": 1}}`.
        latents: give latents in `tensors`, for another pipeline or SetPipelineInput, in place of pictures.
    """
    from weft.nodes.sampling.pipeline_call import PipelineCall, call_pipeline

    given = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "image": image,
        "mask": mask,
        "control_image": control_image,
        "video": video,
        "audio": audio,
        "width": width,
        "height": height,
        "frames": frames,
        "count": count,
        "steps": steps,
        "guidance": guidance,
        "strength": strength,
    }
    call = PipelineCall(
        {name: one for name, one in given.items() if one is not None},
        _settings(settings),
        inputs if isinstance(inputs, list) else [inputs] if inputs else [],
        seed,
        sampler,
        schedule,
        latents,
    )
    return PipelineOutput(**call_pipeline(pipeline, call, context))


def _settings(settings: object) -> Mapping[str, Any]:
    """Settings by name; none where there are none."""
    return settings if isinstance(settings, Mapping) else {}


def _encode_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The pipeline must encode prompts apart from its call."""
    facts, settings = facts_above(node), node.literals.get("settings")
    if facts is None:
        return
    try:
        check_encoding(facts.known, bool(node.call.inputs.get("negative_prompt")), _settings(settings))
    except InputError as refusal:
        yield NodeProblem.of(refusal, "settings" if refusal.code in ("unknown-argument", "wrong-type") else "pipeline")


@node(category="pipelines", lane="gpu", check=_check_run, fits=_encode_fits)
def EncodePipelinePrompt(
    pipeline: Pipeline,
    prompt: str | list[str],
    negative_prompt: str | list[str] | None = None,
    *,
    settings: object = None,
    context: Context = INJECTED,
) -> PipelineInputs:
    """Encode prompts as a pipeline of diffusers does, once for all seeds and sizes.

    For pipelines that can be handed embeddings, which most of those with a prompt can. Link the result to `inputs` of
    RunPipeline, and leave its prompts out. It equals a call with the prompts bit for bit.

    Args:
        pipeline: from LoadPipeline.
        prompt: a text, or several for several pictures.
        negative_prompt: what is not wanted; for pipelines that take it. Left out, it is the empty text.
        settings: other parameters of the class's `encode_prompt` by diffusers' names, such as `prompt_2`, `clip_skip`
            or `max_sequence_length`: `{"value": {"max_sequence_length": 256}}`. Give RunPipeline the same where its
            call takes them too.
    """
    from weft.nodes.sampling.pipeline_call import encode_prompt

    return encode_prompt(pipeline, prompt, negative_prompt, _settings(settings), context)


@node(category="pipelines", lane="cpu")
def SetPipelineInput(
    name: str,
    value: Image | list[Image] | Mask | Video | Audio | Latent | PipelineInputs,
    inputs: PipelineInputs | list[PipelineInputs] | None = None,
    *,
    tensor: str = "",
) -> PipelineInputs:
    """Give a parameter of a pipeline's call that has no input of its own in RunPipeline, by diffusers' name.

    For pictures, clips, sound and latents, such as `ip_adapter_image`, `last_image` or `latents`; numbers and texts go
    into `settings`.

    Args:
        name: of the parameter.
        value: what it is given; or `tensors` of another pipeline, of which `tensor` names one.
        inputs: others, which stay as they are.
        tensor: where the value is what another pipeline gave: the name of one of its tensors; left empty, the only one.
    """
    earlier = inputs if isinstance(inputs, list) else [inputs] if inputs else []
    kept = [pair for one in earlier for pair in one.given if pair[0] != name]
    return PipelineInputs((*kept, (name, _one_of(value, tensor) if isinstance(value, PipelineInputs) else value)))


def _one_of(inputs: PipelineInputs, name: str) -> Any:
    """The value of this name, or the only one."""
    known = dict(inputs.given)
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        message = f"there is no tensor `{name}`" if name else f"there are {len(known)} tensors"
        raise InputError(message, f"name one of: {', '.join(known)}", "unknown-input")
    return known[name]
