"""Tiny autoencoders whose halves are in a file each, as their authors publish them, equal those of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.oracle import diffusers
from tests.refusals import refused
from weft.engine import Engine, SearchPaths
from weft.engine.keys import digest
from weft.nodes import Image, Latent, LoadVAE, VAEDecode, VAEEncode
from weft.nodes.families.sources import VAESource
from weft.nodes.models.tiny_halves import half_of
from weft.nodes.values import Model

PUBLISHED = {"taesd": ("SD1", 4), "taesdxl": ("SDXL", 4), "taesd3": ("SD3", 16), "taef1": ("FLUX", 16)}
"""Names of files, the family whose latents they are for, and the channels of these."""

BLOCKS = {"encoder": (1, 3, 3, 3), "decoder": (3, 3, 3, 1)}


def block(layer: int) -> list[str]:
    return [f"{layer}.conv.{part}.{kind}" for part in (0, 2, 4) for kind in ("weight", "bias")]


def published_names(half: str) -> set[str]:
    """The names in a published file: of 15 layers of an encoder, and of 20 of a decoder.

    A decoder has a bound before its first convolution, an activation after it and a doubling before each later one.
    """
    if half == "encoder":
        plain = {layer: layer in (0, 14) for layer in (0, 2, 6, 10, 14)}
        blocks = [1, 3, 4, 5, 7, 8, 9, 11, 12, 13]
    else:
        plain = {layer: layer in (1, 19) for layer in (1, 7, 12, 17, 19)}
        blocks = [3, 4, 5, 8, 9, 10, 13, 14, 15, 18]
    convolutions = {f"{layer}.weight" for layer in plain} | {f"{layer}.bias" for layer, has in plain.items() if has}
    return convolutions | {name for layer in blocks for name in block(layer)}


def write_halves(network: Any, folder: Path, name: str) -> None:
    """Both files, under the authors' numbers."""
    for half, before in (("encoder", 0), ("decoder", 1)):
        found = getattr(network, half).layers.state_dict()
        numbered = {f"{int(key.split('.')[0]) + before}.{key.partition('.')[2]}": found[key] for key in found}
        save_file({key: tensor.clone() for key, tensor in numbered.items()}, folder / f"{name}_{half}.safetensors")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the files of each, in the published structure and of 8 channels."""
    models = tmp_path_factory.mktemp("halves")
    for seed, (name, (_, channels)) in enumerate(PUBLISHED.items()):
        torch.manual_seed(seed)
        widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
        network = diffusers.AutoencoderTiny(latent_channels=channels, **widths)
        network.save_pretrained(models / name)
        write_halves(network, models, name)
    return models


@pytest.mark.parametrize("half", BLOCKS)
def test_the_published_names_are_recognised(half: str, halves: Path) -> None:
    names = published_names(half)
    assert half_of(dict.fromkeys(names, (8, 8, 3, 3))) == half
    assert load_file(halves / f"taesd_{half}.safetensors").keys() == names


def run_now(engine: Engine, type: Any, given: dict[str, Any]) -> Any:
    return engine.run_now(type, given)


@pytest.mark.parametrize("name", PUBLISHED)
def test_both_files_are_a_vae_that_equals_the_folder(name: str, halves: Path) -> None:
    family, channels = PUBLISHED[name]
    theirs = diffusers.AutoencoderTiny.from_pretrained(halves / name)
    places = SearchPaths(working=halves, models=(halves,))
    found = [VAESource().resolve(f"{name}_{half}.safetensors", places) for half in BLOCKS]
    assert len({one.digest_of([digest(path.name) for path in one.files]) for one in found}) == 1
    assert family in found[0].facts.families  # type: ignore[attr-defined]
    pixels, latents = torch.rand(1, 32, 32, 3), torch.randn(1, channels, 4, 4)
    with Engine(store=None, device="cpu", models=[halves], history=False) as engine:
        given = {"model": Model("none", family, "", "float32"), "source": f"{name}_decoder.safetensors"}
        loaded = run_now(engine, LoadVAE, given)
        decoded = run_now(engine, VAEDecode, {"vae": loaded, "latent": Latent(32, 32, 1, samples=latents)}).pixels
        encoded = run_now(engine, VAEEncode, {"vae": loaded, "image": Image(pixels)}).samples
    with torch.no_grad():
        wanted = theirs.decode(latents).sample / 2 + 0.5
        bare = theirs.encode(pixels.movedim(-1, 1) * 2 - 1).latents
    assert torch.allclose(decoded, wanted.clamp(0, 1).movedim(1, -1), atol=1e-5)
    assert torch.allclose(encoded, bare, atol=1e-5)


def resolve(name: str, folder: Path, *models: Path) -> None:
    VAESource().resolve(name, SearchPaths(working=folder, models=(folder, *models)))


def test_a_half_without_its_other_half_names_it(halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "taesd_decoder.safetensors"
    path.write_bytes((halves / path.name).read_bytes())
    with refused("missing-file", "taesd_encoder.safetensors"):
        resolve(path.name, tmp_path)
    path.rename(tmp_path / "mine.safetensors")
    with refused("missing-file", "encoder"):
        resolve("mine.safetensors", tmp_path)


def test_a_half_that_is_something_else_is_refused(halves: Path, tmp_path: Path) -> None:
    decoder = (halves / "taesd_decoder.safetensors").read_bytes()
    for half in BLOCKS:
        (tmp_path / f"taesd_{half}.safetensors").write_bytes(decoder)
    with refused("wrong-kind-of-file", "taesd_encoder.safetensors", "taesd_decoder.safetensors"):
        resolve("taesd_decoder.safetensors", tmp_path)


def test_an_other_half_that_lies_outside_is_refused(halves: Path, tmp_path: Path) -> None:
    (tmp_path / "taesd_decoder.safetensors").write_bytes((halves / "taesd_decoder.safetensors").read_bytes())
    (tmp_path / "taesd_encoder.safetensors").symlink_to(halves / "taesd_encoder.safetensors")
    with refused("outside-folders", "taesd_encoder.safetensors"):
        resolve("taesd_decoder.safetensors", tmp_path)
    resolve("taesd_decoder.safetensors", tmp_path, halves)
