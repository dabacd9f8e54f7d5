"""Weights: one module for equal recipes, pinned while in use, the longest unused evicted first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from weft.engine import HashedResource, InputError, Loading, Recipe, Resolved, value
from weft.engine.keys import digest
from weft.engine.weights.residency import Residency, Sources

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


def test_what_is_in_use_stays() -> None:
    residency = Residency(budget=LAYER)
    with residency.hold(Layer("a"), "cpu") as first, residency.hold(Layer("b"), "cpu"):
        residency.clear()
        assert residency.used == 2 * LAYER
        assert held(residency, "a") is first
    assert residency.used == LAYER


def test_clear_lets_go() -> None:
    residency = Residency()
    held(residency, "a")
    residency.clear()
    assert residency.used == 0


def test_what_cannot_be_loaded_leaves_nothing_behind() -> None:
    residency = Residency()
    with (
        pytest.raises(InputError, match="no file with content abababababab is known here"),
        residency.hold(Broken(), "cpu"),
    ):
        pass
    assert residency.used == 0


def test_sources_remember_where_content_lies(tmp_path: Path) -> None:
    sources, resolved = Sources(), Resolved("x", tmp_path, (tmp_path / "x",))
    sources.learn(HashedResource(resolved, digest("content")))
    sources.learn(HashedResource(Resolved("x", tmp_path, ()), digest("content")))
    assert sources.locate(digest("content")) is resolved
