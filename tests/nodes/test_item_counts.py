"""How many pictures and masks go with a batch is checked before anything runs, as far as files and links tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from weft.engine import Engine, Graph, Problem, Upstream
from weft.nodes import (
    ApplyControlNet,
    BatchImages,
    CFGGuide,
    CombineMasks,
    CombinePrompts,
    CompositeImages,
    CropToMask,
    EmptyLatent,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    PickFromBatch,
    PromptMask,
    RepeatLatent,
    SaveImage,
    SetAlpha,
    SetNoiseMask,
    SplitBatch,
    StitchImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.sizes import batch_above

SIDE = 64

Given = Callable[[int], Any]
"""A batch of so many pictures."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("pictures")
    Pictures.new("RGB", (SIDE, SIDE), "teal").save(folder / "small.png")
    Pictures.new("RGB", (2 * SIDE, SIDE), "teal").save(folder / "wide.png")
    return Engine(store=None, device="cpu", inputs=[Path(folder)])


def pictures(count: int) -> Any:
    return BatchImages([LoadImage("small.png") for _ in range(count)])


def masks(count: int) -> Any:
    return ImageToMask(pictures(count))


def controlled(model: Any, prompt: Any, count: int) -> tuple[Any, Any]:
    net = LoadControlNet("builtin:landscapes-edges")
    return CFGGuide(model.model, ApplyControlNet(prompt, None, net, pictures(count)).positive), None


def masked(model: Any, prompt: Any, count: int) -> tuple[Any, Any]:
    return CFGGuide(model.model, CombinePrompts([prompt, PromptMask(prompt, masks(count))])), None


def inpainted(model: Any, prompt: Any, count: int) -> tuple[Any, Any]:
    return InpaintGuide(CFGGuide(model.model, prompt), model.vae, pictures(count), masks(1)), None


def kept(model: Any, prompt: Any, count: int) -> tuple[Any, Any]:
    return CFGGuide(model.model, prompt), SetNoiseMask(VAEEncode(model.vae, pictures(3)), masks(count))


def found(engine: Engine, way: Any, count: int, batch: int) -> list[Problem]:
    with Graph() as graph:
        model = LoadCheckpoint("builtin:landscapes")
        guide, latent = way(model, TextEncode(model.text_encoder, "a lake"), count)
        empty = RepeatLatent(EmptyLatent(SIDE, SIDE), times=batch)
        SaveImage(VAEDecode(model.vae, KSampler(guide, latent or empty)))
    return [one for one in engine.check(graph).problems if one.code != "wrong-guide"]


@pytest.mark.parametrize("way", [controlled, masked, inpainted, kept])
def test_one_for_all_or_one_for_each(engine: Engine, way: Any) -> None:
    assert [one.code for count in (1, 3) for one in found(engine, way, count, 3)] == []
    assert [one.code for one in found(engine, way, 2, 3)] == ["batch-mismatch"]


def joined(first: int, second: int) -> Iterator[Any]:
    yield lambda: CombineMasks(masks(first), masks(second))
    yield lambda: SetAlpha(pictures(first), masks(second))
    yield lambda: CompositeImages(pictures(first), pictures(second))
    yield lambda: CompositeImages(pictures(first), pictures(1), masks(second))
    yield lambda: StitchImage(pictures(first), pictures(second), masks(1))


@pytest.mark.parametrize("number", range(5))
def test_batches_that_go_together(engine: Engine, number: int) -> None:
    codes = []
    for first, second in ((3, 3), (3, 1), (3, 2)):
        with Graph() as graph:
            graph.output("made", [*joined(first, second)][number]())
        codes.append([one.code for one in engine.check(graph).problems])
    assert codes == [[], [], ["batch-mismatch"]]


WAYS: dict[str, tuple[Callable[[], Any], int | None]] = {
    "lists are added": (lambda: BatchImages([pictures(2), LoadImage("small.png")]), 3),
    "some are picked": (lambda: PickFromBatch(pictures(5), 1, count=3), 3),
    "the last are picked": (lambda: PickFromBatch(pictures(5), -2, count=3), 2),
    "a crop has all": (lambda: CropToMask(pictures(4), masks(1)).image, 4),
    "the most count": (lambda: CompositeImages(pictures(1), pictures(4)), 4),
    "what a node makes is not known": (lambda: BatchImages(SplitBatch(pictures(2))), None),
}


@pytest.mark.parametrize("way", WAYS)
def test_counts_are_followed_through_nodes(engine: Engine, way: str) -> None:
    make, count = WAYS[way]
    with Graph() as graph:
        SaveImage(make())
    calls = engine.check(graph).calls
    assert batch_above(Upstream(calls["save_image"], calls), "image") == count


def test_sizes_and_places_in_batches_are_checked(engine: Engine) -> None:
    with Graph() as graph:
        SaveImage(PickFromBatch(pictures(2), 2))
        SaveImage(BatchImages([LoadImage("small.png"), LoadImage("wide.png")]))
    assert [one.code for one in engine.check(graph).problems] == ["out-of-range", "size-mismatch"]


def test_a_graph_that_doubles_at_each_node_is_counted_in_bounded_time(engine: Engine) -> None:
    with Graph() as graph:
        image: Any = LoadImage("small.png")
        for _ in range(80):
            image = CompositeImages(image, image)
        SaveImage(image)
    assert not engine.check(graph).problems
