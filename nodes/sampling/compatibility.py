"""Static checks of samplers, guides and loaders against each other, before a run.

They follow links from a guide to the loader of its model, and read the names and headers of the loader's source, and
what node types declare (`weft.nodes.sampling.traits`). Where links lead to no loader (a branch that is chosen while a
graph runs), the node itself checks when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from weft.engine import InputError, NodeProblem, Resolved, Upstream, listed
from weft.nodes.families import Family, family
from weft.nodes.lora_values import LoRA
from weft.nodes.models.clip_checks import check_clip
from weft.nodes.models.facts import (
    CheckpointFacts,
    ControlNetFacts,
    EmbeddingFacts,
    TextModelFacts,
    TextSourceFacts,
    VAEFacts,
)
from weft.nodes.models.lora_binding import read_columns
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.lora_file import DENOISER
from weft.nodes.models.parametrisation import (
    BETAS,
    ZERO_SNR,
    SchedulerConfig,
    parametrisation_of,
    retrained,
    training_options,
)
from weft.nodes.models.unclip import has_noise
from weft.nodes.prompting.embeddings import check_word, match_vectors
from weft.nodes.prompting.prompt_encoder import OTHER_TEXTS_HINT
from weft.nodes.prompting.text_assignment import Assigned, assigned, check_tokenizer
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles
from weft.nodes.sampling.aligned_steps import check_aligned
from weft.nodes.sampling.image_prompt_checks import encoder_of, image_vector_fits, ip_adapter_fits, redux_fits
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName, ScheduleName
from weft.nodes.sampling.scheduling import ChainOptions, check_timing, scheduler_for, solver_for
from weft.nodes.sampling.size_checks import items_fit
from weft.nodes.sampling.step_limits import check_steps
from weft.nodes.sampling.traits import (
    CLEAN_HINT,
    EXTRA_CHANNEL_HINTS,
    FOREIGN_GUIDE_HINT,
    IMAGE_VECTOR_HINT,
    PLACES_HINT,
    REFERENCE_HINT,
    TRUE_SCALE_HINT,
    GuideTraits,
    LatentTraits,
    ModelTraits,
    PromptTraits,
    lacks_vae,
    unlike_vectors,
)
from weft.nodes.sizes import size_above
from weft.nodes.values import Conditioning, ControlNet, Guide, Latent, Model, TextEncoder

TRAINING = {"prediction": "prediction_type", "noise": "beta_schedule", "terminal_snr": ZERO_SNR}
"""The inputs of a loader that say how a model was trained, and the options of a scheduler that they set."""


@dataclass(frozen=True)
class Loaded:
    """The model of a checkpoint, as its loader and its headers tell.

    Args:
        node: the id of the loader.
        scheduler: the configuration of the scheduler that it came with.
        extra_channels: channels that it reads in addition to its latents.
        facts: what its headers say.
    """

    node: str
    family: Family
    scheduler: dict[str, Any]
    extra_channels: int
    facts: CheckpointFacts

    def scheduler_config(self, own_class: bool) -> SchedulerConfig:
        """The configuration that a scheduler is made of, where no ControlNets act."""
        return self.facts.corrections.applied(self.scheduler, own_class)

    def __str__(self) -> str:
        return f"`{self.node}` is of family {self.family.name}"


def loaded(loader: Upstream) -> Loaded | None:
    """What a loader names; None for a node that is none, and where its files are not here."""
    facts, prediction = checkpoint_facts(loader), loader.literals.get("prediction")
    if facts is None or prediction is None:
        return None
    given = {name: loader.literals.get(name, "checkpoint") for name in TRAINING}
    stated = {name: "" if one == "checkpoint" else one for name, one in given.items()}
    scheduler = retrained(facts.scheduler, training_options(stated["prediction"], "", stated["terminal_snr"]))
    return Loaded(loader.call.id, family(facts.family), scheduler, facts.extra_channels, facts)


def checkpoint_facts(loader: Upstream) -> CheckpointFacts | None:
    """What the headers say of the checkpoint or denoiser that a loader names; None for other nodes and files."""
    source = loader.source("source")
    return source.facts if source and isinstance(source.facts, CheckpointFacts) else None


def model_behind(node: Upstream) -> Loaded | None:
    """The model that a sampler's or a guide's own guide uses; None where links do not lead to its loader."""
    above = model_loader_behind(node)
    found = loaded(above) if above else None
    return replace(found, extra_channels=_channels_read(node, found)) if found else None


def _channels_read(node: Upstream, model: Loaded) -> int:
    """The channels that the model of a sampler or a guide reads in addition to its latents: more by a Control LoRA."""
    denoiser, config = model.family.denoiser, model.facts.network.config
    read, above = model.extra_channels, node.above_by_type(Guide)
    while above and denoiser.widened_module:
        lora = above.above_by_type(LoRA)
        source = lora.source("source") if lora and above.literals.get("strength", 1.0) else None
        if source and isinstance(source.facts, LoRAFacts):
            module = denoiser.widened_module
            columns = read_columns(source.facts.of_part(DENOISER), module, denoiser.original_modules({module}))
            read = max(read, denoiser.added_channels(columns, config))
        above = above.above_by_type(Guide) or above.above_by_type(Model)
    return read


def model_loader_behind(node: Upstream) -> Upstream | None:
    """The node at which the links from a sampler's or a guide's own guide end: the loader of its model."""
    above = node.above_by_type(Guide)
    while above and (next_above := above.above_by_type(Guide) or above.above_by_type(Model)):
        above = next_above
    return above


def sampling_fits(sampler: Upstream) -> Iterator[NodeProblem]:
    """Whether a KSampler fits its latent, its model and its guide."""
    yield from _begins_with_latents(sampler)
    model = model_behind(sampler)
    if model:
        yield from _follows(sampler, model)
        yield from _size_fits(sampler, model)
        yield from _clip_fits(sampler, model)
        yield from _prompts_fit(sampler, model)
        yield from _additions_fit(sampler, model)
    yield from items_fit(sampler, _prompt_nodes(sampler))
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


def guides_of(sampler: Upstream) -> Iterator[Upstream]:
    """The guides behind a sampler, the last one first."""
    guide = sampler.above_by_type(Guide)
    while guide:
        yield guide
        guide = guide.above_by_type(Guide)


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
    model = model_behind(sampler)
    if model and not model.family.denoiser.reads_references:
        message = f"`{guide.call.id}` gives the model a picture to refer to, which it does not read; {model}"
        yield NodeProblem("guide", message, REFERENCE_HINT, "unsupported-by-model")
    elif model and guide.literals.get("places") == "diagonal" and not model.family.denoiser.places_references:
        message = f"`{guide.call.id}` has places along a diagonal, which the model has not; {model}"
        yield NodeProblem("guide", message, PLACES_HINT, "unsupported-by-model")
    elif model and guide.literals.get("clean") and not model.family.denoiser.marks_references:
        message = f"`{guide.call.id}` says that its picture is clean, which the model does not read; {model}"
        yield NodeProblem("guide", message, CLEAN_HINT, "unsupported-by-model")


def _extra_channels_fit(sampler: Upstream) -> Iterator[NodeProblem]:
    """The guide must concatenate as many channels to the latents as the model reads."""
    guide, model = sampler.above_by_type(Guide), model_behind(sampler)
    traits = guide.call.type.trait(GuideTraits) if guide else None
    while guide and traits and traits.extra_channels is None:
        guide = guide.above_by_type(Guide)
        traits = guide.call.type.trait(GuideTraits) if guide else None
    if guide is None or model is None or traits is None:
        return
    if model.extra_channels not in traits.channel_counts:
        message = (
            f"the model of `{model.node}` reads {model.extra_channels} channels in addition to its latents, "
            f"and the guide of `{guide.call.id}` gives {' or '.join(map(str, traits.channel_counts))}"
        )
        yield NodeProblem(
            "guide", message, EXTRA_CHANNEL_HINTS.get(model.extra_channels, FOREIGN_GUIDE_HINT), "wrong-guide"
        )


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


def _clip_fits(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Latents of clips are for models that make clips, and those of pictures for others."""
    latent = sampler.above("latent")
    traits = latent.call.type.trait(LatentTraits) if latent else None
    if latent is None or traits is None:
        return
    motion = next(_motion_behind(sampler), None)
    makes_clips = model.family.denoiser.makes_clips or motion is not None
    try:
        frames, step = latent.literals.get("frames", 1), model.family.denoiser.clip_step
        check_clip(makes_clips, motion or 0, traits.clip, frames, step)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "latent", after=f"; {model}")


def _motion_behind(node: Upstream) -> Iterator[int]:
    """The frames of the longest clip that each motion adapter behind a guide takes; 0 where that is not known."""
    above = node.above_by_type(Guide)
    while above:
        traits = above.call.type.trait(ModelTraits)
        if traits and traits.longest_clip:
            yield traits.longest_clip(above) or 0
        above = above.above_by_type(Guide) or above.above_by_type(Model)


def _prompts_fit(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Prompts must be as wide as the model reads them, and ControlNets made for a network of its structure."""
    for node in _prompt_nodes(sampler):
        encoder = loader_above(node, TextEncoder)
        made = _prompt_width(encoder) if encoder else 0
        if encoder and made and model.facts.widths.prompt not in (0, made):
            message = (
                f"`{node.call.id}` encodes prompts {made} channels wide, by the text encoder of `{encoder.call.id}`; "
                f"the model of `{model.node}` reads {model.facts.widths.prompt}"
            )
            hint = "encode them with the text encoder of the model's own checkpoint"
            yield NodeProblem("guide", message, hint, "wrong-channels")
        config, denoiser = model.facts.network.config, model.family.denoiser
        named = f"the model of `{model.node}` ({model.family.name})"
        yield from ip_adapter_fits(node, denoiser, config, named)
        yield from redux_fits(node, model.facts.widths.prompt, denoiser.reads_image_tokens, named)
        net = node.above_by_type(ControlNet)
        source = net.source("source") if net else None
        # Two families are a problem of the types.
        if net and source and isinstance(source.facts, ControlNetFacts) and source.family == model.facts.family:
            network = family(source.facts.family).control_format(source.facts).network_class
            try:
                network.check_steered(source.facts.network.config, model.facts.network.config)
            except InputError as refusal:
                yield NodeProblem.of(refusal, "guide", after=f"; `{net.call.id}` and `{model.node}`")
            try:
                if size := size_above(sampler, "latent"):
                    network.check_size(source.facts.network.config, *size)
            except InputError as refusal:
                yield NodeProblem.of(refusal, "latent", after=f"; `{net.call.id}`")


def control_fits(node: Upstream) -> Iterator[NodeProblem]:
    """A ControlNet that reads latents needs a VAE, and one of several kinds of pictures must know which it is given."""
    net = node.above_by_type(ControlNet)
    source = net.source("source") if net else None
    if net is None or source is None or not isinstance(source.facts, ControlNetFacts):
        return
    network = family(source.facts.family).control_format(source.facts).network_class
    config = source.facts.network.config
    if network.reads_latents(config) and node.call.inputs.get("vae") is None:
        yield NodeProblem.of(lacks_vae(), "vae", after=f"; it is from `{net.call.id}`")
    try:
        network.check_mask(config, node.call.inputs.get("mask") is not None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "mask", after=f"; it is from `{net.call.id}`")
    try:
        network.check_source(config, *(node.call.inputs.get(name) is not None for name in ("source", "mask")))
    except InputError as refusal:
        yield NodeProblem.of(refusal, "source", after=f"; it is from `{net.call.id}`")
    if "kind" in node.literals:
        try:
            network.kind_number(config, node.literals["kind"])
        except InputError as refusal:
            yield NodeProblem.of(refusal, "kind", after=f"; it is from `{net.call.id}`")


def unclip_fits(apply: Upstream) -> Iterator[NodeProblem]:
    """The model must read the vector of a picture, as its image encoder makes it."""
    loader = _model_of(apply)
    if model := loaded(loader) if loader else None:
        width = model.family.denoiser.image_vector_width(model.facts.network.config)
        named = f"the model of `{model.node}` ({model.family.name})"
        yield from image_vector_fits(apply, width, has_noise(model.facts.contents), named)


def _additions_fit(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """Prompts must have the vector of a picture where the model reads one, and nothing that it does not read.

    Those that come right from a text encoder have none.
    """
    guide = sampler.above_by_type(Guide)
    prompts = [*guide.all_by_type(Conditioning)] if guide else []
    reads = model.family.denoiser.image_vector_width(model.facts.network.config)
    if reads and prompts and all(node.above_by_type(TextEncoder) for node in prompts):
        message = f"the model of `{model.node}` reads the vector of a picture, which its prompts lack"
        yield NodeProblem("guide", message, IMAGE_VECTOR_HINT, "wrong-prompt")
    denoiser, config = model.family.denoiser, model.facts.network.config
    grounds, shown = denoiser.grounds(config), denoiser.grounds_pictures(config)
    for node in _prompt_nodes(sampler):
        traits = node.call.type.trait(PromptTraits)
        for given, read, what in (
            (traits and traits.image_vector, reads, "the vector of a picture"),
            (traits and traits.grounding, grounds, "objects at places"),
            (traits and traits.grounding_pictures, shown, "pictures of objects at places"),
        ):
            if given and not read:
                message = f"`{node.call.id}` gives {what}, and the model of `{model.node}` reads none"
                yield NodeProblem("guide", message, f"leave `{node.call.id}` out", "unsupported-by-model")


def _prompt_nodes(sampler: Upstream) -> Iterator[Upstream]:
    """The nodes that a sampler's prompts come from, through its guides, each once."""
    seen, waiting = set[str](), [sampler]
    while waiting:
        node = waiting.pop()
        for above in (*node.all_by_type(Guide), *node.all_by_type(Conditioning)):
            if above.call.id not in seen:
                seen.add(above.call.id)
                waiting.append(above)
                yield above


def loader_above(node: Upstream, value: type) -> Upstream | None:
    """The loader that a value comes from, behind nodes that pass it on changed (LoadEmbedding, MergeModels)."""
    above = node.above_by_type(value)
    while above and (next_above := above.above_by_type(value)):
        above = next_above
    return above


def _prompt_width(loader: Upstream) -> int:
    """Channels of the prompts that a loader's text encoders make; 0 where that is not known."""
    facts = checkpoint_facts(loader)
    if facts:
        widths = {name: one.width for name, one in facts.text_models.items()}
        return family(facts.family).prompts.widths(widths).prompt if widths else 0
    with suppress(InputError):
        model, (given, _) = _model_of(loader), _texts(loader)
        own = checkpoint_facts(model) if model else None
        if own and given:
            return family(own.family).prompts.widths({text.name: one.width for text, (_, one) in given.items()}).prompt
    return 0


def _pooled_width(loader: Upstream) -> int | None:
    """Channels of the pooled vectors of a loader's prompts, 0 where they have none; None where that is not known."""
    own = checkpoint_facts(loader) or ((model := _model_of(loader)) and checkpoint_facts(model)) or None
    texts = text_facts(loader)
    if own is None or not texts:
        return None
    return family(own.family).prompts.pooled_width({text.name: one.width for text, one in texts.items()})


def pooled_vectors_fit(node: Upstream) -> Iterator[NodeProblem]:
    """The vector of a picture must have the channels of the pooled vectors of the prompt that it is put into."""
    prompt, encoder = node.above_by_type(Conditioning), encoder_of(node)
    while prompt and not prompt.above_by_type(TextEncoder):
        prompt = prompt.above_by_type(Conditioning)
    loader = loader_above(prompt, TextEncoder) if prompt else None
    width = _pooled_width(loader) if loader else None
    if loader and width is not None and encoder and encoder[1].vector != width:
        refusal = unlike_vectors(width, encoder[1].vector)
        yield NodeProblem.of(refusal, "embedding", after=f"; `{loader.call.id}` and `{encoder[0].call.id}`")


def _follows(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """The sampler must be able to follow what the model predicts, on the schedule."""
    name, schedule = sampler.literals.get("sampler"), sampler.literals.get("schedule")
    if name is None or schedule is None or sampler.literals.get("sigmas", "linked") is not None:
        return
    row = SAMPLERS.get(name)
    if row and schedule not in row.schedules:
        return  # KSampler's own check names this pair, which no model can follow.
    yield from _schedule_fits(model, name, schedule, sampler.literals)


def _schedule_fits(
    model: Loaded, sampler: SamplerName, schedule: ScheduleName, given: Mapping[str, Any]
) -> Iterator[NodeProblem]:
    """The class that a sampler is for a model must make the steps that are asked for, with their eta."""
    config = model.scheduler_config(sampler == "model")
    checked = "sampler"
    try:
        solver = solver_for(config, sampler, schedule)
        check_timing(config, sampler, solver, model.family.denoiser.spaces_steps)
        check_aligned(schedule, model.family.denoiser.aligned_steps, model.family.name)
        checked = "eta"
        eta = given.get("eta") if sampler == "model" else None  # KSampler's own check knows the samplers by name.
        scheduler_for(config, sampler, schedule, eta or 0.0)
        if sampler == "model":
            checked = "variance" if given.get("variance", "model") != "model" else "clip"
            chain = ChainOptions(given.get("variance") or "model", given.get("clip"))
            scheduler_for(config, sampler, schedule, chain=chain)
        checked = "steps"
        if (steps := given.get("steps")) is not None:
            check_steps(config, sampler, schedule, solver, steps)
    except InputError as refusal:
        at = "schedule" if refusal.code == "schedule-cannot-follow" and schedule != "model" else checked
        yield NodeProblem.of(refusal, at, after=f"; {model}")


def sigmas_fit(maker: Upstream) -> Iterator[NodeProblem]:
    """The model of a MakeSigmas must have levels as `euler` walks them, on the schedule and in so many steps."""
    loader, schedule = _model_of(maker), maker.literals.get("schedule")
    model = loaded(loader) if loader else None
    if model is None or schedule is None:
        return
    for problem in _schedule_fits(model, "euler", schedule, maker.literals):
        yield replace(problem, input="model") if problem.input == "sampler" else problem
    if model.scheduler.get("use_dynamic_shifting") and maker.call.inputs.get("latent") is None:
        message = f"the model's noise levels depend on the picture's size; {model}"
        yield NodeProblem("latent", message, "link `latent`", "missing-input")


def noise_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The model of an AddNoise must have the step that it names, of the sampler and the schedule."""
    loader, given = _model_of(node), node.literals
    model, sampler, schedule = loaded(loader) if loader else None, given.get("sampler"), given.get("schedule")
    chosen = given.get("sigmas", "linked") is None and given.get("timestep", 0) is None
    if model and sampler and schedule and chosen:
        yield from _schedule_fits(model, sampler, schedule, given)


def vae_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """A VAE must make the latents of the model that it is for."""
    vae, model = loader.source("source"), _model_of(loader)
    found = model.source("source") if model else None
    able = vae.facts.families if vae and isinstance(vae.facts, VAEFacts) else ()
    if vae and model and found and found.family and found.family not in able:
        message = f"`{vae.text}` is a VAE of {listed(able)}, and `{model.call.id}` is of family {found.family}"
        yield NodeProblem("source", message, "give a VAE of the model's family", "family-mismatch")


def own_vae_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """The VAE that a checkpoint comes with must be read, and make its latents, where a link takes it."""
    facts, source = checkpoint_facts(loader), loader.source("source")
    spec = family(facts.family).vae if facts else None
    if facts is None or source is None or spec is None or (facts.vae and spec.takes(facts.vae)):
        return
    if _is_taken(loader, "vae"):
        found = f"latents of {facts.vae.channels} channels" if facts.vae else facts.contents.class_of("vae") or "none"
        yield NodeProblem(
            "source",
            f"the VAE of `{source.text}` ({found}) is not read; {facts.family} needs one of latents of "
            f"{spec.channels} channels",
            "load one of the family with LoadVAE",
            "wrong-kind-of-file",
        )


def own_texts_fit(loader: Upstream) -> Iterator[NodeProblem]:
    """A checkpoint must have text encoders that are read, with their tokenizers, where a link takes them."""
    facts, source = checkpoint_facts(loader), loader.source("source")
    if facts is None or source is None or not _is_taken(loader, "text_encoder"):
        return
    for text in family(facts.family).texts:
        if text.name in facts.text_models:
            try:
                text.check_tokenizer(TextModelFiles.of(source.root, facts.text_models[text.name]))
            except InputError as refusal:
                hint = f"{refusal.hint}; LoadTextEncoder takes `{source.text}` too"
                yield NodeProblem("source", refusal.message, hint, refusal.code)
        elif not text.optional:
            message = f"`{source.text}` has no text encoder that {facts.family} reads as {text.name}"
            yield NodeProblem("source", message, "load those of the model with LoadTextEncoder", "wrong-text-models")


def _is_taken(loader: Upstream, output: str) -> bool:
    """Whether a link takes this output of a node."""
    links = (link for call in loader.calls.values() for _, link in call.links)
    return any((link.node, link.output) == (loader.call.id, output) for link in links)


def _model_of(loader: Upstream) -> Upstream | None:
    """The loader that a loader's model comes from."""
    return loader_above(loader, Model)


def texts_fit(loader: Upstream) -> Iterator[NodeProblem]:
    """Standalone text encoders must be those of the model's family, with the tokenizers that they need."""
    checked = "source"
    try:
        given, sources = _texts(loader)
        checked = "tokenizer"
        check_tokenizer(given, sources, named=loader.call.inputs.get("tokenizer") is not None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, checked)


def _texts(loader: Upstream) -> tuple[Assigned, list[Resolved]]:
    """The text models of a LoadTextEncoder, and their sources; none where they are not known before a run.

    Raises:
        InputError: where they are not the model's.
    """
    model = _model_of(loader)
    found, names = checkpoint_facts(model) if model else None, ("source", "source_2", "source_3")
    given = [name for name in names if loader.call.inputs.get(name) is not None]
    sources = [one for name in given if (one := loader.source(name))]
    if found is None or len(sources) < len(given):
        return {}, []
    return assigned(family(found.family), sources, found.widths), sources


def embedding_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """An embedding must be of the text encoder's size, and its word must not be another one's."""
    source, others, above = loader.source("source"), list[str](), loader.above_by_type(TextEncoder)
    while above:
        others += _words(above)
        above = above.above_by_type(TextEncoder)
    for word in _words(loader):
        try:
            check_word(word, others)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "token")
    encoder = loader_above(loader, TextEncoder)
    clips = _clips(encoder) if encoder else None
    if source and clips is not None and isinstance(source.facts, EmbeddingFacts):
        try:
            match_vectors(source.text, source.facts.sizes, clips)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "source")


def length_fits(encoder: Upstream) -> Iterator[NodeProblem]:
    """Only T5 and language models can be asked for another number of tokens."""
    node = loader_above(encoder, TextEncoder)
    model = node and (node if checkpoint_facts(node) else _model_of(node))
    facts = checkpoint_facts(model) if model else None
    if encoder.literals.get("max_sequence_length") is None or facts is None:
        return
    if not any(text.takes_length for text in family(facts.family).texts):
        message = f"the text models of family {facts.family} read chunks of 75 tokens, or no tokens at all"
        yield NodeProblem("max_sequence_length", message, "leave it out", "unsupported-by-model")


def other_texts_fit(encoder: Upstream) -> Iterator[NodeProblem]:
    """Only families of several text models can be given several texts."""
    node = loader_above(encoder, TextEncoder)
    model = node and (node if checkpoint_facts(node) else _model_of(node))
    facts = checkpoint_facts(model) if model else None
    if facts is None:
        return
    count = len(facts.text_models) or len(family(facts.family).texts)
    count = max(count, len(family(facts.family).texts)) if family(facts.family).prompts.fills_length else count
    for number, name in ((2, "text_2"), (3, "text_3")):
        if encoder.literals.get(name) is not None and number > count:
            message = f"family {facts.family} has no text model {number}; this model has {count}"
            yield NodeProblem(name, message, OTHER_TEXTS_HINT, "unsupported-by-model")


def text_facts(loader: Upstream) -> dict[TextModel, TextModelFacts] | None:
    """What headers say of the text models that a loader names; None where they are not known."""
    source, checkpoint = loader.source("source"), checkpoint_facts(loader)
    if checkpoint:
        known, found = family(checkpoint.family).texts, checkpoint.text_models
        return {text: found[text.name] for text in known if text.name in found}
    if source and isinstance(source.facts, TextSourceFacts):
        with suppress(InputError):
            given, _ = _texts(loader)
            return {text: facts for text, (_, facts) in given.items()} if given else None
    return None


def _clips(loader: Upstream) -> dict[str, int] | None:
    """The channels of each CLIP text model that a loader names; None where they are not known."""
    found = text_facts(loader)
    return None if found is None else {text.name: one.width for text, one in found.items() if text.takes_embeddings}


def _words(loader: Upstream) -> list[str]:
    """The word that a LoadEmbedding loads; none where it is linked, or its file is not here."""
    token, source = loader.literals.get("token"), loader.source("source")
    named = source.facts.word if source and isinstance(source.facts, EmbeddingFacts) else None
    own = named if token == "" else token
    return [own] if own else []


def training_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """A model's parametrisation may leave no choice of `prediction` and `noise`."""
    model, given = loaded(loader), loader.literals
    try:
        fixed = parametrisation_of(model.scheduler).fixed_settings if model else frozenset()
    except InputError as refusal:
        yield NodeProblem.of(refusal, "prediction", after=f"; {model}")
        return
    for name, option in {**TRAINING, **dict(zip(BETAS, BETAS, strict=True))}.items():
        if given.get(name, "checkpoint") not in ("checkpoint", None) and option in fixed:
            yield NodeProblem(
                name, f"`{name}` cannot be set for this model; {model}", f"leave `{name}` out", "unsupported-by-model"
            )
