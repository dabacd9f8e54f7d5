"""Training of words: TrainEmbedding and SaveEmbedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Generic, Literal, NamedTuple

from weft.engine import INJECTED, Artifact, Context, Range, Work, node
from weft.nodes.fine_tuning.trainable_models import learns_from_pictures
from weft.nodes.fine_tuning.training_settings import RateSchedule, TimestepDensity, TrainingSettings
from weft.nodes.fine_tuning.training_workload import training_work
from weft.nodes.library.train_lora import Rate, Share, Steps, check_artifact_name
from weft.nodes.values import VAE, Embedding, F, Image, Model, TextEncoder


class TrainedEmbedding(NamedTuple, Generic[F]):
    """A text encoder that reads a word as what was learned, the embedding alone, and the loss of each step."""

    text_encoder: TextEncoder[F]
    embedding: Embedding
    losses: list[float]


@node(category="training", lane="gpu", fits=learns_from_pictures, traits=(Work(training_work),))
def TrainEmbedding(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    captions: str | list[str],
    *,
    word: str,
    start: str = "",
    vectors: Annotated[int, Range(1, 75)] = 1,
    steps: Steps = 1000,
    batch_size: Annotated[int, Range(1, 1024)] = 1,
    accumulation: Annotated[int, Range(1, 1024)] = 1,
    resolution: Annotated[int, Range(0, 8192)] = 0,
    learning_rate: Rate = 5e-3,
    rate_schedule: RateSchedule = "constant",
    warmup: Annotated[int, Range(0, 1_000_000)] = 0,
    caption_dropout: Share = 0.0,
    timesteps: TimestepDensity = "auto",
    min_snr: Annotated[float, Range(0.0, 100.0)] = 0.0,
    debiased: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    sample_every: Annotated[int, Range(0, 1_000_000)] = 50,
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    context: Context = INJECTED,
) -> TrainedEmbedding[F]:
    """Train a word on pictures: textual inversion (https://arxiv.org/abs/2208.01618).

    Only the vectors that CLIP reads in place of the word are trained, so that the model stays what it is: it can paint
    what it could paint before, and has a name for it. What it cannot paint at all needs TrainLoRA. Equal inputs give
    the same vectors, bit for bit, also where the training was stopped and went on.

    Args:
        model: from LoadCheckpoint.
        text_encoder: from LoadCheckpoint; with a CLIP.
        vae: from LoadCheckpoint.
        pictures: what the word is to stand for; 3 to 10.
        captions: of the pictures, each with the word, or one for all: `a picture of <thing>`.
        word: that prompts will have; one that is in no other use.
        start: words that mean nearly the same, whose vectors the training begins with; empty begins with the mean of
            all.
        vectors: how many tokens the word is read as: 1 to 8. More learn more, and leave less room in prompts.
        steps: 500 to 3000 for most.
        batch_size: pictures in each call of the network.
        accumulation: how many batches make one step.
        resolution: as for TrainLoRA; 0 takes pictures as they are.
        learning_rate: 5e-3 for most; 5e-4 is slower and safer.
        rate_schedule: `constant`, or falling to 0 at the end by a line or a cosine.
        warmup: steps over which the rate rises from 0.
        caption_dropout: the share of captions that are left out.
        timesteps: as for TrainLoRA.
        min_snr: as for TrainLoRA.
        debiased: as for TrainLoRA.
        precision: as for TrainLoRA.
        sample_every: steps from one sample to the next, where previews are shown; 0 paints none.
        seed: of everything that is drawn.
    """
    from weft.nodes.fine_tuning.embedding_training import train_embedding
    from weft.nodes.fine_tuning.training_parts import TaskOptions

    settings = TrainingSettings(
        steps, batch_size, accumulation, learning_rate, rate_schedule, warmup, "adamw", 0.0, 1.0, seed
    )
    options = TaskOptions(
        resolution=resolution,
        caption_dropout=caption_dropout,
        timesteps=timesteps,
        min_snr=min_snr,
        debiased=debiased,
        precision=precision,
        sample_every=sample_every,
    )
    parts: Any = (model, text_encoder, vae)
    embedding, losses = train_embedding(parts, (pictures, captions), word, start, vectors, settings, options, context)
    known = replace(text_encoder, embeddings=(*text_encoder.embeddings, embedding))
    return TrainedEmbedding(known, embedding, losses)


@node(category="training", lane="cpu", check=check_artifact_name)
def SaveEmbedding(embedding: Embedding, name: str = "embedding") -> Artifact:
    """Save a trained embedding in the output folder, as a safetensors file that diffusers and other programs read.

    Args:
        embedding: from TrainEmbedding.
        name: of the file, without number and suffix.
    """
    return Artifact(embedding.file, "application/x-safetensors", name)
