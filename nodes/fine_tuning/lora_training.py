"""One training of a LoRA: model, text encoder and VAE with pictures, to the file of what was learned. Imports torch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from weft.engine import Context
from weft.engine.keys import digest_bytes
from weft.nodes.families import family
from weft.nodes.fine_tuning.authors_layers import untrained_rows
from weft.nodes.fine_tuning.denoising_task import Captions
from weft.nodes.fine_tuning.lora_writing import lora_file
from weft.nodes.fine_tuning.trainable_lora import Layers, TrainableLoRA, begin, trained_parameters
from weft.nodes.fine_tuning.training_loop import TrainingLoop
from weft.nodes.fine_tuning.training_parts import (
    Captioned,
    Parts,
    TaskOptions,
    made_of,
    samples_of,
    task_of,
    trainable,
    training_data,
)
from weft.nodes.fine_tuning.training_settings import TrainingSettings
from weft.nodes.lora_values import LoRA
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.prompting.prompt_encoder import PromptEncoder

TEXT = "text_model."
"""What files have in front of the names of a text model's modules; transformers has left it out since version 5."""


@dataclass(frozen=True, kw_only=True)
class LoRAOptions(TaskOptions):
    """What is trained; inputs of TrainLoRA of the same names."""

    rank: int
    alpha: float
    layers: Layers
    train_text_encoder: bool
    gradient_checkpointing: bool


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
        data = training_data(model, vae, learned, kept, settings, options, context)
        trained = replace(model, changes=(*model.changes, lora))
        encoder = held.enter_context(context.weights(texts, PromptEncoder))
        denoiser = held.enter_context(context.weights(trained, Denoiser))
        captions = Captions(encoder, texts, options.train_text_encoder)
        task = task_of(denoiser, model.dtype, captions, data, settings, options, context)
        parameters = _parameters(denoiser, encoder if options.train_text_encoder else None, model.family)
        begin(parameters, settings.seed)
        samples = samples_of(task, trained, vae, settings, options, context)
        losses = TrainingLoop(parameters, task.loss, settings, samples.at).run(context)
        made = made_of(parts, learned, kept, settings, options)
        untrained = _untrained(denoiser)
        file = lora_file(parameters, model.family, options.rank, options.alpha, made, untrained)
    return LoRA(digest_bytes(file), model.family, file), losses


def _untrained(denoiser: Denoiser) -> dict[str, int]:
    """The rows of modules of a denoiser that its authors join with trained ones."""
    trained = {name.partition(".lora_")[0] for name in trained_parameters(denoiser)}
    return untrained_rows(denoiser.network, trained, denoiser.original_modules(trained))


def _parameters(denoiser: Denoiser, encoder: PromptEncoder | None, name: str) -> dict[str, nn.Parameter]:
    """What is trained, by the names that files have for it.

    Args:
        encoder: None where the text models are not trained.
        name: of the family.
    """
    known = family(name)
    found = {f"{known.network.folder}.{own}": one for own, one in trained_parameters(denoiser).items()}
    folders = {text.name: text.folder for text in known.texts}
    for full, one in trained_parameters(encoder).items() if encoder else ():
        part = next(name for name in folders if full.startswith(f"{name}."))  # names have dots: qwen_2.5_vl_7b
        own = full.removeprefix(f"{part}.")
        found[f"{folders[part]}.{TEXT}{own.removeprefix(TEXT)}"] = one
    return found
