"""Modules of version 0.1 are importable under their old names and are the same modules."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.imports import modules
from weft.engine.moved_modules import ENGINE_MODULES
from weft.nodes.moved_node_modules import NODE_MODULES

MOVED = {**ENGINE_MODULES, **NODE_MODULES}


def test_every_module_that_the_change_log_names_has_its_new_name() -> None:
    log = (Path(__file__).parents[2] / ".github" / "CHANGELOG.md").read_text()
    rows = re.findall(r"^\| `(weft\.[a-z_.0-9]+)` \| `(weft\.[a-z_.0-9]+)` \|$", log, re.MULTILINE)
    named = {old: new for old, new in rows if old != "weft.engine.graph"}
    assert {old: new for old, new in MOVED.items() if old in named} == named


def test_no_module_has_an_old_name_and_every_new_name_is_a_module() -> None:
    present = {f"weft.{name}" for name in modules()}
    assert not present & MOVED.keys() and set(MOVED.values()) <= present


@pytest.mark.parametrize("old", ["weft.engine.document", "weft.engine.draw.layers", "weft.engine.store.layout"])
def test_an_old_name_gives_the_new_module(old: str) -> None:
    with pytest.warns(DeprecationWarning):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__ is not None and module.__spec__.name == MOVED[old]
