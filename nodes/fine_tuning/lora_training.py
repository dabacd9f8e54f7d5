"""One training of a LoRA: model, text encoder and VAE with pictures, to the file of what was learned. Imports torch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import torch

from weft.engine import Context, InputError
from weft.engine.keys import digest_bytes
from weft.engine.store.codec import content_digest
from weft.nodes.families import family
from weft.nodes.fine_tuning.denoising_task import Captions, DenoisingTask
from weft.nodes.fine_tuning.examples import Examples
from weft.nodes.fine_tuning.library_versions import library_versions
from weft.nodes.fine_tuning.lora_writing import lora_file
from weft.nodes.fine_tuning.objective import Objective
from weft.nodes.fine_tuning.trainable_lora import Layers, TrainableLoRA, begin, trained_parameters
from weft.nodes.fine_tuning.training_loop import TrainingLoop
from weft.nodes.fine_tuning.training_pictures import captioned, examples_of
from weft.nodes.fine_tuning.training_samples import TrainingSamples, guide_of
from weft.nodes.fine_tuning.training_settings import TimestepDensity, TrainingSettings
from weft.nodes.lora_values import LoRA
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.values import VAE, Image, Latent, Model, TextEncoder

Parts: TypeAlias = tuple[Model[Any], TextEncoder[Any], VAE[Any]]

Captioned: TypeAlias = tuple[Image | list[Image], str | list[str]]


@dataclass(frozen=True, kw_only=True)
class LoRAOptions:
    """What is trained and how it is looked at; inputs of TrainLoRA of the same names."""

    rank: int
    alpha: float
    layers: Layers
    train_text_encoder: bool
    resolution: int
    caption_dropout: float
    timesteps: TimestepDensity
    flow_shift: float | None
    min_snr: float
    noise_offset: float
    precision: Literal["auto", "float32", "bfloat16"]
    gradient_checkpointing: bool
    class_weight: float
    sample_prompt: str
    sample_every: int


def train_lora(
    parts: Parts,
    learned: Captioned,
    kept: Captioned | None,
    settings: TrainingSettings,
    options: LoRAOptions,
    context: Context,
) -> tuple[LoRA[Any], list[float]]:
    """A LoRA, with the loss of each step.

    Args:
        learned: pictures with captions.
        kept: those of their class; None without.

    Raises:
        InputError: where the model cannot be trained so, and where the training diverges.
    """
    lora = TrainableLoRA(options.rank, options.alpha, options.layers, options.gradient_checkpointing)
    model, texts, vae = parts
    model = trainable(model)
    texts = replace(texts, changes=(*texts.changes, lora)) if options.train_text_encoder else texts
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as held:
        plain = held.enter_context(context.weights(model, Denoiser))
        examples = partial(_examples, plain, vae, options, settings, context)
        learned_from, kept_from = examples(*learned), examples(*kept) if kept else None
        trained = replace(model, changes=(*model.changes, lora))
        encoder = held.enter_context(context.weights(texts, PromptEncoder))
        denoiser = held.enter_context(context.weights(trained, Denoiser))
        task = DenoisingTask(
            denoiser,
            Captions(encoder, texts, options.train_text_encoder),
            objective_of(denoiser, options),
            context.device,
            settings.seed,
            learned_from,
            kept_from,
            options.class_weight,
            options.caption_dropout,
            options.precision == "bfloat16" and model.dtype == "float32",
        )
        parameters = {f"{_folder(model)}.{name}": one for name, one in trained_parameters(denoiser).items()}
        if options.train_text_encoder:
            folders = {text.name: text.folder for text in family(model.family).texts}
            for name, one in trained_parameters(encoder).items():
                part, _, own = name.partition(".")
                parameters[f"{folders[part]}.{own}"] = one
        begin(parameters, settings.seed)
        samples = _samples(task, trained, vae, options, settings, context)
        losses = TrainingLoop(parameters, task.loss, settings, samples.at).run(context)
        made = made_of(parts, learned, kept, settings, asdict(options))
        file = lora_file(parameters, model.family, options.rank, options.alpha, made)
    return LoRA(digest_bytes(file), model.family, file), losses


def trainable(model: Model[Any]) -> Model[Any]:
    """The model in a precision that gradients do not leave: bfloat16 in place of float16; every step computed."""
    return replace(model, dtype="bfloat16" if model.dtype == "float16" else model.dtype, forecast=None)


def objective_of(denoiser: Denoiser, options: LoRAOptions) -> Objective:
    """What a denoiser learns.

    Raises:
        InputError: where it cannot be trained so.
    """
    if denoiser.extra_channels:
        raise InputError(
            f"the model reads {denoiser.extra_channels} channels in addition to its latents, and pictures have none",
            "train a LoRA for the plain model of its family; it acts with this one too",
            "unsupported-by-model",
        )
    return Objective.of(
        denoiser.scheduler,
        density=options.timesteps,
        shift=options.flow_shift,
        min_snr=options.min_snr,
        noise_offset=options.noise_offset,
    )


def _examples(
    denoiser: Denoiser,
    vae: VAE[Any],
    options: LoRAOptions,
    settings: TrainingSettings,
    context: Context,
    pictures: Image | list[Image],
    captions: str | list[str],
) -> Examples:
    found = captioned(pictures, captions)
    encoded = [*examples_of(found, options.resolution, vae, denoiser, context)]
    return Examples(encoded, settings.batch_size, settings.seed)


def _folder(model: Model[Any]) -> str:
    """What files call the denoiser: `unet`, `transformer`."""
    return family(model.family).network.folder


def _samples(
    task: DenoisingTask,
    trained: Model[Any],
    vae: VAE[Any],
    options: LoRAOptions,
    settings: TrainingSettings,
    context: Context,
) -> TrainingSamples:
    first = task.learned.all[0]
    caption = options.sample_prompt or first.caption
    size = Latent[Any](first.size.width, first.size.height, 1)

    def guide() -> Any:
        with torch.no_grad():
            return guide_of(trained, task.captions.prompt(caption), task.captions.prompt(None))

    return TrainingSamples(options.sample_every, guide, size, vae, settings.seed, context)


def made_of(
    parts: Parts, learned: Captioned, kept: Captioned | None, settings: TrainingSettings, options: dict[str, Any]
) -> dict[str, Any]:
    """What a file was made of: digests of weights and pictures, captions, settings, versions."""
    model, texts, vae = parts
    given = {"pictures": learned, **({"class_pictures": kept} if kept else {})}
    return {
        "model": content_digest(model),
        "text_encoder": content_digest(texts),
        "vae": content_digest(vae),
        "data": {name: {"digest": content_digest(one[0]), "captions": one[1]} for name, one in given.items()},
        "settings": settings.plain() | options,
        "versions": library_versions(),
    }
