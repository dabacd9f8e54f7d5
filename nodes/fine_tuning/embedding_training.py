"""One training of a word: vectors that stand for it in prompts, learned from pictures. Imports torch.

Textual inversion (https://arxiv.org/abs/2208.01618): all weights stay as they are, and the loss of the denoiser is that
of its own training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from weft.engine import Context, InputError, Loading, Patch, value
from weft.engine.keys import digest_bytes
from weft.nodes.fine_tuning.denoising_task import Captions
from weft.nodes.fine_tuning.lora_writing import TRAINING, sorted_file
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
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.prompting.embeddings import check_word, split_at_words
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import PLAIN
from weft.nodes.prompting.text_reader import TextReader
from weft.nodes.values import Embedding


@value
@dataclass(frozen=True)
class TrainableWord(Patch[Any]):
    """Lets a prompt encoder read a word as vectors that are trained.

    Args:
        count: of the vectors, for each text model.
    """

    word: str
    count: int

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        vectors = {
            reader.name: nn.Parameter(torch.zeros(self.count, reader.width, device=loading.device, dtype=torch.float32))
            for reader in readers_of(module)
        }
        undo: Callable[[], None] = module.learn(self.word, vectors)
        return undo


def readers_of(encoder: PromptEncoder) -> list[TextReader]:
    """The text models of an encoder whose words can be replaced by vectors.

    Raises:
        InputError: where it has none.
    """
    found = [reader for reader in encoder.readers if reader.takes_embeddings]
    if not found:
        message = "the text encoder has no CLIP, whose words an embedding is for"
        raise InputError(message, "train a LoRA (TrainLoRA)", "unsupported-by-model")
    return found


def train_embedding(
    parts: Parts,
    learned: Captioned,
    word: str,
    start: str,
    count: int,
    settings: TrainingSettings,
    options: TaskOptions,
    context: Context,
) -> tuple[Embedding, list[float]]:
    """An embedding, with the loss of each step.

    Args:
        word: that stands for what the pictures show.
        start: words whose vectors the training begins with.
        count: of the vectors.

    Raises:
        InputError: where a caption does not have the word, and for what any training is refused for.
    """
    model, texts, vae = parts
    model = trainable(model)
    check_word(word, (one.word for one in texts.embeddings))
    _check_captions(learned[1], word)
    patch = TrainableWord(word, count)
    trained = replace(texts, changes=(*texts.changes, patch))
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as held:
        data = training_data(model, vae, learned, None, settings, options, context)
        denoiser = held.enter_context(context.weights(model, Denoiser))
        encoder = held.enter_context(context.weights(trained, PromptEncoder))
        vectors = {name: one for name, one in encoder.words[word].items() if isinstance(one, nn.Parameter)}
        _begin(encoder, vectors, start)
        task = task_of(denoiser, model.dtype, Captions(encoder, trained, True), data, settings, options, context)
        samples = samples_of(task, model, vae, settings, options, context)
        losses = TrainingLoop(vectors, task.loss, settings, samples.at).run(context)
        made = made_of(parts, learned, None, settings, options, word=word, start=start, vectors=count)
        file = embedding_file(vectors, word, made)
    return Embedding(digest_bytes(file), word, file), losses


def embedding_file(vectors: Mapping[str, Tensor], word: str, training: Mapping[str, Any]) -> bytes:
    """The file of an embedding: as diffusers saves that of one text model, and by name for several."""
    names = dict.fromkeys(vectors, word) if len(vectors) == 1 else {name: name for name in vectors}
    whole = {names[name]: one.detach().float().cpu().contiguous() for name, one in sorted(vectors.items())}
    return sorted_file(save(whole, {TRAINING: json.dumps(training, sort_keys=True), "word": word}))


def _check_captions(captions: str | list[str], word: str) -> None:
    for one in [captions] if isinstance(captions, str) else captions:
        if not any(found for _, _, found in split_at_words(one, [word])):
            raise InputError(
                f"the caption {one!r} does not have the word `{word}`",
                f"write it where the caption names what is learned: `a picture of {word}`",
                "malformed-word",
            )


def _begin(encoder: PromptEncoder, vectors: Mapping[str, nn.Parameter], start: str) -> None:
    """Begin with the vectors of words, in turn where they are fewer, or with the mean of all where there are none."""
    for reader in readers_of(encoder):
        table = reader.network.get_input_embeddings().weight
        tokens = [token.number for chunk in reader.split(PLAIN.of(start)) for token in chunk] if start else []
        with torch.no_grad():
            for place, row in enumerate(vectors[reader.name]):
                row.copy_(table[tokens[place % len(tokens)]] if tokens else table.float().mean(0))
