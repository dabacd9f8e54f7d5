"""Encoding pixels to latents and decoding them: a VAE with its scale, or the identity VAE (pixel space).

Importing this module imports no torch. Read next: `weft.nodes.models.vae_formats`, which recognises and loads VAEs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.network_calls import network_call

if TYPE_CHECKING:
    from torch import Tensor, nn

LEAST_TILE = 256
"""The least side of tiles that are normalised each alone, in pixels; in smaller ones colours move."""

NO_MEMORY: Mapping[str, Any] = MappingProxyType({})
"""What a network remembers that sees each part of a clip by itself."""

Scale = float | tuple[float, ...]
"""A number for all channels of latents, or one for each."""


@dataclass(frozen=True, eq=False)
class LatentDistribution:
    """The normal distribution of latents that a VAE encodes a picture to.

    Args:
        deviation: the standard deviation of each element; None where there is only the mean.
    """

    mean: Tensor
    deviation: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> LatentDistribution:
        """Both tensors changed."""
        return LatentDistribution(change(self.mean), None if self.deviation is None else change(self.deviation))

    def scaled(self, shift: Scale, scale: Scale) -> LatentDistribution:
        """Shifted, then scaled, by channel; in float32, on the CPU."""
        factor = _by_channel(scale, self.mean)
        moved = LatentDistribution(self.mean - _by_channel(shift, self.mean), self.deviation)
        return moved.each(lambda part: (part * factor).float().cpu())


class Autoencoder:
    """A VAE between pixels and latents in the scale that models sample in: (encoded - shift) x scale.

    Pictures are `[batch, height, width, channel]` in 0..1, clips `[batch, frame, height, width, channel]`; the latents
    are `[batch, channel, height, width]` and `[batch, channel, frame, height, width]`. All are float32, on the CPU.

    Args:
        network: of a diffusers class, on its device.
        channels: of latents.
        factor: pixels to a latent element, along each side.
        time_factor: frames to a latent frame; the first frame of a clip has a latent frame of its own.
        scale_alone: the factor of latents that are not shifted, where it is not `scale`: what a VAE whose latents are
            normalised by channel has besides.
    """

    def __init__(
        self,
        network: Any,
        channels: int,
        factor: int,
        time_factor: int = 1,
        scale: Scale = 1.0,
        shift: Scale = 0.0,
        scale_alone: float | None = None,
    ) -> None:
        self.network = network
        self.channels = channels
        self.factor = factor
        self.time_factor = time_factor
        self.scale = scale
        self.shift = shift
        self.scale_alone = scale_alone
        self.strip = 0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The torch modules whose weights it keeps in memory."""
        return tuple(self.parts.values())

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The network, under the empty name."""
        return {"": self.network}

    @property
    def has_alpha(self) -> bool:
        """Whether its pictures have a fourth channel."""
        return False

    def taken(self, pictures: Tensor) -> Tensor:
        """Pictures `[batch, height, width, 3 or 4]` with the channels that it encodes; opaque where they lack alpha."""
        import torch

        if not self.has_alpha or pictures.shape[-1] == 4:
            return pictures if self.has_alpha else pictures[..., :3]
        return torch.cat([pictures, torch.ones_like(pictures[..., :1])], dim=-1)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures or clips from latents."""
        scaled = self._unscaled(latents)
        with network_call("the VAE", {"latents": scaled}, f"latents of {self.channels} channels"):
            return picture(self._decoded(scaled))

    def _unscaled(self, latents: Tensor) -> Tensor:
        """Latents in the network's own scale, on its device."""
        placed = latents.to(self.network.device, self.network.dtype)
        return placed / _by_channel(self.scale, placed) + _by_channel(self.shift, placed)

    def frames_of(self, frames: int) -> int:
        """Frames of a clip of so many latent frames."""
        return (frames - 1) * self.time_factor + 1

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """The frames of one clip `[1, channel, frame, height, width]` as pictures, a few at a time.

        Args:
            begin: the first part that is decoded.
            memory: what `decoding_memory` gave after the part before it.
            chunk: frames that are decoded together at most, by a VAE that decodes those of a clip together; 0 for all.
        """
        for frame in range(begin, latents.shape[2]):
            yield self.decode(latents[:, :, frame])

    def decoding_memory(self) -> Mapping[str, Any]:
        """What the network remembers of the parts that it has decoded, between two of them: on the host."""
        return {}

    def parts_to_encode(self, frames: int) -> Iterator[tuple[int, int]]:
        """The first frame of each part of a clip that can be encoded by itself, and the one after its last."""
        return ((frame, frame + 1) for frame in range(frames))

    def encode(self, pictures: Tensor) -> Tensor:
        """The latents of pictures or of clips, the mean of the VAE's distribution.

        Raises:
            InputError: where a clip has frames that make no whole latent frame.
        """
        return self.distribution(pictures).mean

    def distribution(self, pictures: Tensor) -> LatentDistribution:
        """The distribution of the latents of pictures or of clips.

        Raises:
            InputError: where a clip has frames that make no whole latent frame.
        """
        return self._distribution(pictures).scaled(self.shift, self.scale)

    def encode_unshifted(self, pictures: Tensor) -> Tensor:
        """The latents of pictures scaled and not shifted, as some ControlNets read them."""
        return self._distribution(pictures).scaled(0.0, self.scale).mean

    def masked_distribution(self, pictures: Tensor) -> LatentDistribution:
        """The distribution of the latents of masked pictures, as inpainting models read them.

        diffusers' SDXL inpainting pipeline scales them without the mean and deviation of each channel.
        """
        if self.scale_alone is None:
            return self.distribution(pictures)
        return self._distribution(pictures).scaled(0.0, self.scale_alone)

    def encode_unscaled(self, pictures: Tensor) -> Tensor:
        """The same as the network has it, without shift and scale."""
        return self._distribution(pictures).scaled(0.0, 1.0).mean

    def _distribution(self, pictures: Tensor) -> LatentDistribution:
        pixels = signed(pictures).to(self.network.device, self.network.dtype)
        frames = pixels.shape[2] if pixels.ndim == 5 else 1
        if (frames - 1) % self.time_factor:
            nearest = frames - (frames - 1) % self.time_factor
            message = f"the clip has {frames} frames, expected one more than a multiple of {self.time_factor}"
            raise InputError(message, f"give {nearest} or {nearest + self.time_factor}", "wrong-size")
        with network_call("the VAE", {"pictures": pixels}):
            return self._encoded(pixels)

    def _decoded(self, latents: Tensor) -> Tensor:
        """Pixels in -1..1, channels first, from latents in the network's own scale; frames are decoded one by one."""
        if latents.ndim == 5:
            return _unfolded(self._decoded_pictures(_folded(latents)), len(latents))
        return self._decoded_pictures(latents)

    def _decoded_pictures(self, latents: Tensor) -> Tensor:
        """Pixels `[batch, channel, height, width]` of such latents."""
        if self.strip and _area(latents) * self.factor**2 > self.strip:
            from weft.nodes.models import vae_strips

            return vae_strips.decoded(self.network, latents, self.strip)
        pixels: Tensor = self.network.decode(latents, return_dict=False)[0]
        return pixels

    def _encoded(self, pixels: Tensor) -> LatentDistribution:
        """The distribution of pixels in -1..1, channels first; frames are encoded one by one."""
        if pixels.ndim == 5:
            return self._encoded_pictures(_folded(pixels)).each(partial(_unfolded, batch=len(pixels)))
        return self._encoded_pictures(pixels)

    def _encoded_pictures(self, pixels: Tensor) -> LatentDistribution:
        """The distribution of pixels `[batch, channel, height, width]`."""
        if self.strip and _area(pixels) > self.strip:
            from weft.nodes.models import vae_strips

            return _distribution_of(vae_strips.encoded(self.network, pixels, self.strip))
        found = self.network.encode(pixels).latent_dist
        return LatentDistribution(found.mean, found.std)

    @property
    def tiles_exactly(self) -> bool:
        """Whether `in_tiles` gives the same pictures and latents as without."""
        from weft.nodes.models import vae_strips

        return vae_strips.can_strip(self.network)

    def in_tiles(self, side: int) -> Callable[[], None]:
        """Encode and decode in pieces from now on; gives the function that undoes it.

        A network of ResNet blocks and convolutions goes over the picture in strips, which gives the same result
        (`weft.nodes.models.vae_strips`). Another one has overlapping tiles of its own, of 256 pixels at least.

        Args:
            side: of a tile, in pixels; a strip has a quarter as many pixels.
        """
        from weft.nodes.models import vae_strips

        if not vae_strips.can_strip(self.network):
            return self._in_own_tiles(max(side, LEAST_TILE))
        self.strip = side**2 // 4

        def undo() -> None:
            self.strip = 0

        return undo

    def in_exact_tiles(self, side: int) -> Callable[[], None]:
        """The same where the result is the same, else as without; gives the function that undoes it."""
        return self.in_tiles(side) if self.tiles_exactly else lambda: None

    def _in_own_tiles(self, side: int) -> Callable[[], None]:
        """The same by the network's own tiles."""
        settings = {**self._tiling(side), "use_tiling": True}
        before = {name: getattr(self.network, name) for name in settings}
        self.network.__dict__.update(settings)
        return partial(self.network.__dict__.update, before)

    def _tiling(self, tile: int) -> Mapping[str, int]:
        """The attributes of the network by which it cuts tiles of this side, in pixels."""
        return {"tile_sample_min_size": tile, "tile_latent_min_size": tile // self.factor}


class VideoAutoencoder(Autoencoder):
    """A VAE whose network takes clips `[batch, channel, frame, height, width]`; a picture is a clip of one frame."""

    @property
    def has_alpha(self) -> bool:
        """Qwen-Image-Layered's has four channels of pixels."""
        return bool(self.network.config.get("input_channels") == 4)

    def decoded_parts(
        self, latents: Tensor, begin: int = 0, memory: Mapping[str, Any] = NO_MEMORY, chunk: int = 0
    ) -> Iterator[Tensor]:
        """A latent frame at a time, with what the network remembers of those before it; whole in its own tiles."""
        network = self.network
        if network.use_tiling:
            yield self.decode(latents)[0]
            return
        placed = self._unscaled(latents)
        with network_call("the VAE", {"latents": placed}, f"latents of {self.channels} channels"):
            network.clear_cache()
            whole = network.post_quant_conv(placed)
        for place, found in memory.items():
            network._feat_map[int(place)] = found if isinstance(found, str) else found.to(placed)
        try:
            for frame in range(begin, whole.shape[2]):
                yield picture(self._decoded_frame(whole, frame))[0]
        finally:
            network.clear_cache()

    def decoding_memory(self) -> Mapping[str, Any]:
        """The last frames that each layer over time has seen, or diffusers' word for the first ones."""
        known = {str(place): found for place, found in enumerate(self.network._feat_map) if found is not None}
        return {place: found if isinstance(found, str) else found.cpu() for place, found in known.items()}

    def _decoded_frame(self, whole: Tensor, frame: int) -> Tensor:
        """The pixels of a latent frame, in -1..1, as diffusers' `_decode` has them."""
        network, place = self.network, {"feat_cache": self.network._feat_map, "feat_idx": [0]}
        knows_first = "first_chunk" in signature(network.decoder.forward).parameters
        begins = {"first_chunk": True} if frame == 0 and knows_first else {}
        with network_call("the VAE", {"latents": whole}):
            pixels: Tensor = network.decoder(whole[:, :, frame : frame + 1], **place, **begins)
        if network.config.get("patch_size") is not None:
            from diffusers.models.autoencoders import autoencoder_kl_wan

            whole_of: Any = autoencoder_kl_wan.unpatchify
            pixels = whole_of(pixels, patch_size=network.config.patch_size)
        return pixels.clamp(-1.0, 1.0)

    def parts_to_encode(self, frames: int) -> Iterator[tuple[int, int]]:
        return iter([(0, frames)])

    def _decoded(self, latents: Tensor) -> Tensor:
        if latents.ndim == 4:
            return self._decoded(latents.unsqueeze(2))[:, :, 0]
        if self.strip and latents.shape[2] == 1 and _area(latents) * self.factor**2 > self.strip:
            from weft.nodes.models import clip_vae_strips

            return clip_vae_strips.decoded(self.network, latents, self.strip // self.factor**2)
        pixels: Tensor = self.network.decode(latents, return_dict=False)[0]
        return pixels

    def _encoded(self, pixels: Tensor) -> LatentDistribution:
        if pixels.ndim == 4:
            return self._encoded(pixels.unsqueeze(2)).each(lambda part: part[:, :, 0])
        if self.strip and pixels.shape[2] == 1 and _area(pixels) > self.strip:
            from weft.nodes.models import clip_vae_strips

            return _distribution_of(clip_vae_strips.encoded(self.network, pixels, self.strip // self.factor**2))
        found = self.network.encode(pixels).latent_dist
        return LatentDistribution(found.mean, found.std)

    def in_tiles(self, side: int) -> Callable[[], None]:
        """Pictures in strips and clips in tiles from now on, where the network is known; else both in tiles."""
        strips, tiles = self.in_exact_tiles(side), self._in_own_tiles(max(side, LEAST_TILE))

        def undo() -> None:
            tiles()
            strips()

        return undo

    def in_exact_tiles(self, side: int) -> Callable[[], None]:
        from weft.nodes.models import clip_vae_strips

        if not clip_vae_strips.can_strip(self.network):
            return lambda: None
        self.strip = side**2 // 4

        def undo() -> None:
            self.strip = 0

        return undo

    def _tiling(self, tile: int) -> Mapping[str, int]:
        """Tiles that overlap by a quarter, as diffusers' own do."""
        sides = ("height", "width")
        least = {f"tile_sample_min_{side}": tile for side in sides}
        return {**least, **{f"tile_sample_stride_{side}": tile * 3 // 4 for side in sides}}


class TinyAutoencoder(Autoencoder):
    """A tiny autoencoder, which encodes to latents themselves and has no distribution of them."""

    def _encoded_pictures(self, pixels: Tensor) -> LatentDistribution:
        return LatentDistribution(self.network.encode(pixels).latents)

    def _decoded_pictures(self, latents: Tensor) -> Tensor:
        if self.strip and _area(latents) * self.factor**2 > self.strip:
            from weft.nodes.models import vae_strips

            return vae_strips.decoded_by_convolutions(self.network, latents, self.strip // self.factor**2)
        return super()._decoded_pictures(latents)

    @property
    def tiles_exactly(self) -> bool:
        return True

    def in_tiles(self, side: int) -> Callable[[], None]:
        """Decode in strips from now on; encoding needs little memory."""
        self.strip = side**2 // 4

        def undo() -> None:
            self.strip = 0

        return undo


class Pixels(Autoencoder):
    """The identity VAE of models in pixel space: its latents are pixels in -1..1.

    Pictures of one channel are grey: decoded, it is red, green and blue; encoded is the mean of these.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__(None, channels, factor=1)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {}

    def decode(self, latents: Tensor) -> Tensor:
        pictures = picture(latents)
        return pictures.expand(*pictures.shape[:-1], 3).contiguous() if self.channels == 1 else pictures

    def _distribution(self, pictures: Tensor) -> LatentDistribution:
        return LatentDistribution(signed(pictures.mean(dim=-1, keepdim=True) if self.channels == 1 else pictures))

    @property
    def tiles_exactly(self) -> bool:
        return True

    def in_tiles(self, side: int) -> Callable[[], None]:
        return lambda: None


@value
@dataclass(frozen=True)
class Tiling(Patch[Autoencoder]):
    """Encoding and decoding in pieces, as `Autoencoder.in_tiles`.

    Args:
        side: of a tile, in pixels.
    """

    side: int

    def enter(self, module: Autoencoder, loading: Loading) -> Callable[[], None]:
        return module.in_tiles(self.side)


@value
@dataclass(frozen=True)
class ExactTiling(Patch[Autoencoder]):
    """The same for networks and pictures that give the same result in pieces; others go on as they are.

    Args:
        side: of a tile, in pixels.
    """

    side: int

    def enter(self, module: Autoencoder, loading: Loading) -> Callable[[], None]:
        return module.in_exact_tiles(self.side)


def picture(pixels: Tensor) -> Tensor:
    """Pixels in -1..1, channels first, as pictures in 0..1, channels last."""
    return (pixels / 2 + 0.5).clamp(0, 1).movedim(1, -1).float().contiguous().cpu()


def signed(pictures: Tensor) -> Tensor:
    """Pictures in 0..1, channels last, as pixels in -1..1, channels first."""
    return (2 * pictures - 1).movedim(-1, 1)


def _by_channel(scale: Scale, latents: Tensor) -> Tensor | float:
    """A scale in the form in which it multiplies latents `[batch, channel, ...]`."""
    if isinstance(scale, float):
        return scale
    import torch

    return torch.tensor(scale, dtype=torch.float32).to(latents).view(1, -1, *[1] * (latents.ndim - 2))


def _distribution_of(parameters: Tensor) -> LatentDistribution:
    """The distribution of a network's parameters: means, and logarithms of variances.

    These are within the bounds of diffusers' DiagonalGaussianDistribution.
    """
    mean, logarithms = parameters.chunk(2, dim=1)
    return LatentDistribution(mean, (logarithms.clamp(-30, 20) / 2).exp())


def _area(planes: Tensor) -> int:
    return planes.shape[-1] * planes.shape[-2]


def _folded(clips: Tensor) -> Tensor:
    """The frames of clips `[batch, channel, frame, ...]` as a batch of pictures."""
    return clips.transpose(1, 2).flatten(0, 1)


def _unfolded(frames: Tensor, batch: int) -> Tensor:
    """Pictures as the frames of clips again."""
    return frames.reshape(batch, -1, *frames.shape[1:]).transpose(1, 2)
