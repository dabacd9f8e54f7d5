"""Samples of a training: what the model paints by now, for whoever watches. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import torch

from weft.engine import Context
from weft.engine.events import Preview
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.sampling.sampling_call import SamplingSettings, sampled
from weft.nodes.sampling.scheduling import ChainOptions
from weft.nodes.values import VAE, Conditioning, Guide, Latent, Prompt


@dataclass(eq=False)
class TrainingSamples:
    """Paints a prompt every so many steps, where previews are asked for; between them the last picture is shown.

    Args:
        every: steps from one picture to the next; 0 paints none.
        guide: makes the guide: the model under training with its prompts.
        size: of the picture.
        seed: of its noise.
    """

    every: int
    guide: Callable[[], Guide[Any]]
    size: Latent[Any]
    vae: VAE[Any]
    seed: int
    context: Context
    _painted: dict[int, bytes] = field(default_factory=dict)

    def at(self, step: int) -> Preview | None:
        """The preview after a step; None where none is to be painted."""
        return (lambda: self._latest(step)) if self.every else None

    def _latest(self, step: int) -> bytes:
        turn = step // self.every
        if turn not in self._painted:
            self._painted = {turn: self._paint()}
        return self._painted[turn]

    def _paint(self) -> bytes:
        quiet = replace(self.context, on_progress=lambda *given: None)
        settings = SamplingSettings(
            None, self.seed, SAMPLE_STEPS, "model", "model", 1.0, 0.0, ChainOptions("model", None), 0, None, True, False
        )
        latent = sampled(self.guide(), self.size, settings, quiet)
        assert latent.samples is not None, "a sampler gives samples"
        with self.context.weights(self.vae, Autoencoder) as autoencoder, torch.inference_mode():
            pixels = autoencoder.decode(latent.samples)[0]
        return _png(pixels)


SAMPLE_STEPS = 12
"""Steps of a sample; it is to show what is learned, not to be fine."""


def _png(pixels: torch.Tensor) -> bytes:
    from weft.nodes.picture_files import to_pil

    (picture,) = to_pil(pixels[None].clone())
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def guide_of(model: Any, positive: Prompt[Any], negative: Prompt[Any]) -> Guide[Any]:
    """A guide of two prompts at a usual scale."""
    return Guide(model, Conditioning((positive,)), Conditioning((negative,)), SAMPLE_SCALE)


SAMPLE_SCALE = 4.0
