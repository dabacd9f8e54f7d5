"""Runs at once on one model give bit for bit what they give alone, whatever they patch in it meanwhile.

Where they are sampled together, they give that but for rounding.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.families import lora_files
from tests.nodes.families.image_adapters import add_image_adapters
from tests.nodes.oracle import diffusers
from weft.engine import Engine, Graph, Submission, events
from weft.engine.store.codec import content_digest
from weft.engine.weights.device_lane import lane_of
from weft.nodes import (
    AddModels,
    ApplyControlNet,
    ApplyIPAdapter,
    ApplyLoRA,
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    FindEdges,
    ImageGrid,
    ImageToMask,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadEmbedding,
    LoadImage,
    LoadImageEncoder,
    LoadIPAdapter,
    LoadLoRA,
    PerturbedAttention,
    TextEncode,
    VAEDecode,
)

SIDE, STEPS = 64, 2

PATCHED = ("perturbed attention", "tiled decode", "embedding", "control net", "picture", "merged", "LoRA", "timed LoRA")

KINDS = ("plain", *PATCHED)

MANY = {2: KINDS[:2], 4: (*KINDS[2:5], KINDS[6]), 8: PATCHED}
"""The kinds of so many runs at once; each has a seed of its own."""

FOR_AN_ENGINE: Any = {"device": "cpu", "precision": "float32", "history": False, "batch": 1}

Pictures = Sequence[torch.Tensor]


def painting(kind: str, seed: int) -> Graph:
    """One picture of the tiny model, as the output `image`."""
    side = 2 * SIDE if kind == "tiled decode" else SIDE
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        encoder: Any = checkpoint.text_encoder
        model: Any = checkpoint.model
        if kind == "merged":
            model = AddModels(model, LoadCheckpoint("clip").model, strength=0.1)
        if kind == "LoRA":
            model, encoder = ApplyLoRA(LoadLoRA("changes.safetensors"), model, encoder, strength=0.8)
        if kind == "timed LoRA":
            model = ApplyLoRAToModel(LoadLoRA("changes.safetensors"), model, start=0.5)
        if kind == "embedding":
            encoder = LoadEmbedding(encoder, "learned.safetensors", token="cat")
        positive, negative = TextEncode(encoder, "a cat by a lake"), TextEncode(encoder, "night")
        if kind == "control net":
            control: Any = ApplyControlNet(positive, negative, LoadControlNet("edges"), LoadImage("stripes.png"))
            positive, negative = control
        if kind == "picture":
            embedding = EncodeImage(LoadImageEncoder("vision"), LoadImage("ramp.png"))
            pictured: Any = ApplyIPAdapter(positive, negative, LoadIPAdapter("sd1-plus.safetensors"), embedding)
            positive, negative = pictured
        guide = CFGGuide(model, positive, negative, scale=5.0)
        if kind == "perturbed attention":
            guide = PerturbedAttention(guide, scale=3.0)
        latent = KSampler(guide, EmptyLatent(side, side), seed=seed, steps=STEPS)
        graph.output("image", VAEDecode(checkpoint.vae, latent, tile=SIDE if kind == "tiled decode" else 0))
    return graph


@pytest.fixture(scope="module")
def folders(models: Path, pictures: Path) -> dict[str, Any]:
    """Where an engine finds the tiny models, an embedding and the pictures."""
    add_image_adapters(models, {"sd1": "epsilon"})
    vectors = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    save_file({"<cat>": vectors}, models / "learned.safetensors")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(models / "epsilon")
    changes = lora_files.kohya(lora_files.low_rank(pipeline.unet, 0), "lora_unet_")
    changes |= lora_files.kohya(lora_files.low_rank(pipeline.text_encoder, 1), "lora_te_text_model_")
    lora_files.save(changes, models / "changes.safetensors")
    return {"models": [models], "inputs": [pictures]}


@pytest.fixture(scope="module")
def alone(folders: dict[str, Any]) -> Callable[[int], Pictures]:
    """The pictures of so many runs, one after another on an engine that does nothing else."""
    engine = Engine(store=None, **folders, **FOR_AN_ENGINE)
    made: dict[tuple[str, int], torch.Tensor] = {}

    def paint(count: int) -> Pictures:
        for seed, kind in enumerate(MANY[count]):
            if (kind, seed) not in made:
                made[kind, seed] = image(engine.run(painting(kind, seed)))
        return [made[kind, seed] for seed, kind in enumerate(MANY[count])]

    return paint


def image(result: Any) -> torch.Tensor:
    """The pixels of a result."""
    return result.outputs["image"].pixels  # type: ignore[no-any-return]


def equal(found: Pictures, wanted: Pictures) -> list[bool]:
    """Which pictures are bit for bit what they should be."""
    return [torch.equal(one, other) for one, other in zip(found, wanted, strict=True)]


@pytest.mark.wide
@pytest.mark.parametrize("stored", [False, True], ids=["no store", "store"])
@pytest.mark.parametrize("count", MANY)
def test_submissions_at_once_give_what_they_give_alone(
    count: int, stored: bool, folders: dict[str, Any], alone: Callable[[int], Pictures], tmp_path: Path
) -> None:
    engine = Engine(store=tmp_path if stored else None, **folders, **FOR_AN_ENGINE)
    runs = [engine.submit(painting(kind, seed)) for seed, kind in enumerate(MANY[count])]
    assert all(equal([image(run.result(60)) for run in runs], alone(count)))
    again = [engine.run(painting(kind, seed)) for seed, kind in enumerate(MANY[count])]
    assert all(equal([image(result) for result in again], alone(count)))
    assert [bool(result.ran) for result in again] == [not stored] * count


def test_runs_in_threads_and_in_an_event_loop_give_what_they_give_alone(
    folders: dict[str, Any], alone: Callable[[int], Pictures]
) -> None:
    engine = Engine(store=None, **folders, **FOR_AN_ENGINE)
    graphs = [painting(kind, seed) for seed, kind in enumerate(MANY[4])]
    found: dict[int, torch.Tensor] = {}

    def paint(number: int) -> None:
        found[number] = image(engine.run(graphs[number]))

    threads = [threading.Thread(target=paint, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    awaited = asyncio.run(_listened([engine.submit(graph) for graph in graphs]))
    for thread in threads:
        thread.join(60)
    assert all(equal([found[number] for number in range(4)], alone(4))) and all(equal(awaited, alone(4)))


async def _listened(runs: Sequence[Submission]) -> Pictures:
    """The pictures of runs, whose events are heard and whose results are awaited at once."""

    async def paint(run: Submission) -> torch.Tensor:
        assert [event async for event in run]
        return image(await run)

    return await asyncio.gather(*map(paint, runs))


def test_two_engines_on_one_store_give_what_they_give_alone(
    folders: dict[str, Any], alone: Callable[[int], Pictures], tmp_path: Path
) -> None:
    engines = [Engine(store=tmp_path, **folders, **FOR_AN_ENGINE) for _ in range(2)]
    runs = [engine.submit(painting(kind, seed)) for seed, kind in enumerate(MANY[4]) for engine in engines]
    found = [image(run.result(60)) for run in runs]
    assert all(equal(found[::2], alone(4))) and all(equal(found[1::2], alone(4)))


@pytest.mark.parametrize("kind", ["plain", "picture", "LoRA"])
def test_submissions_that_are_sampled_together_give_what_they_give_alone(
    kind: str, folders: dict[str, Any], tmp_path: Path
) -> None:
    usual = {**folders, **FOR_AN_ENGINE}
    alone, joint = Engine(store=None, **usual), Engine(store=tmp_path, **{**usual, "batch": 8})
    joint.run(painting(kind, 99))  # what is above the sampler is in the store
    graphs = [painting(kind, seed) for seed in range(3)]
    with device_held():
        runs = [joint.submit(graph) for graph in graphs]
        for run in runs:
            next(one for one in run.listen() if isinstance(one, events.NodeStarted) and one.type == "KSampler")
        time.sleep(0.05)  # from the event to the wait
    found = [image(run.result(60)) for run in runs]
    wanted = [image(alone.run(graph)) for graph in graphs]
    assert max(float((one - other).abs().max()) for one, other in zip(found, wanted, strict=True)) <= 1 / 255
    assert [joint.run(graph).ran for graph in graphs] == [()] * 3
    assert sum(b'"together":3' in path.read_bytes() for path in tmp_path.glob("v1/traces/*/*.json")) == 3


@contextmanager
def device_held() -> Iterator[None]:
    """The CPU is in use while the block runs."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lane_of("cpu").turn():
            begun.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(60)
    try:
        yield
    finally:
        over.set()
        holder.join(60)


def test_nodes_give_the_same_while_another_thread_loads_in_half_precision(folders: dict[str, Any]) -> None:
    """Libraries switch the default dtype of the process while they load; nodes that may run meanwhile name theirs."""
    engine = Engine(store=None, **folders, **FOR_AN_ENGINE)
    with Graph() as graph:
        picture = LoadImage("ramp.png")
        graph.output("mask", ImageToMask(picture, channel="brightness"))
        graph.output("latent", EmptyLatent(SIDE, SIDE))
        graph.output("grid", ImageGrid([picture, FindEdges(picture)], ["one", "two"]))

    def digests() -> dict[str, str]:
        return {name: content_digest(item) for name, item in engine.run(graph).outputs.items()}

    usual = digests()
    torch.set_default_dtype(torch.float16)
    try:
        assert digests() == usual
    finally:
        torch.set_default_dtype(torch.float32)
