"""A library counts as loaded when all of it is, and not while another thread imports it."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path

import pytest

from weft.engine.loaded_modules import loaded_module

ROOT = Path(__file__).parents[2]

BEGUN, GO_ON = threading.Event(), threading.Event()


def test_a_module_is_loaded_when_its_import_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = f"from {__name__} import BEGUN, GO_ON\nBEGUN.set()\nassert GO_ON.wait(30)\nwhole = True\n"
    (tmp_path / "imported_slowly.py").write_text(waits)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert loaded_module("imported_slowly") is None
    importing = threading.Thread(target=importlib.import_module, args=("imported_slowly",))
    importing.start()
    try:
        assert BEGUN.wait(30)
        assert loaded_module("imported_slowly") is None
    finally:
        GO_ON.set()
        importing.join()
    assert loaded_module("imported_slowly").whole


def test_nothing_takes_torch_while_another_thread_imports_it() -> None:
    sources = [path for room in ("engine", "nodes") for path in (ROOT / room).rglob("*.py")]
    assert not [path for path in sources if 'sys.modules.get("torch' in path.read_text()]
