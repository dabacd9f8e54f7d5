"""Previews: colours out of latents, what a checkpoint says of its own, and what a listener is shown."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.models.test_tiny_halves import write_halves
from tests.nodes.oracle import diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.engine.events import Event, NodeProgress, Previewed
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode
from weft.nodes.families import FAMILIES
from weft.nodes.models.latent_preview import LatentRGBFactors, fitted, latent_rgb_factors_of, with_decoder

COLOURS = LatentRGBFactors(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (9.0, 9.0, 9.0)), (0.0, 0.5, 1.0))


def read(png: bytes) -> Any:
    return numpy.asarray(Pictures.open(io.BytesIO(png)))


def graph_of(model: str, **sampling: Any) -> Graph:
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a house"))
        KSampler(guide, EmptyLatent(64, 64, 2), **{"steps": 3, **sampling})
    return graph


def shown(engine: Engine, graph: Graph, **wish: Any) -> list[NodeProgress]:
    heard: list[Event] = []
    engine.run(graph, only=["k_sampler"], listener=Previewed(heard.append, **wish))
    return [event for event in heard if isinstance(event, NodeProgress)]


def test_a_preview_is_a_linear_map_of_the_first_item() -> None:
    latents = torch.zeros(2, 4, 2, 3)
    latents[0, 0, 0, 0], latents[0, 1, 1, 2] = 1.0, torch.nan
    picture = read(COLOURS.png(latents))
    assert picture.shape == (8, 12, 3)
    assert picture[0, 0].tolist() == [255, 128, 255] and picture[7, 0].tolist() == [0, 128, 255]
    assert picture[7, 11].tolist() == [0, 0, 0]


def test_a_preview_of_a_clip_is_its_frame_in_the_middle() -> None:
    clip = torch.rand(2, 4, 3, 2, 3)
    assert torch.equal(COLOURS.of(clip), COLOURS.of(clip[:, :, 1]))


@pytest.mark.parametrize(("size", "side"), [(16, 64), (100, 256), (512, 256)])
def test_a_preview_is_small(size: int, side: int) -> None:
    assert read(COLOURS.png(torch.zeros(1, 4, size, size // 4))).shape == (side, side // 4, 3)


def test_latents_without_a_map_are_shown_by_what_varies_most_in_them() -> None:
    latents = 0.01 * torch.randn(1, 8, 6, 6)
    latents[0, 5, :, :3] += 4.0
    shown = LatentRGBFactors(()).of(latents)
    left, right = shown[:, :3, 0], shown[:, 3:, 0]
    assert float(left.min() - right.max()) > 0.3 and torch.equal(shown, LatentRGBFactors(()).of(latents))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_colours(family: Any) -> None:
    assert all(len(colour) == 3 for colour in (*family.latent_rgb_factors.weights, family.latent_rgb_factors.offset))


def test_a_folder_may_say_its_own_colours(tmp_path: Path) -> None:
    assert latent_rgb_factors_of(tmp_path, COLOURS) is COLOURS
    (tmp_path / "preview.json").write_text(json.dumps({"weights": [[1, 2, 3]] * 4, "offset": [0, 0, 0]}))
    assert latent_rgb_factors_of(tmp_path, COLOURS) == LatentRGBFactors(((1.0, 2.0, 3.0),) * 4, (0.0, 0.0, 0.0))


def test_a_map_is_fitted_to_pictures() -> None:
    latents = torch.randn(5, 4, 8, 8)
    wanted = torch.einsum("bchw,ck->bkhw", latents, torch.tensor(COLOURS.weights)) + 0.25
    assert fitted(latents, wanted) == LatentRGBFactors(COLOURS.weights, (0.25, 0.25, 0.25))


def test_a_decoder_that_there_is_not_is_refused(tmp_path: Path) -> None:
    given = {"weights": [[1, 2, 3]] * 4, "offset": [0, 0, 0], "decoder": "none"}
    (tmp_path / "preview.json").write_text(json.dumps(given))
    with refused("unknown-model", "preview.json", "none"):
        latent_rgb_factors_of(tmp_path, COLOURS)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"weights": 1, "offset": None},
        {"weights": [[1, 2]] * 4, "offset": [0, 0, 0]},
        {"weights": [[1, 2, 3]] * 3, "offset": [0, 0, 0]},
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, given: Any) -> None:
    (tmp_path / "preview.json").write_text(json.dumps(given))
    with refused("malformed-preview", "preview.json", 4):
        latent_rgb_factors_of(tmp_path, COLOURS)


def test_a_listener_that_wants_previews_is_shown_them(engine: Engine) -> None:
    first, second, third = shown(engine, graph_of("epsilon"), per_second=1e9)
    assert all(read(event.preview).shape == (32, 32, 3) for event in (first, second, third))
    assert first.preview != third.preview and first.plain()["preview"]


def test_no_more_previews_than_are_wanted(engine: Engine) -> None:
    assert [bool(event.preview) for event in shown(engine, graph_of("epsilon"), per_second=0.01)] == [
        True,
        False,
        False,
    ]


def test_previews_change_nothing(engine: Engine) -> None:
    graph = replace(graph_of("epsilon"), outputs={"latent": Link("k_sampler")})
    seen = engine.run(graph, listener=Previewed(lambda event: None, per_second=1e9)).outputs["latent"]
    assert torch.equal(seen.samples, engine.run(graph).outputs["latent"].samples)


def test_other_listeners_are_shown_none(engine: Engine) -> None:
    heard: list[Event] = []
    engine.run(graph_of("epsilon"), only=["k_sampler"], listener=heard.append)
    assert not any(event.plain().get("preview") for event in heard)


def test_a_checkpoint_is_shown_in_its_own_colours(engine: Engine, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "epsilon", tmp_path / "own")
    (tmp_path / "own" / "preview.json").write_text(json.dumps({"weights": [[0, 0, 0]] * 4, "offset": [1, 0, 0]}))
    with Engine(store=None, device="cpu", models=[tmp_path]) as own:
        (event, *_) = shown(own, graph_of("own"))
    assert (read(event.preview) == [255, 0, 0]).all()


@pytest.fixture
def decoders(tmp_path: Path) -> Path:
    """A folder with the decoder of SD 1's latents, and with one of 16 channels under the name of SDXL's."""
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    for name, channels in (("taesd", 4), ("taesdxl", 16)):
        torch.manual_seed(channels)
        write_halves(diffusers.AutoencoderTiny(latent_channels=channels, **blocks), tmp_path, name)
    return tmp_path


def named(published: str) -> LatentRGBFactors:
    return replace(COLOURS, published=published)


def test_previews_are_decoded_by_a_decoder_of_the_users(decoders: Path) -> None:
    torch.manual_seed(4)
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    theirs, latents = diffusers.AutoencoderTiny(latent_channels=4, **blocks), torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        wanted = (theirs.decode(latents[:1]).sample[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0)
    assert torch.allclose(with_decoder(named("taesd"), decoders).of(latents), wanted, atol=1e-6)
    theirs.save_pretrained(decoders / "taesd3")
    assert torch.allclose(with_decoder(named("taesd3"), decoders).of(latents), wanted, atol=1e-6)
    for folder, name in ((decoders, "taef1"), (decoders, ""), (None, "taesd")):
        assert not with_decoder(named(name), folder).decoder


def test_a_decoder_of_other_latents_is_refused(decoders: Path) -> None:
    with refused("wrong-kind-of-file", "preview_decoders", 4):
        with_decoder(named("taesdxl"), decoders)


def test_a_run_shows_what_the_setting_names(decoders: Path, models: Path) -> None:
    engines = [
        Engine(store=None, device="cpu", models=[models], history=False, preview_decoders=one)
        for one in (None, decoders, decoders / "none")
    ]
    pictures = [
        read(shown(engine, graph_of("epsilon", steps=2), per_second=1e9)[-1].preview or b"") for engine in engines
    ]
    assert pictures[0].shape == pictures[2].shape and (pictures[0] == pictures[2]).all()
    assert pictures[1].shape != pictures[0].shape or (pictures[1] != pictures[0]).any()
