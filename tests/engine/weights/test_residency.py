"""Weights: one module for equal recipes, pinned while in use, the longest unused evicted first."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.refusals import refused
from weft.engine import Context, HashedResource, InputError, Loading, Recipe, Resolved, loader_for, value
from weft.engine.keys import digest
from weft.engine.weights.device_memory import DeviceMemory
from weft.engine.weights.recipes import Sources
from weft.engine.weights.relief import Relief, reliefs_to
from weft.engine.weights.residency import Residency

LAYER = 4 * 100 * 100


@value
@dataclass(frozen=True)
class Layer(Recipe[torch.nn.Module]):
    """A recipe for a layer of 40,000 bytes."""

    source: str

    def load(self, loading: Loading) -> torch.nn.Module:
        """Build it."""
        return torch.nn.Linear(100, 100, bias=False, device=loading.device)


@value
@dataclass(frozen=True)
class Broken(Recipe[torch.nn.Module]):
    """A recipe for what cannot be loaded."""

    def load(self, loading: Loading) -> torch.nn.Module:
        """Look for a file that nobody named."""
        raise AssertionError(loading.locate("ab" * 32))


def held(residency: Residency, name: str) -> torch.nn.Module:
    """The module that a recipe stands for."""
    with residency.hold(Layer(name), "cpu") as module:
        return module


def test_equal_recipes_share_one_module() -> None:
    residency = Residency()
    assert held(residency, "a") is held(residency, "a")
    assert held(residency, "a") is not held(residency, "b") and residency.used == 2 * LAYER


def test_the_longest_unused_goes_first() -> None:
    residency = Residency(budget=2 * LAYER)
    first, second = held(residency, "a"), held(residency, "b")
    assert held(residency, "a") is first
    held(residency, "c")
    assert held(residency, "a") is first and held(residency, "b") is not second
    assert residency.used == 2 * LAYER


@value
@dataclass(frozen=True)
class Sized(Recipe[torch.nn.Module]):
    """A recipe whose size is known before, and which notes what is held while it is loaded."""

    source: str

    def size(self, loading: Loading) -> int:
        """A layer's."""
        return LAYER

    def load(self, loading: Loading) -> torch.nn.Module:
        """Build it, and note what else is there."""
        HELD_WHILE_LOADING.append(RESIDENCIES[-1].used)
        return torch.nn.Linear(100, 100, bias=False, device=loading.device)


HELD_WHILE_LOADING: list[int] = []
RESIDENCIES: list[Residency] = []


def test_room_is_made_before_a_module_is_loaded() -> None:
    RESIDENCIES.append(Residency(budget=2 * LAYER))
    HELD_WHILE_LOADING.clear()
    reliefs: list[Relief] = []
    with reliefs_to(reliefs.append):
        for name in "abcd":
            with RESIDENCIES[-1].hold(Sized(name), "cpu"):
                pass
    assert HELD_WHILE_LOADING == [0, LAYER, LAYER, LAYER]
    assert [(one.action, one.freed) for one in reliefs] == [("evicted", LAYER)] * 2
    assert [(one.size, one.used) for one in RESIDENCIES[-1].holdings("cpu")] == [(LAYER, False)] * 2


def test_without_a_budget_a_device_keeps_its_reserve_free(monkeypatch: pytest.MonkeyPatch) -> None:
    residency = Residency(reserve=LAYER)
    monkeypatch.setattr(
        "weft.engine.weights.residency.memory_of", lambda device: DeviceMemory(4 * LAYER, 4 * LAYER - residency.used)
    )
    for name in "abcdef":
        held(residency, name)
    assert residency.used == 3 * LAYER
    assert DeviceMemory(24 * 10**9, 0).reserve == 34 * 10**8 and DeviceMemory(100, 0).reserve == 20


def test_what_is_in_use_stays() -> None:
    residency = Residency(budget=LAYER)
    with residency.hold(Layer("a"), "cpu") as first, residency.hold(Layer("b"), "cpu"):
        residency.clear()
        assert residency.used == 2 * LAYER
        assert held(residency, "a") is first
    assert residency.used == LAYER


def test_alone_what_is_not_in_use_goes_before_more_is_loaded() -> None:
    residency = Residency(alone=True)
    with residency.hold(Layer("a"), "cpu"):
        for name in "bc":
            held(residency, name)
    assert [one.what for one in residency.holdings("cpu")] == [repr(Layer("a")), repr(Layer("c"))]


def test_clear_evicts() -> None:
    residency = Residency()
    held(residency, "a")
    residency.clear()
    assert residency.used == 0


def test_what_cannot_be_loaded_leaves_nothing_behind() -> None:
    residency = Residency()
    with (
        refused("missing-file", "abababababab"),
        residency.hold(Broken(), "cpu"),
    ):
        pass
    assert residency.used == 0


def test_sources_remember_where_content_lies(tmp_path: Path) -> None:
    sources, resolved = Sources(), Resolved("x", tmp_path, (tmp_path / "x",))
    sources.learn(HashedResource(resolved, digest("content")))
    sources.learn(HashedResource(Resolved("x", tmp_path, ()), digest("content")))
    assert sources.locate(digest("content")) is resolved


@value
@dataclass(frozen=True)
class Named(Recipe[torch.nn.Module]):
    """A recipe that is data alone."""

    width: int


def test_a_registered_function_loads_a_recipe_that_is_data_alone() -> None:
    @loader_for(Named)
    def load_named(recipe: Named, loading: Loading) -> torch.nn.Module:
        return torch.nn.Linear(recipe.width, 1, device=loading.device)

    with Residency().hold(Named(3), "cpu") as module:
        assert isinstance(module, torch.nn.Linear) and module.in_features == 3


@value
@dataclass(frozen=True)
class Unknown(Recipe[torch.nn.Module]):
    """A recipe that nothing loads."""


def test_a_recipe_that_nothing_loads_is_refused() -> None:
    with refused("no-loader", "Unknown"), Residency().hold(Unknown(), "cpu"):
        pass


def test_what_a_recipe_is_loaded_as_is_checked_where_a_node_says_it() -> None:
    context = Context("cpu", "float32", Residency())
    with context.weights(Layer("a"), torch.nn.Linear) as layer:
        assert layer.in_features
    with pytest.raises(InputError), context.weights(Layer("a"), torch.nn.Conv2d):
        pass


class Holder:
    """An object that holds a network and is none."""

    def __init__(self) -> None:
        self.networks = (torch.nn.Linear(8, 8),)


@value
@dataclass(frozen=True)
class Held(Recipe[Holder]):
    """A recipe for such an object."""

    def load(self, loading: Loading) -> Holder:
        """Make it."""
        return Holder()


def test_the_networks_of_an_object_are_counted() -> None:
    residency = Residency()
    with residency.hold(Held(), "cpu"):
        assert residency.used == (8 * 8 + 8) * 4


LOADS: list[str] = []
LOADING: list[int] = [0, 0]
"""How many recipes are loaded now, and how many were at the most."""


@value
@dataclass(frozen=True)
class Slow(Recipe[torch.nn.Module]):
    """A recipe that takes a while to load and notes that it did."""

    source: str

    def load(self, loading: Loading) -> torch.nn.Module:
        """Build it."""
        LOADS.append(self.source)
        LOADING[0] += 1
        LOADING[1] = max(LOADING)
        time.sleep(0.01)
        LOADING[0] -= 1
        return torch.nn.Linear(10, 10)


def test_threads_that_want_one_recipe_load_it_once_and_no_two_loads_overlap() -> None:
    residencies, found = (Residency(), Residency()), list[torch.nn.Module]()
    LOADS.clear()

    def use(residency: Residency, source: str) -> None:
        with residency.hold(Slow(source), "cpu") as module:
            found.append(module)

    threads = [threading.Thread(target=use, args=(one, name)) for one in residencies for name in "aabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(LOADS) == ["a", "a", "b", "b"] and LOADING[1] == 1 and len({*map(id, found)}) == 4


def test_others_use_a_residency_while_something_is_loaded() -> None:
    residency = Residency(budget=LAYER)
    held(residency, "a")
    thread = threading.Thread(target=lambda: residency.hold(Slow("slow"), "cpu").__enter__())
    thread.start()
    assert residency.resident([Layer("a")], "cpu") and not residency.resident([Slow("slow")], "cpu")
    assert thread.is_alive(), "it asked while the other one was loaded"
    thread.join(20)
    assert residency.resident([Slow("slow")], "cpu")
