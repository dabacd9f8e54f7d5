"""Is it right: pictures against those of the CPU, waits a step, memory that is given back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy
import torch
from PIL import Image as Pictures
from torch import Tensor

from tests.device.device_pictures import CONTROLS, EMBEDDED, PICTURES, graph_of, painted, write_lora
from tests.device.test_clips import MODELS as CLIP_MODELS
from tests.device.test_clips import clip_graph, source_of
from tests.device.test_families import WAYS
from tests.gpu.card import Place
from tests.gpu.figures import Figure, Measurement
from tests.nodes.families.tiny import PIPELINES
from weft.engine import Engine, Graph, NodeType
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, MakeSigmas, TextEncode
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

GRAPHS = Path(__file__).parents[2] / "graphs"

EXAMPLES = ("text_to_image", "image_to_image", "control", "regions", "weights", "lora", "inpaint")

APART = {"float32": ("most", 1.0), "float16": ("mean", 0.5), "bfloat16": ("mean", 2.0)}
"""How far pictures of the embedded model may be from those of the CPU in float32, in levels of 255."""

APART_OF_FEW_STEPS = {"float32": ("mean", 0.1), "float16": ("mean", 1.0), "bfloat16": ("mean", 8.0)}
"""The same in three steps at a large scale, and for tiny models of random weights: rounding leads these further."""

SOLVED_ON_THE_DEVICE = {"unipc": 7}
"""Waits of samplers whose class in diffusers waits."""


def measurements(place: Place) -> Iterator[Measurement]:
    """What is measured, the most important first."""
    yield Measurement("the device", partial(_device, place))
    for name in EXAMPLES[: 1 if place.tiny else None]:
        yield Measurement(f"graph {name}", partial(_example, place, name))
    yield Measurement("the same twice, alone and in a batch", partial(_repeated, place))
    yield Measurement("memory that is given back", partial(_memory, place))
    samplers = [(name, False) for name in SAMPLERS] + [(name, True) for name in SIGMA_SAMPLERS]
    for sampler, sigmas in samplers[:: 8 if place.tiny else 1]:
        yield Measurement(
            f"sampler {sampler}{' over sigmas' if sigmas else ''}", partial(_sampler, place, sampler, sigmas)
        )
    texts, others = ([one for one in WAYS if (one[1] == "text") is text] for text in (True, False))
    for model, way in texts[:: 12 if place.tiny else 1]:
        yield Measurement(f"{model} {way}", partial(_family, place, model, way))
    for model in CLIP_MODELS[:: 8 if place.tiny else 1]:
        yield Measurement(f"{model} clip", partial(_clip, place, model))
    for model, way in others[:: 12 if place.tiny else 1]:
        yield Measurement(f"{model} {way}", partial(_family, place, model, way))


def _device(place: Place) -> Iterator[Figure]:
    import diffusers
    import transformers

    for name, one in (("torch", torch), ("diffusers", diffusers), ("transformers", transformers)):
        yield Figure(name, str(one.__version__))
    yield Figure("name", place.card.name)
    if place.card.is_gpu:
        free, whole = torch.cuda.mem_get_info(place.card.device)
        yield Figure("memory", whole / 2**30, "GiB")
        yield Figure("taken before anything is loaded", (whole - free) / 2**20, "MiB")
        yield Figure("TF32 in convolutions", str(torch.backends.cudnn.allow_tf32))
    sizes = 8192 if place.card.is_gpu else 256
    matrix = torch.randn(sizes, sizes).to(place.card.device, torch.bfloat16)
    took = place.card.milliseconds(lambda: matrix @ matrix, 20, 3)
    yield Figure("product of bfloat16 matrices", 2 * sizes**3 / took / 1e9, "TFLOP/s")


def _levels(place: Place, graph: Graph, device: str, precision: str) -> Any:
    """The pictures of a graph, in levels of 255."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(store=None, device=device, precision=precision, output=Path(folder), inputs=[PICTURES]) as engine,
    ):
        opened = [Pictures.open(path).convert("RGB") for path in engine.run(graph).paths]
        return numpy.stack([numpy.asarray(one, float) for one in opened])


def _example_graph(place: Place, name: str) -> Graph:
    graph = Graph.load(GRAPHS / f"{name}.json")
    return graph.set("sampler.steps", 2) if place.tiny else graph


def _example(place: Place, name: str) -> Iterator[Figure]:
    graph = _example_graph(place, name)
    want = _levels(place, graph, "cpu", "float32")
    for precision, (kind, most) in APART.items():
        apart = abs(_levels(place, graph, place.card.device, precision) - want)
        for name, value in (("most", apart.max()), ("mean", apart.mean())):
            yield Figure(f"{precision} {name}", float(value), "levels", most if name == kind else None)
    if place.card.is_gpu:
        torch.backends.cudnn.allow_tf32 = False
        apart = abs(_levels(place, graph, place.card.device, "float32") - want)
        torch.backends.cudnn.allow_tf32 = True
        yield Figure("float32 without TF32, most", float(apart.max()), "levels", 1.0)


def _repeated(place: Place) -> Iterator[Figure]:
    device = place.card.device
    for precision in ("float32",) if place.tiny else ("float32", "float16"):
        graph = _example_graph(place, "text_to_image")
        one, two = (_levels(place, graph, device, precision) for _ in range(2))
        yield Figure(f"{precision}, the same twice", float(abs(one - two).max()), "levels", 0.0)
        many = _example_graph(place, "batch")
        batch = _levels(place, many, device, precision)
        alone = [
            _levels(place, many.set("count", 1).set("seed", 100 + item), device, precision)[0]
            for item in range(min(2, len(batch)))
        ]
        apart = max(float(abs(one - other).max()) for one, other in zip(batch, alone, strict=False))
        yield Figure(f"{precision}, alone and in a batch", apart, "levels", 1.0 if precision == "float32" else None)


def _memory(place: Place) -> Iterator[Figure]:
    card = place.card
    small, large = (graph_of(EMBEDDED, side=side) for side in (32, 256 if place.tiny else 2048))
    card.reset()
    before = card.held
    with Engine(store=None, device=card.device, precision="float32", output=place.folder) as engine:
        engine.run(small)
        held = card.held
        yield Figure("weights of the embedded model", (held - before) * 1024, "MiB")
        if card.device.startswith("cuda"):
            with card.capped(held + (0.0005 if place.tiny else 0.8)):
                result = engine.execute(engine.plan(large))
                yield Figure("a picture too large", result.status)
                del result
                yield Figure("held after it", (card.held - held) * 1024, "MiB", 0.0)
                yield Figure("a small picture after it", engine.execute(engine.plan(small)).status)
    yield Figure("held after close", (card.held - before) * 1024, "MiB", 0.0)


def _sampler(place: Place, sampler: SamplerName, sigmas: bool) -> Iterator[Figure]:
    few, many = (4, 6) if place.tiny else (8, 24)
    settings, side = {"sampler": sampler, "seed": 3}, 32 if place.tiny else 128

    def calls(engine: Engine, steps: int) -> Callable[[], Any]:
        return partial(engine.run_now, cast(NodeType, KSampler), {**_given(engine, steps, sigmas, side), **settings})

    with Engine(store=None, device="cpu", precision="float32", output=place.folder) as engine:
        want: Tensor = calls(engine, few)().samples
    with Engine(store=None, device=place.card.device, precision="float32", output=place.folder) as engine:
        short, long = (calls(engine, steps) for steps in (few, many))
        apart = (short().samples - want).abs().max() / want.abs().max()
        waits = place.card.waits(long) - place.card.waits(short)
        tries = 1 if place.tiny else 3
        slow, fast = (min(place.card.seconds(call) for _ in range(tries)) for call in (long, short))
    yield Figure("waits a step", waits / (many - few), "", SOLVED_ON_THE_DEVICE.get(sampler, 0))
    yield Figure("a step", (slow - fast) / (many - few) * 1e3, "ms")
    yield Figure("latents off those of the CPU, of their largest", float(apart), "", 0.02)


def _given(engine: Engine, steps: int, sigmas: bool, side: int) -> dict[str, Any]:
    """What KSampler is given on the embedded model."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(EMBEDDED)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a red house, a lake"), scale=4.0)
        latent = EmptyLatent(side, side)
        graph.output("guide", guide)
        graph.output("latent", latent)
        if sigmas:
            graph.output("sigmas", MakeSigmas(checkpoint.model, latent, steps=steps))
    found = dict(engine.run(graph).outputs)
    return found if sigmas else {**found, "steps": steps}


def _family(place: Place, model: str, way: str) -> Iterator[Figure]:
    zoo = place.folder / "zoo"
    _make(zoo, *([model, CONTROLS[model]] if way == "control" else [model]))
    lora = "builtin:landscapes-autumn" if model == EMBEDDED else f"{model}-lora.safetensors"
    if way == "LoRA" and model != EMBEDDED:
        write_lora(zoo, model, zoo / lora)
    yield from _off_the_cpu(place, graph_of(model, way, lora), zoo)


def _clip(place: Place, model: str) -> Iterator[Figure]:
    zoo = place.folder / "zoo"
    _make(zoo, source_of(model))
    yield from _off_the_cpu(place, clip_graph(model), zoo)


def _make(zoo: Path, *names: str) -> None:
    """Make tiny checkpoints that are not there yet."""
    for name in names:
        if not name.startswith("builtin:") and not (zoo / name).exists():
            torch.manual_seed(0)
            PIPELINES[name]().to(torch.float16).save_pretrained(zoo / name)


def _off_the_cpu(place: Place, graph: Graph, zoo: Path) -> Iterator[Figure]:
    """How far pictures of a graph are from those of the CPU in float32."""
    folders: dict[str, Any] = {"models": [zoo], "output": place.folder}
    want = painted(graph, "cpu", "float32", **folders)
    for precision, (kind, most) in APART_OF_FEW_STEPS.items():
        apart = 255 * (painted(graph, place.card.device, precision, **folders) - want).abs()
        value = apart.max() if kind == "most" else apart.mean()
        yield Figure(f"{precision} {kind}", float(value), "levels", most)
