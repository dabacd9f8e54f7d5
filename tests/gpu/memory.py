"""What fits and how long it takes to load: SDXL and FLUX.1 of full size, on this card and on smaller ones."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from PIL import Image as Pictures
from safetensors.torch import load_file

from tests.gpu.bench import Bench
from tests.gpu.card import Place
from tests.gpu.figures import Figure, Measurement
from tests.gpu.networks import checkpoint, side_of
from weft.engine import Engine, Graph
from weft.engine.events import Event
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

FLOOR_AIM = 1.25
"""Times the floor that a step of FLUX.1 may take, compiled or captured."""

CARDS = {"sdxl": 8.0, "flux": 24.0}
"""GiB of the cards on which these are to run."""

TINY_CARDS = {"sdxl": 0.014, "flux": 0.016}


def measurements(place: Place) -> Iterator[Measurement]:
    """What is measured, the most important first."""
    for name, gib in (TINY_CARDS if place.tiny else CARDS).items():
        yield Measurement(f"{name} is written", partial(_written, place, name))
        yield Measurement(f"{name} is loaded", partial(_loaded, place, name))
        yield Measurement(f"{name} on a card of {gib:g} GiB", partial(_capped, place, name, gib))
    yield from Bench(place, "flux", FLOOR_AIM).measurements()


def _written(place: Place, name: str) -> Iterator[Figure]:
    started = time.perf_counter()
    checkpoint(place, name)
    files = sum(one.stat().st_size for one in (place.folder / name).rglob("*.safetensors"))
    yield Figure("made and written", time.perf_counter() - started, "s")
    yield Figure("files", files / 1e9, "GB")


def graph_of(place: Place, name: str, seed: int, steps: int = 4) -> Graph:
    """A picture."""
    side = side_of(place, name)
    with Graph() as graph:
        loaded = LoadCheckpoint(name)
        prompts = [TextEncode(loaded.text_encoder, text) for text in ("a red fox in fresh snow", "")]
        guide = CFGGuide(loaded.model, *prompts[: 1 if name == "flux" else 2], scale=3.5)
        latent = KSampler(guide, EmptyLatent(side, side), seed=seed, steps=steps, sampler="euler")
        SaveImage(VAEDecode(loaded.vae, latent))
    return graph


def _engine(place: Place, **settings: Any) -> Engine:
    output = tempfile.mkdtemp()
    return Engine(store=None, device=place.card.device, models=[place.folder], output=output, **settings)


def _loaded(place: Place, name: str) -> Iterator[Figure]:
    card = place.card
    checkpoint(place, name)
    files = sorted((place.folder / name).glob("*/*.safetensors"), key=lambda one: one.stat().st_size)
    card.reset()
    yield Figure("largest file read by safetensors", card.seconds(lambda: load_file(files[-1]) and None), "s")
    size = files[-1].stat().st_size / 1e9
    yield Figure("its size", size, "GB")
    if card.is_gpu:
        took = card.seconds(lambda: load_file(files[-1], device=card.device) and None)
        yield Figure("the same, straight to the device", took, "s")
    card.reset()
    with _engine(place) as engine:
        for number, which in enumerate(("first picture, 4 steps", "second", "third")):
            yield Figure(which, card.seconds(partial(engine.run, graph_of(place, name, number))), "s")
        yield Figure("device at most", card.peak, "GiB")
        yield Figure("weights held", card.held, "GiB")
    yield Figure("host at most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB")
    card.reset()
    yield Figure("held after close", card.held * 1024, "MiB")


def _capped(place: Place, name: str, gib: float) -> Iterator[Figure]:
    checkpoint(place, name)
    graph, pictures = graph_of(place, name, 5), []
    place.card.reset()
    with _engine(place) as engine:
        pictures.append(_levels(engine.run(graph).paths))
    for turn in ("first", "second"):
        place.card.reset()
        heard: list[Event] = []
        with place.card.capped(gib), _engine(place) as engine:
            started = time.perf_counter()
            result = engine.execute(engine.plan(graph), listener=heard.append)
            yield Figure(f"{turn} picture", result.status)
            yield Figure("in", time.perf_counter() - started, "s")
            yield Figure("device at most", place.card.peak, "GiB", gib)
            if result.failures:
                raise RuntimeError("; ".join(map(str, result.failures)))
            pictures.append(_levels(result.paths))
        reliefs = [one for one in heard if type(one).__name__ == "MemoryRelieved"]
        yield Figure("done for memory", ", ".join(sorted({f"{one}" for one in reliefs}))[:300] or "nothing")
    apart = max(float(abs(one - pictures[0]).max()) for one in pictures[1:])
    yield Figure("off the picture of the whole card", apart, "levels")


def _levels(paths: Any) -> Any:
    opened = [Pictures.open(Path(path)).convert("RGB") for path in paths]
    return numpy.stack([numpy.asarray(one, float) for one in opened])
