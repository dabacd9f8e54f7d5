"""The loss of a denoiser over pictures with captions, and over those of their class. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from weft.nodes.fine_tuning.examples import CONTROL, Example, Examples, conditions_of, generator_for, predictions
from weft.nodes.fine_tuning.objective import Objective
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.network_calls import for_training
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_reader import Encoded
from weft.nodes.values import Prompt, TextEncoder

Predict = Callable[[Tensor, Tensor, Conditions], Tensor]
"""What is called in place of a denoiser's `predict`; the picture of a ControlNet is among the conditions."""


@dataclass(frozen=True, eq=False)
class Captions:
    """Captions as prompts, each encoded once, or in each batch where what reads them is trained.

    Args:
        recipe: of the encoder, for prompts to name.
        trained: whether the encoder is trained.
    """

    encoder: PromptEncoder
    recipe: TextEncoder[Any]
    trained: bool = False
    _kept: dict[str | None, Prompt[Any]] = field(default_factory=dict)

    def prompt(self, caption: str | None) -> Prompt[Any]:
        """The prompt of a caption; None is that of what guidance leads away from."""
        if self.trained:
            with for_training():
                return self._encoded(caption)
        if caption not in self._kept:
            self._kept[caption] = self._encoded(caption)
        return self._kept[caption]

    def _encoded(self, caption: str | None) -> Prompt[Any]:
        found = self.encoder.unprompted() if caption is None else self.encoder.encode([caption])
        encoded = found if self.trained else _ordinary(found)
        return Prompt(encoded.embeddings, self.recipe, pooled=encoded.pooled, attention_mask=encoded.attention_mask)


@dataclass(frozen=True, eq=False)
class DenoisingTask:
    """What a denoiser learns of pictures.

    Args:
        learned: the pictures that are learned.
        kept: pictures of their class, whose look is to stay as it is (DreamBooth, https://arxiv.org/abs/2208.12242,
            section 3.2); None without.
        kept_weight: of the loss over these.
        dropout: the share of captions that are left out, so that guidance still leads.
        lower: whether the network computes in bfloat16 where it can, its weights being in float32.
        predict: what is called in place of the denoiser's.
    """

    denoiser: Denoiser
    captions: Captions
    objective: Objective
    device: str
    seed: int
    learned: Examples
    kept: Examples | None = None
    kept_weight: float = 1.0
    dropout: float = 0.0
    lower: bool = False
    predict: Predict | None = None

    def loss(self, number: int) -> Tensor:
        """The loss of the batch of a number."""
        noise = generator_for(self.seed, "noise", number)
        dropped = generator_for(self.seed, "dropout", number)
        loss = self._loss(self.learned.batch(number), noise, dropped)
        if self.kept is not None:
            loss = loss + self.kept_weight * self._loss(self.kept.batch(number), noise, dropped)
        return loss

    def _loss(self, batch: Sequence[Example], noise: torch.Generator, dropped: torch.Generator) -> Tensor:
        clean = torch.cat([one.drawn(noise) for one in batch])
        noised = self.objective.noised(clean, noise).on(self.device)
        left_out = (torch.rand(len(batch), generator=dropped, dtype=torch.float32) < self.dropout).tolist()
        conditions = [self._conditions(one, drop) for one, drop in zip(batch, left_out, strict=True)]
        lower = torch.autocast(self.device.partition(":")[0], torch.bfloat16) if self.lower else nullcontext()
        with lower:
            made = predictions(self.denoiser, noised.seen, noised.timesteps, conditions, self.predict)
        return noised.loss(made)

    def _conditions(self, one: Example, left_out: bool) -> Conditions:
        prompt = self.captions.prompt(None if left_out else one.caption)
        framed = replace(prompt, framing=one.framing) if self.denoiser.takes_size_conditions else prompt
        found = conditions_of(self.denoiser, framed, one.size, self.device)
        return found if one.control is None else {**found, CONTROL: one.control.to(self.device)}


def _ordinary(encoded: Encoded) -> Encoded:
    """What was encoded as tensors that can take part in training: they are made in inference mode."""
    embeddings, mask, pooled = encoded
    return Encoded(embeddings.clone(), *(None if one is None else one.clone() for one in (mask, pooled)))
