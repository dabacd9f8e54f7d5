"""Latents of clips: EmptyVideoLatent, VAEEncodeVideo and VAEDecodeVideo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Context,
    InputError,
    Range,
    Work,
    check_pixels,
    node,
)
from weft.nodes.families import family
from weft.nodes.library.latent import Side, Tile, autoencoder_of, check_multiple, finite
from weft.nodes.media_values import Video
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.models.denoiser_facts import ClipLimits
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sampling.workloads import decoding_work
from weft.nodes.sizes import SizeTraits, check_frames, frames_of, literal_size, same_size
from weft.nodes.values import VAE, F, Image, Latent

if TYPE_CHECKING:
    from torch import Tensor

MOST_FRAMES = 100_000


@node(
    category="video",
    lane="cpu",
    check=partial(check_frames, "frames", 0),
    traits=(LatentTraits(empty=True, clip=True), SizeTraits(literal_size, batch=partial(frames_of, "frames", 0))),
)
def EmptyVideoLatent(
    width: Side = 512,
    height: Side = 512,
    frames: Annotated[int, Range(1, MOST_FRAMES)] = 16,
    batch_size: Annotated[int, Range(1, 2**30)] = 1,
    rate: Annotated[float | None, Range(0.01, 1000.0), ADDED_LATER] = None,
) -> Latent[Any]:
    """Latents of the size of a clip without samples, to start from noise.

    Args:
        width: in pixels; begin with the side that the model was trained on: 128 for `builtin:landscapes`, 512 for SD 1.
        height: in pixels.
        frames: of each clip. Motion adapters were trained on 16, and `ApplyMotionAdapter` takes 24 or 32 at most.
        batch_size: clips in the batch.
        rate: frames a second, for models that read it (LTX-Video, Stable Video Diffusion); null is what most clips of
            their training had. VAEDecodeVideo has a rate of its own, for the finished clip.
    """
    return Latent(width, height, batch_size, length=frames, rate=rate)


@node(category="video", lane="gpu", traits=(LatentTraits(clip=True), SizeTraits(same_size, of="video")))
def VAEEncodeVideo(vae: VAE[F], video: Video, *, tile: Tile = 0, context: Context = INJECTED) -> Latent[F]:
    """Encode a clip into latents, to start sampling from it (video to video); takes the mean of the VAE's distribution.

    Args:
        vae: from LoadCheckpoint.
        video: the clip; its sides must be multiples of the VAE's factor (8).
        tile: encode in pieces, for large frames, as VAEDecode decodes them. 0 encodes each frame whole.
    """
    import torch

    count, height, width, _ = video.frames.shape
    parts = []
    with autoencoder_of(vae, tile, context) as autoencoder:
        check_multiple(Image(video.frames[:1].float() / 255), autoencoder.factor)
        for start, stop in autoencoder.parts_to_encode(count):
            parts.append(autoencoder.encode(autoencoder.taken(video.frames[None, start:stop].float() / 255)))
            context.progress(stop, count)
    return Latent(width, height, 1, torch.cat(parts, dim=2), length=count)


@node(category="video", lane="gpu", traits=(SizeTraits(same_size, of="latent"), Work(decoding_work)))
def VAEDecodeVideo(
    vae: VAE[F],
    latent: Latent[F],
    *,
    rate: Annotated[float, Range(0.01, 1000.0)] = 8.0,
    tile: Tile = 0,
    chunk: Annotated[int, Range(0, MOST_FRAMES), ADDED_LATER] = 0,
    context: Context = INJECTED,
) -> Video:
    """Decode the latents of a clip into its frames, a few at a time, so that long clips take no more memory.

    Frames are those that the VAE gives for a whole clip at once, without alpha. Stable Video Diffusion's norms a frame
    by all that it decodes together, which is the whole clip, as in diffusers' pipeline; `chunk` decodes fewer.

    The clips of a batch come one after the other; TakeLatents takes one of them. A clip that was stopped on the way, or
    whose process was killed, goes on at the part where it was (the setting `checkpoint_every` says how often that is
    kept).

    Args:
        vae: from LoadCheckpoint.
        latent: from KSampler or VAEEncodeVideo.
        rate: frames a second: 8 for AnimateDiff, as it was trained.
        tile: decode frames in pieces of about this side, in pixels, as VAEDecode does. 0 decodes each whole.
        chunk: frames that Stable Video Diffusion's VAE decodes together at most (diffusers' `decode_chunk_size`), so
            that long clips take no more memory; colours may change a little from one chunk to the next, so give 8 or
            more. 0 decodes all together. Other VAEs need none.
    """
    import torch

    if latent.samples is None:
        raise InputError(
            "the latent is only a size, with nothing in it to decode", "sample it first, with KSampler", "empty-latent"
        )
    samples = latent.samples if latent.samples.ndim == 5 else latent.samples.unsqueeze(2)
    samples = _own_frames(samples, latent.length, family(vae.family).denoiser.clips)
    with autoencoder_of(vae, tile, context) as autoencoder:
        count = latent.batch_size * autoencoder.frames_of(samples.shape[2])
        check_pixels(latent.width, latent.height * count, 1, context.limits)
        frames = torch.empty((count, latent.height, latent.width, 3), dtype=torch.uint8)
        reached = DecodedSoFar.of(context.checkpointed(), frames)
        for number in range(reached.item, latent.batch_size):
            for pixels in autoencoder.decoded_parts(samples[number, None], reached.part, reached.memory, chunk):
                part = finite(pixels[..., :3], vae.dtype)
                frames[reached.done : reached.done + len(part)] = (part.clamp(0, 1) * 255).round_().byte()
                reached = reached.further(len(part))
                context.checkpoint(partial(reached.state, frames, autoencoder))
                context.progress(reached.done, count)
            reached = DecodedSoFar(number + 1, done=reached.done)
    return Video(frames, rate)


def _own_frames(samples: Tensor, length: int | None, made: ClipLimits | None) -> Tensor:
    """Samples without the frames in front of a clip that its model sampled to fill a patch (CogVideoX 1.5).

    Args:
        length: pictures of the clip; None where it is not known.
        made: the clips that models of the family make.
    """
    if made is None or not made.led or length is None:
        return samples
    return samples[:, :, -made.latent_frames(length) :]


@dataclass(frozen=True)
class DecodedSoFar:
    """How far the decoding of the clips of a batch has come, for a call that goes on where another one was stopped.

    Args:
        item: the number of the clip that is decoded.
        part: the number of its part that comes next.
        done: frames that are decoded, of all clips.
        memory: what the VAE remembers of the parts before.
    """

    item: int = 0
    part: int = 0
    done: int = 0
    memory: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Mapping[str, Any] | None, frames: Tensor) -> DecodedSoFar:
        """What a state says; its frames are put where they belong."""
        if state is None:
            return cls()
        item, part, done = (int(state[name]) for name in ("item", "part", "done"))
        frames[:done] = state["frames"]
        return cls(item, part, done, state["memory"])

    def further(self, frames: int) -> DecodedSoFar:
        """One part further, which has so many frames."""
        return DecodedSoFar(self.item, self.part + 1, self.done + frames)

    def state(self, frames: Tensor, autoencoder: Autoencoder) -> Mapping[str, Any]:
        """What is kept of it."""
        known = {"frames": frames[: self.done].clone(), "memory": autoencoder.decoding_memory()}
        return {"item": self.item, "part": self.part, "done": self.done, **known}
