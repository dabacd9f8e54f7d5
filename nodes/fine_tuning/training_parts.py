"""What every training of a denoiser consists of: pictures as examples, the task over them, samples. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import torch

from weft.engine import Context
from weft.engine.store.codec import content_digest
from weft.nodes.fine_tuning.denoising_task import Captions, DenoisingTask, Predict
from weft.nodes.fine_tuning.examples import Examples
from weft.nodes.fine_tuning.library_versions import library_versions
from weft.nodes.fine_tuning.objective import Objective
from weft.nodes.fine_tuning.trainable_models import check_learns
from weft.nodes.fine_tuning.training_pictures import captioned, examples_of
from weft.nodes.fine_tuning.training_samples import TrainingSamples, guide_of
from weft.nodes.fine_tuning.training_settings import TimestepDensity, TrainingSettings
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.values import VAE, Guide, Image, Latent, Model, TextEncoder

Parts: TypeAlias = tuple[Model[Any], TextEncoder[Any], VAE[Any]]

Captioned: TypeAlias = tuple[Image | list[Image], str | list[str]]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What a denoiser is to learn and how it is looked at; inputs of nodes that train, of the same names."""

    resolution: int = 0
    caption_dropout: float = 0.0
    timesteps: TimestepDensity = "auto"
    flow_shift: float | None = None
    min_snr: float = 0.0
    debiased: bool = False
    noise_offset: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    class_weight: float = 1.0
    sample_prompt: str = ""
    sample_every: int = 0


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What is learned, and pictures of its class, as examples."""

    learned: Examples
    kept: Examples | None


def trainable(model: Model[Any]) -> Model[Any]:
    """The model in a precision that gradients do not leave: bfloat16 in place of float16; every step computed."""
    return replace(model, dtype="bfloat16" if model.dtype == "float16" else model.dtype, forecast=None)


def training_data(
    model: Model[Any],
    vae: VAE[Any],
    learned: Captioned,
    kept: Captioned | None,
    settings: TrainingSettings,
    options: TaskOptions,
    context: Context,
    controls: Image | list[Image] | None = None,
) -> TrainingData:
    """Pictures with captions as examples, encoded once.

    Args:
        controls: the pictures that a ControlNet reads with those that are learned.

    Raises:
        InputError: where captions and pictures do not fit each other, or the model learns from others.
    """

    def examples(given: Captioned, controls: Image | list[Image] | None = None) -> Examples:
        encoded = [*examples_of(captioned(*given, controls), options.resolution, vae, denoiser, context)]
        return Examples(encoded, settings.batch_size, settings.seed)

    with context.weights(model, Denoiser) as denoiser:
        vector = denoiser.image_vector_width(denoiser.network.config)
        check_learns(denoiser.family, denoiser.clips, vector, denoiser.extra_channels)
        return TrainingData(examples(learned, controls), examples(kept) if kept else None)


def task_of(
    denoiser: Denoiser,
    dtype: str,
    captions: Captions,
    data: TrainingData,
    settings: TrainingSettings,
    options: TaskOptions,
    context: Context,
    predict: Predict | None = None,
) -> DenoisingTask:
    """What a denoiser learns of pictures.

    Args:
        dtype: of the weights.
        predict: what is called in place of the denoiser's.

    Raises:
        InputError: where it cannot be trained so.
    """
    objective = Objective.of(
        denoiser.scheduler,
        density=options.timesteps,
        shift=options.flow_shift,
        min_snr=options.min_snr,
        debiased=options.debiased,
        noise_offset=options.noise_offset,
    )
    return DenoisingTask(
        denoiser,
        captions,
        objective,
        context.device,
        settings.seed,
        data.learned,
        data.kept,
        options.class_weight,
        options.caption_dropout,
        options.precision == "bfloat16" and dtype == "float32",
        predict,
    )


def samples_of(
    task: DenoisingTask,
    trained: Model[Any],
    vae: VAE[Any],
    settings: TrainingSettings,
    options: TaskOptions,
    context: Context,
) -> TrainingSamples:
    """What paints samples of a training.

    Args:
        trained: the model with what is trained.
    """
    first = task.learned.all[0]
    caption = options.sample_prompt or first.caption
    size = Latent[Any](first.size.width, first.size.height, 1)

    def guide() -> Guide[Any]:
        with torch.no_grad():
            return guide_of(trained, task.captions.prompt(caption), task.captions.prompt(None))

    return TrainingSamples(options.sample_every, guide, size, vae, settings.seed, context)


def made_of(
    parts: Parts,
    learned: Captioned,
    kept: Captioned | None,
    settings: TrainingSettings,
    options: TaskOptions,
    **others: object,
) -> Mapping[str, Any]:
    """What a file was made of: digests of weights and pictures, captions, settings, versions.

    Args:
        others: further settings, by name.
    """
    model, texts, vae = parts
    given = {"pictures": learned, **({"class_pictures": kept} if kept else {})}
    return {
        "model": content_digest(model),
        "text_encoder": content_digest(texts),
        "vae": content_digest(vae),
        "data": {name: {"digest": content_digest(one[0]), "captions": one[1]} for name, one in given.items()},
        "settings": {**settings.plain(), **asdict(options), **others},
        "versions": library_versions(),
    }
