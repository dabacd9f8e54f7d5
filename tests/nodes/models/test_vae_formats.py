"""VAEs of every kind, from a folder and from one file, encode and decode as diffusers' bare classes do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes import layouts
from tests.nodes.families.tiny import SIXTEEN, vae
from tests.nodes.oracle import diffusers
from tests.refusals import refused
from weft.engine import Loading
from weft.engine.weights.recipes import Sources
from weft.nodes.models.autoencoder import Autoencoder, Tiling
from weft.nodes.models.contents import Contents
from weft.nodes.models.safetensors_header import read_shapes
from weft.nodes.models.vae_formats import VAESpec, load_autoencoder, vae_facts

Tensors = dict[str, Any]

FLUX = {"scaling_factor": 0.3611, "shift_factor": 0.1159}

KINDS: dict[str, tuple[VAESpec, Callable[[], Any], layouts.Rules]] = {
    "AutoencoderKL": (VAESpec(16, config=FLUX), lambda: vae(**SIXTEEN, **FLUX), layouts.VAE),
    "AutoencoderKLQwenImage": (
        VAESpec(16, "AutoencoderKLQwenImage"),
        lambda: diffusers.AutoencoderKLQwenImage(base_dim=8),
        layouts.WAN_VAE,
    ),
    "AutoencoderKLWan": (
        VAESpec(16, "AutoencoderKLWan"),
        lambda: diffusers.AutoencoderKLWan(base_dim=8),
        layouts.WAN_VAE,
    ),
}
"""Each kind's spec, a tiny one, and how its tensors are named in one file."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kind of VAE, and where it lies: `folder`, and `file.safetensors` with the same weights."""
    root = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    _, make, rules = KINDS[request.param]
    make().save_pretrained(root / "folder")
    weights = load_file(root / "folder" / "diffusion_pytorch_model.safetensors")
    save_file(layouts.renamed(weights, rules, ""), root / "file.safetensors")
    return request.param, root


def loaded(kind: str, root: Path) -> Autoencoder:
    """A VAE as its format loads it."""
    facts = vae_facts(Contents.of(root))
    assert facts is not None
    return load_autoencoder(KINDS[kind][0], facts, root, "", torch.float32, "cpu")


def bare(kind: str, root: Path) -> tuple[Any, Any, Any]:
    """The same VAE as diffusers' class, with its scale and its shift for latents of clips."""
    network = getattr(diffusers, kind).from_pretrained(root / "folder")
    if kind == "AutoencoderKL":
        return network, FLUX["scaling_factor"], FLUX["shift_factor"]
    mean, deviation = (torch.tensor(network.config[f"latents_{name}"]).view(1, 16, 1, 1, 1) for name in ("mean", "std"))
    return network, 1 / deviation, mean


def expected_latents(kind: str, root: Path, clips: torch.Tensor) -> Any:
    """The latents of clips `[batch, frame, height, width, 3]` by diffusers' class."""
    network, scale, shift = bare(kind, root)
    pixels = 2 * clips.permute(0, 4, 1, 2, 3) - 1
    with torch.no_grad():
        if kind == "AutoencoderKL":
            each = [network.encode(frame).latent_dist.mean for frame in pixels.unbind(2)]
            return (torch.stack(each, dim=2) - shift) * scale
        return (network.encode(pixels).latent_dist.mean - shift) * scale


def expected_clips(kind: str, root: Path, latents: torch.Tensor) -> torch.Tensor:
    """The clips of latents `[batch, channel, frame, height, width]` by diffusers' class."""
    network, scale, shift = bare(kind, root)
    given = latents / scale + shift
    with torch.no_grad():
        if kind == "AutoencoderKL":
            pixels = torch.stack([network.decode(frame).sample for frame in given.unbind(2)], dim=2)
        else:
            pixels = network.decode(given).sample
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 4, 1)


@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
def test_pictures_are_encoded_and_decoded_as_by_diffusers(kind: tuple[str, Path], name: str) -> None:
    kind_name, root = kind
    own, pictures, latents = loaded(kind_name, root / name), torch.rand(2, 32, 48, 3), torch.randn(2, 16, 4, 6)
    encoded = expected_latents(kind_name, root, pictures[:, None])[:, :, 0]
    decoded = expected_clips(kind_name, root, latents[:, :, None])[:, 0]
    assert torch.allclose(own.encode(pictures), encoded, atol=1e-4)
    assert torch.allclose(own.decode(latents), decoded, atol=1e-4) and decoded.std() > 0


@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
def test_clips_are_encoded_and_decoded_as_by_diffusers(kind: tuple[str, Path], name: str) -> None:
    kind_name, root = kind
    own, clips = loaded(kind_name, root / name), torch.rand(1, 5, 32, 48, 3)
    latents = own.encode(clips)
    assert latents.shape == (1, 16, 1 + 4 // own.time_factor, 4, 6)
    assert torch.allclose(latents, expected_latents(kind_name, root, clips), atol=1e-4)
    decoded = own.decode(latents)
    assert decoded.shape == clips.shape
    assert torch.allclose(decoded, expected_clips(kind_name, root, latents), atol=1e-4)


def test_a_picture_alone_is_a_clip_of_one_frame(kind: tuple[str, Path]) -> None:
    own, pictures = loaded(kind[0], kind[1] / "folder"), torch.rand(1, 16, 16, 3)
    assert torch.allclose(own.encode(pictures), own.encode(pictures[:, None])[:, :, 0], atol=1e-5)


@pytest.mark.wide
def test_tiles_are_those_of_diffusers_and_end_with_the_call(kind: tuple[str, Path]) -> None:
    """Those of clips; pictures are the same in strips. Tiles of clips are 256 pixels at least."""
    frames = () if kind[0] == "AutoencoderKL" else (2,)
    own, latents = loaded(kind[0], kind[1] / "folder"), torch.randn(1, 16, *frames, 6, 36)
    whole = own.decode(latents)
    undo = Tiling(64).enter(own, Loading("cpu", Sources()))
    tiled = own.decode(latents)
    undo()
    expected = whole
    if kind[0] != "AutoencoderKL":
        network, _, _ = bare(*kind)
        network.enable_tiling(256, 256, 192, 192)
        own.network, plain = network, own.network
        expected = own.decode(latents)
        own.network = plain
    assert torch.allclose(tiled, expected, atol=1e-5) and not torch.equal(tiled, whole)
    assert torch.equal(own.decode(latents), whole)


def test_headers_say_the_sizes(kind: tuple[str, Path]) -> None:
    kind_name, root = kind
    folder, file = vae_facts(Contents.of(root / "folder")), vae_facts(Contents.of(root / "file.safetensors"))
    assert folder is not None and file is not None
    sizes = (16, 8, 1 if kind_name == "AutoencoderKL" else 4)
    assert (folder.channels, folder.factor, folder.time_factor) == sizes
    assert (file.channels, file.factor, file.time_factor) == sizes
    assert folder.classes == (kind_name,) and kind_name in file.classes
    assert KINDS[kind_name][0].takes(folder) and KINDS[kind_name][0].takes(file)


def test_a_clip_whose_frames_make_no_whole_latent_frame_is_refused(kind: tuple[str, Path]) -> None:
    own = loaded(kind[0], kind[1] / "folder")
    if own.time_factor == 1:
        assert own.encode(torch.rand(1, 4, 16, 16, 3)).shape[2] == 4
        return
    with refused("wrong-size", 4, 1, 5):
        own.encode(torch.rand(1, 4, 16, 16, 3))


def test_another_structure_under_the_same_name_is_none(kind: tuple[str, Path]) -> None:
    shapes = dict(read_shapes(kind[1] / "file.safetensors"))
    entries = ("decoder.mid.block_1.norm1.weight", "decoder.middle.0.residual.0.gamma")
    assert vae_facts(Contents(shapes={name: shapes[name] for name in entries if name in shapes})) is None
