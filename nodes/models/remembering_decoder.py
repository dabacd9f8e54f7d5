"""Decoders of clips over a few latent frames at a time: what their layers saw of the frames before is remembered.

The layers of diffusers' classes take a clip whole and know of nothing before it, so that for the time of a call those
that look at other frames are computed in other ways.

Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from weft.nodes.models.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from torch import Tensor

LayerCall = Callable[..., "Tensor"]
"""How a layer is computed: a function of its name, the layer, and what the layer is called with."""


class RememberingDecoder(ABC):
    """A decoder that goes on with the frames that it is given.

    Args:
        decoder: diffusers' own.
        memory: what its layers saw of the frames before, by their names: tensors with the batch first.
    """

    def __init__(self, decoder: Any, memory: Mapping[str, Tensor]) -> None:
        self.decoder = decoder
        self.memory = dict(memory)

    def parts(self, frames: int) -> int:
        """In how many parts it decodes so many latent frames."""
        return frames

    @abstractmethod
    def part(self, latents: Tensor, number: int, **options: Any) -> Tensor | None:
        """Pixels in -1..1 of a part of a clip, after the parts before it; None where no frame is complete yet.

        Args:
            latents: of the whole clip, `[batch, channel, frame, height, width]`.
            options: what the decoder takes besides.
        """

    @abstractmethod
    def calls(self) -> Mapping[str, LayerCall]:
        """How layers of diffusers' classes are computed, by the names of the classes."""

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """The layers over time are called with what they remember, while it is open."""
        calls = self.calls()
        with ExitStack() as undone:
            for name, layer in self.decoder.named_modules():
                if call := calls.get(type(layer).__name__):
                    undone.callback(replaced_forward(layer, partial(call, name, layer)))
            yield
