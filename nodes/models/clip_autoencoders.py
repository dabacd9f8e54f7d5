"""VAEs of clips whose networks take a clip whole, one class for each kind.

Importing this module imports no torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.models.autoencoder import LEAST_TILE, NO_MEMORY, Autoencoder, LatentDistribution, picture
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.remembering_decoder import RememberingDecoder


class ClipAutoencoder(Autoencoder):
    """A VAE whose network takes clips `[batch, channel, frame, height, width]`; a picture is a clip of one frame."""

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """The clip whole: what it shows in a frame depends on those around it."""
        if begin == 0:
            yield self.decode(latents)[0]

    def parts_to_encode(self, frames: int) -> Iterator[tuple[int, int]]:
        return iter([(0, frames)])

    def decoding_options(self, latents: Tensor) -> Mapping[str, Any]:
        """What the network's decoder takes besides latents."""
        return {}

    def _decoded(self, latents: Tensor) -> Tensor:
        if latents.ndim == 4:
            return self._decoded(latents.unsqueeze(2))[:, :, 0]
        pixels: Tensor = self.network.decode(latents, **self.decoding_options(latents), return_dict=False)[0]
        return pixels

    def _encoded(self, pixels: Tensor) -> LatentDistribution:
        if pixels.ndim == 4:
            return self._encoded(pixels.unsqueeze(2)).each(lambda part: part[:, :, 0])
        found = self.network.encode(pixels).latent_dist
        return LatentDistribution(found.mean, found.std)

    @property
    def tiles_exactly(self) -> bool:
        return False

    def in_tiles(self, side: int) -> Callable[[], None]:
        return self._in_own_tiles(max(side, LEAST_TILE))

    def _tiling(self, tile: int) -> Mapping[str, Any]:
        """Tiles that overlap by about a quarter, as diffusers' own do; from one to the next it is whole latents."""
        sides, stride = ("height", "width"), tile * 3 // 4 // self.factor * self.factor
        least = {f"tile_sample_min_{side}": tile for side in sides}
        return {**least, **{f"tile_sample_stride_{side}": stride for side in sides}}


class TemporalAutoencoder(Autoencoder):
    """A VAE that encodes pictures, and decodes the frames of a clip together (Stable Video Diffusion)."""

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """So many frames together as diffusers' `decode_chunk_size` says: others around a frame change its picture."""
        frames = latents.shape[2]
        chunk = chunk or frames
        for first in range(begin * chunk, frames, chunk):
            yield self.decode(latents[:, :, first : first + chunk])[0]

    def _decoded(self, latents: Tensor) -> Tensor:
        if latents.ndim == 4:
            pixels: Tensor = self.network.decode(latents, num_frames=1, return_dict=False)[0]
            return pixels
        frames = latents.shape[2]
        rows = latents.transpose(1, 2).flatten(0, 1)
        decoded: Tensor = self.network.decode(rows, num_frames=frames, return_dict=False)[0]
        return decoded.reshape(len(latents), frames, *decoded.shape[1:]).transpose(1, 2)

    def in_tiles(self, side: int) -> Callable[[], None]:
        """The network has no tiles."""
        return lambda: None


class CogVideoXAutoencoder(ClipAutoencoder):
    """CogVideoX's VAE, which decodes a few latent frames at a time and remembers what its layers saw of them."""

    remembered: Any = None

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """As many latent frames at a time as diffusers' own decoding takes; whole in tiles."""
        network = self.network
        if network.use_tiling:
            yield from super().decoded_parts(latents, begin)
            return
        placed = self._unscaled(latents)
        self.remembered = _moved(memory["layers"], placed) if memory else None
        at_once, frames = network.num_latent_frames_batch_size, placed.shape[2]
        rest = frames % at_once
        for number in range(begin, max(frames // at_once, 1)):
            first = at_once * number + (rest if number else 0)
            part = placed[:, :, first : at_once * (number + 1) + rest]
            with network_call("the VAE", {"latents": part}):
                part = part if network.post_quant_conv is None else network.post_quant_conv(part)
                pixels, self.remembered = network.decoder(part, conv_cache=self.remembered)
            yield picture(pixels)[0]
        self.remembered = None

    def decoding_memory(self) -> Mapping[str, Any]:
        import torch

        return {"layers": _moved(self.remembered, torch.empty(0))} if self.remembered else {}

    def _tiling(self, tile: int) -> Mapping[str, Any]:
        """Tiles that overlap by a quarter: by its own fifth and sixth, parts of a latent would be left over."""
        sides = ("height", "width")
        return {
            **{f"tile_sample_min_{side}": tile for side in sides},
            **{f"tile_latent_min_{side}": tile // self.factor for side in sides},
            **{f"tile_overlap_factor_{side}": 0.25 for side in sides},
        }


class FrameByFrameAutoencoder(ClipAutoencoder):
    """A VAE whose decoder takes a latent frame at a time, and remembers what its layers saw of those before."""

    remembered: Mapping[str, Tensor] = NO_MEMORY

    @abstractmethod
    def remembering_decoder(self, memory: Mapping[str, Tensor]) -> RememberingDecoder:
        """Its decoder, with what layers saw of the frames before."""

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """A latent frame at a time, whose pictures may come with a later part; whole in tiles."""
        if self.network.use_tiling:
            yield from super().decoded_parts(latents, begin)
            return
        placed = self._unscaled(latents)
        decoder, options = self.remembering_decoder(_moved(memory, placed)), self.decoding_options(placed)
        try:
            for number in range(begin, decoder.parts(placed.shape[2])):
                with network_call("the VAE", {"latents": placed}, f"latents of {self.channels} channels"):
                    pixels = decoder.part(placed, number, **options)
                self.remembered = decoder.memory
                yield self._no_pictures(placed) if pixels is None else picture(pixels)[0]
        finally:
            self.remembered = NO_MEMORY

    def _no_pictures(self, latents: Tensor) -> Tensor:
        height, width = (self.factor * side for side in latents.shape[3:])
        return latents.new_empty((0, height, width, 3)).float().cpu()

    def decoding_memory(self) -> Mapping[str, Any]:
        return {name: one.cpu() for name, one in self.remembered.items()}


class HunyuanVideoAutoencoder(FrameByFrameAutoencoder):
    """HunyuanVideo 1.5's VAE, which never looks ahead."""

    def remembering_decoder(self, memory: Mapping[str, Tensor]) -> RememberingDecoder:
        from weft.nodes.models.causal_frames import CausalDecoder

        return CausalDecoder(self.network.decoder, memory)

    def _tiling(self, tile: int) -> Mapping[str, Any]:
        """Tiles that overlap by a quarter, as diffusers' own do."""
        sides = ("height", "width")
        least = {f"tile_sample_min_{side}": tile for side in sides}
        return {**least, **{f"tile_latent_min_{side}": tile // self.factor for side in sides}}


class LTXVideoAutoencoder(FrameByFrameAutoencoder):
    """LTX-Video's VAE. That of 0.9.1 and later takes out a last noise as it decodes, which is none here."""

    def remembering_decoder(self, memory: Mapping[str, Tensor]) -> RememberingDecoder:
        from weft.nodes.models.frames_ahead import LookaheadDecoder

        return LookaheadDecoder(self.network.decoder, memory)

    def decoding_options(self, latents: Tensor) -> Mapping[str, Any]:
        import torch

        if not self.network.config.timestep_conditioning:
            return {}
        return {"temb": torch.zeros(len(latents), device=latents.device, dtype=latents.dtype)}

    def _decoded(self, latents: Tensor) -> Tensor:
        """By diffusers' network; noise that layers add to a clip, or to each of its tiles, is the same each time."""
        if not any(self.network.config.decoder_inject_noise):
            return super()._decoded(latents)
        import torch

        def whole(frames: Tensor, temb: Tensor | None = None) -> Tensor:
            decoder = self.remembering_decoder({})
            parts = (decoder.part(frames, number, temb=temb) for number in range(decoder.parts(frames.shape[2])))
            return torch.cat([part for part in parts if part is not None], dim=2)

        undo = replaced_forward(self.network.decoder, whole)
        try:
            return super()._decoded(latents)
        finally:
            undo()

    def _tiling(self, tile: int) -> Mapping[str, Any]:
        """Parts of frames overlap too."""
        return {**super()._tiling(tile), "use_framewise_decoding": True, "use_framewise_encoding": True}


def _moved(kept: Any, like: Tensor) -> Any:
    """Tensors in dicts on a device, in a dtype."""
    if isinstance(kept, Mapping):
        return {name: _moved(one, like) for name, one in kept.items()}
    return None if kept is None else kept.to(like)
