"""Latents: sizes, encoding and decoding."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.refusals import refused
from weft.engine import Engine, Graph, Limits, NodeType
from weft.nodes import EmptyLatent, Image, Latent, LoadCheckpoint, LoadVAE, SaveImage, VAEDecode, VAEEncode

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def vae(call: Call) -> Any:
    return call(LoadCheckpoint, source="epsilon").vae


def test_encoding_is_the_mean_and_decoding_is_one_item_at_a_time(call: Call, vae: Any) -> None:
    pixels = torch.rand(2, 32, 48, 3)
    latent = call(VAEEncode, vae=vae, image=Image(pixels))
    both = call(VAEDecode, vae=vae, latent=latent).pixels
    second = call(VAEDecode, vae=vae, latent=Latent(48, 32, 1, latent.samples[1:])).pixels
    assert latent.samples.shape == (2, 4, 4, 6) and (latent.width, latent.height, latent.batch_size) == (48, 32, 2)
    assert both.shape == (2, 32, 48, 3) and torch.equal(both[1:], second)


@pytest.mark.parametrize(("width", "height"), [(128, 96), (72, 264), (264, 8)])
def test_tiles_decode_and_encode_into_the_same(call: Call, vae: Any, width: int, height: int) -> None:
    latent = Latent[Any](width, height, 2, torch.randn(2, 4, height // 8, width // 8))
    whole = call(VAEDecode, vae=vae, latent=latent)
    tiled = call(VAEDecode, vae=vae, latent=latent, tile=64)
    assert torch.allclose(tiled.pixels, whole.pixels, atol=1e-5) and not torch.equal(tiled.pixels, whole.pixels)
    encoded, in_tiles = (call(VAEEncode, vae=vae, image=whole, tile=tile).samples for tile in (0, 64))
    assert torch.allclose(in_tiles, encoded, atol=1e-5) and not torch.equal(in_tiles, encoded)
    assert torch.equal(call(VAEDecode, vae=vae, latent=latent).pixels, whole.pixels)


def test_a_large_picture_takes_a_third_of_the_memory_and_has_no_seams(call: Call) -> None:
    """Counted in bytes of tensors that torch makes, on a smooth picture; tests/benchmarks/vae_memory.py measures."""
    vae = call(LoadCheckpoint, source="builtin:landscapes").vae
    corners = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    samples = torch.nn.functional.interpolate(corners, (48, 48), mode="bilinear", align_corners=True)
    latent, pictures, peaks = Latent[Any](384, 384, 1, samples), [], []
    for tile in (0, 64):
        with LargestAmount() as amount:
            pictures.append(call(VAEDecode, vae=vae, latent=latent, tile=tile).pixels)
        peaks.append(amount.peak)
    assert peaks[1] < peaks[0] / 3
    assert float((pictures[0] - pictures[1]).abs().max()) < 0.1 / 255


class LargestAmount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that exist at once, of those that operations make while it is open."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held, self.peak = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not made._is_view() and made.storage_offset() == 0:
            storage = made.untyped_storage()
            if not any(
                isinstance(one, torch.Tensor) and one.untyped_storage()._cdata == storage._cdata for one in args
            ):
                self.held += storage.nbytes()
                weakref.finalize(made, self._freed, storage.nbytes())
        self.peak = max(self.peak, self.held)
        return made

    def _freed(self, count: int) -> None:
        self.held -= count


def test_a_tiny_autoencoder_decodes_in_tiles_into_the_same(call: Call) -> None:
    model = call(LoadCheckpoint, source="builtin:landscapes").model
    tiny = call(LoadVAE, model=model, source="builtin:landscapes-tiny-vae")
    latent = Latent[Any](64, 512, 1, torch.randn(1, 4, 64, 8))
    whole, tiled = (call(VAEDecode, vae=tiny, latent=latent, tile=tile).pixels for tile in (0, 64))
    assert torch.allclose(tiled, whole, atol=1e-5) and not torch.equal(tiled, whole)


def test_a_vae_of_half_precision_decodes_in_float32_where_it_is_asked_to(models: Path) -> None:
    latent = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    decoded = {}
    for running, precision in (("float32", "auto"), ("bfloat16", "auto"), ("bfloat16", "float32")):
        engine = Engine(store=None, device="cpu", precision=running, models=[models])
        vae = engine.run_now(cast(NodeType, LoadCheckpoint), {"source": "epsilon"}).vae
        given = {"vae": vae, "latent": latent, "precision": precision}
        decoded[running, precision] = engine.run_now(cast(NodeType, VAEDecode), given).pixels
    assert torch.equal(decoded["bfloat16", "float32"], decoded["float32", "auto"])
    assert not torch.equal(decoded["bfloat16", "auto"], decoded["float32", "auto"])


def test_the_frames_of_clips_are_decoded_one_after_the_other(call: Call, vae: Any) -> None:
    clips = torch.randn(2, 4, 3, 4, 6)
    latent = Latent[Any](48, 32, 2, clips)
    decoded = call(VAEDecode, vae=vae, latent=latent).pixels
    frames = Latent[Any](48, 32, 6, clips.transpose(1, 2).flatten(0, 1).contiguous())
    assert latent.frames == 3 and frames.frames is None
    assert decoded.shape == (6, 32, 48, 3)
    assert torch.allclose(decoded, call(VAEDecode, vae=vae, latent=frames).pixels, atol=1e-5)


def test_alpha_is_left_out(call: Call, vae: Any) -> None:
    pixels = torch.rand(1, 16, 16, 4)
    one = call(VAEEncode, vae=vae, image=Image(pixels))
    other = call(VAEEncode, vae=vae, image=Image(pixels[..., :3].clone()))
    assert torch.equal(one.samples, other.samples)


def test_a_picture_that_does_not_fit_is_refused(call: Call, vae: Any) -> None:
    with refused("wrong-size", "50 x 33", 8, "48 x 32"):
        call(VAEEncode, vae=vae, image=Image(torch.rand(1, 33, 50, 3)))


def test_a_size_cannot_be_decoded(call: Call, vae: Any) -> None:
    with refused("empty-latent"):
        call(VAEDecode, vae=vae, latent=EmptyLatent(16, 16))


def test_a_picture_of_no_numbers_is_refused(call: Call, vae: Any) -> None:
    broken = Latent[Any](16, 16, 1, torch.full((1, 4, 2, 2), float("nan")))
    with refused("not-finite", "float32"):
        call(VAEDecode, vae=vae, latent=broken)


@pytest.mark.parametrize(
    ("width", "batch", "input", "code"),
    [(10**9, 1, "width", "too-many-pixels"), (64, 5000, "batch_size", "batch-too-large")],
)
def test_a_size_beyond_the_limits_is_a_problem_of_the_graph(
    models: Path, width: int, batch: int, input: str, code: str
) -> None:
    with Graph() as graph:
        SaveImage(VAEDecode(LoadCheckpoint("epsilon").vae, EmptyLatent(width, 64, batch)))
    (problem,) = Engine(store=None, models=[models], limits=Limits()).check(graph).problems
    assert (problem.code, problem.node, problem.input) == (code, "empty_latent", input) and problem.hint
