"""Latents of clips: made, encoded and decoded a frame at a time.

The memory of a long clip: `pytest -m slow tests/nodes/library/test_video_latents.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from tests.nodes.clips import clip
from tests.nodes.library.test_latent import LargestAmount
from tests.refusals import refused
from weft.engine import Engine, Graph, Link, node
from weft.nodes import (
    EmptyVideoLatent,
    LoadCheckpoint,
    VAEDecode,
    VAEDecodeVideo,
    VAEEncode,
    VAEEncodeVideo,
)
from weft.nodes.models.autoencoder import VideoAutoencoder
from weft.nodes.models.clip_autoencoders import HunyuanVideoAutoencoder, LTXVideoAutoencoder
from weft.nodes.values import Latent


@pytest.fixture(scope="module")
def vae(call: Callable[..., Any]) -> Any:
    return call(LoadCheckpoint, source="builtin:landscapes").vae


def noise(frames: int, side: int = 64, batch: int = 1) -> Latent[Any]:
    """Latents of clips of random colours."""
    numbers = torch.Generator().manual_seed(1)
    samples = torch.randn(batch, 4, frames, side // 8, side // 8, generator=numbers)
    return Latent(side, side, batch, samples, length=frames)


def test_frames_are_decoded_as_pictures_are(call: Callable[..., Any], vae: Any) -> None:
    latent = noise(3, batch=2)
    pictures = call(VAEDecode, vae=vae, latent=latent).pixels
    video = call(VAEDecodeVideo, vae=vae, latent=latent, rate=12.0)
    assert (video.frames.shape, video.rate) == ((6, 64, 64, 3), 12.0)
    assert (video.frames.float() - (pictures * 255).round().clamp(0, 255)).abs().max() <= 1


def test_frames_are_encoded_as_pictures_are(call: Callable[..., Any], vae: Any) -> None:
    video = clip(3, 64, 32)
    latent = call(VAEEncodeVideo, vae=vae, video=video)
    pictures = call(VAEEncode, vae=vae, image=video.images())
    assert (latent.length, latent.frames, latent.width, latent.height) == (3, 3, 64, 32)
    assert torch.allclose(latent.samples[0].transpose(0, 1), pictures.samples, atol=1e-5)


def test_a_clip_that_is_too_large_is_refused_before_a_run(engine: Engine) -> None:
    with Graph(outputs={"latent": Link("empty_video_latent")}) as graph:
        EmptyVideoLatent(4096, 4096, 1_000)
    with refused("too-many-pixels"):
        engine.run(graph)


def test_sides_that_the_vae_does_not_take_are_refused(call: Callable[..., Any], vae: Any) -> None:
    with refused("wrong-size"):
        call(VAEEncodeVideo, vae=vae, video=clip(2, 60, 32))


@pytest.mark.parametrize("kind", ["AutoencoderKLWan", "AutoencoderKLQwenImage"])
def test_a_vae_of_clips_decodes_in_parts_what_it_decodes_whole(kind: str) -> None:
    torch.manual_seed(0)
    network: Any = getattr(diffusers, kind)(base_dim=8, z_dim=16, num_res_blocks=1).eval()
    autoencoder = VideoAutoencoder(network, 16, 8, 4)
    latents = torch.randn(1, 16, 3, 4, 4)
    parts = [*autoencoder.decoded_parts(latents)]
    assert [len(one) for one in parts] == [1, 4, 4]
    assert torch.equal(torch.cat(parts), autoencoder.decode(latents)[0])


def test_the_vae_of_hunyuan_video_decodes_in_parts_what_it_decodes_whole() -> None:
    torch.manual_seed(0)
    widths: Any = {"block_out_channels": (32, 32, 32, 32, 32), "layers_per_block": 1}
    classes: Any = diffusers
    network = classes.AutoencoderKLHunyuanVideo15(**widths).eval()
    autoencoder = HunyuanVideoAutoencoder(network, 32, 16, 4, scale=1.03682)
    latents = torch.randn(1, 32, 4, 3, 2)
    parts = [*autoencoder.decoded_parts(latents)]
    assert [len(one) for one in parts] == [1, 4, 4, 4]
    assert (torch.cat(parts) - autoencoder.decode(latents)[0]).abs().max() < 1e-5


LTX: dict[str, dict[str, Any]] = {
    "0.9": {},
    "0.9.1": {"timestep_conditioning": True, "decoder_inject_noise": (True, True, True, False, False)},
    "0.9.5": {
        "timestep_conditioning": True,
        "decoder_block_out_channels": (8, 16, 32),
        "decoder_spatio_temporal_scaling": (True,) * 3,
        "decoder_layers_per_block": (1,) * 4,
        "decoder_inject_noise": (False,) * 4,
        "upsample_residual": (True,) * 3,
        "upsample_factor": (2,) * 3,
    },
    "that never looks ahead": {"decoder_causal": True},
}
"""What differs between the VAEs of LTX-Video."""


def ltx(version: str) -> LTXVideoAutoencoder:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    sizes |= {"layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5, "latent_channels": 16}
    classes: Any = diffusers
    network = classes.AutoencoderKLLTXVideo(**{**sizes, **LTX[version]}).eval().requires_grad_(False)
    for name, scale in network.named_parameters():
        if "per_channel_scale" in name:
            scale.normal_()
    return LTXVideoAutoencoder(network, 16, 32, 8)


@pytest.mark.parametrize("version", LTX)
@pytest.mark.parametrize("frames", [1, 2, 10])
def test_the_vae_of_ltx_video_decodes_in_parts_what_it_decodes_whole(version: str, frames: int) -> None:
    autoencoder, latents = ltx(version), torch.randn(1, 16, frames, 2, 1)
    parts = [*autoencoder.decoded_parts(latents)]
    assert max(map(len, parts)) <= 8 and sum(map(len, parts)) == 8 * frames - 7
    assert (torch.cat(parts) - whole_of(autoencoder, latents)).abs().max() < 1e-5


@torch.no_grad()
def whole_of(autoencoder: LTXVideoAutoencoder, latents: torch.Tensor) -> torch.Tensor:
    """What diffusers' network decodes; the noise of each block is drawn by its number."""
    network = autoencoder.network
    blocks = [one for one in network.decoder.modules() if type(one).__name__ == "LTXVideoResnetBlock3d"]
    for number, block in enumerate(blocks):
        block.register_forward_pre_hook(
            lambda _, given, number=number: (*given[:2], torch.Generator().manual_seed(number))
        )
    pixels = network.decode(latents, **autoencoder.decoding_options(latents), return_dict=False)[0]
    pictures: torch.Tensor = ((pixels[0].movedim(0, -1) + 1) / 2).clamp(0, 1)
    return pictures


def test_the_vae_of_ltx_video_takes_no_more_memory_for_long_clips() -> None:
    autoencoder, peaks = ltx("0.9.1"), []
    for frames in (12, 48):
        latents = torch.randn(1, 16, frames, 1, 1)
        with LargestAmount() as amount:
            for _ in autoencoder.decoded_parts(latents):
                pass
        peaks.append(amount.peak)
    assert peaks[1] <= 1.1 * peaks[0]


def test_a_long_decode_ends_within_one_frame_of_its_cancellation(engine: Engine) -> None:
    frames: list[int] = []

    def listen(event: Any) -> None:
        if type(event).__name__ == "NodeProgress":
            frames.append(event.step)

    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        VAEDecodeVideo(LoadCheckpoint("builtin:landscapes").vae, LongNoise())
    result = engine.execute(engine.plan(graph), listener=listen, cancelled=lambda: len(frames) >= 2)
    assert result.status == "cancelled" and len(frames) <= 3


@node
def LongNoise() -> Latent[Any]:
    """Latents of a clip of 50 frames."""
    return noise(50)


PROGRAM = """
import sys, torch
from pathlib import Path
from weft.engine import Engine
from weft.nodes import LoadCheckpoint, SaveVideo, VAEDecodeVideo
from weft.nodes.models.autoencoder import VideoAutoencoder
from weft.nodes.values import Latent
torch.set_num_threads(1)
frames = int(sys.argv[1])
samples = torch.randn(1, 4, frames, 32, 32, generator=torch.Generator().manual_seed(1))
def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024
with Engine(store=None, device="cpu", history=False) as engine:
    vae = engine.run_now(LoadCheckpoint, {"source": "builtin:landscapes"}).vae
    engine.run_now(VAEDecodeVideo, {"vae": vae, "latent": Latent(256, 256, 1, samples[:, :, :2], length=2)})
    begun = resident("VmRSS")
    video = engine.run_now(VAEDecodeVideo, {"vae": vae, "latent": Latent(256, 256, 1, samples, length=frames)})
    engine.run_now(SaveVideo, {"video": video, "format": "mp4"})
print(resident("VmHWM") - begun)
"""


def peak(frames: int) -> int:
    """Bytes above the beginning, at most, as a clip is decoded and saved in a process of its own."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(frames)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
def test_a_long_clip_takes_no_more_memory_than_its_frames() -> None:
    short, long = peak(25), peak(241)
    print(f"25 frames {short / 2**20:.0f} MiB, 241 frames {long / 2**20:.0f} MiB")
    assert long <= 1.2 * short + 241 * 256 * 256 * 3
