"""`weft models`: what graphs can name."""

from __future__ import annotations

from tests.engine.cli.conftest import Weft


def test_models_are_listed(weft: Weft) -> None:
    ended = weft("models", "list", "--json")
    keys = {"source", "kind", "family", "about", "bytes"}
    assert ended.code == 0 and all(line.keys() >= keys for line in ended.lines())


def test_an_id_that_is_none_is_refused(weft: Weft) -> None:
    ended = weft("models", "pull", "no id at all")
    assert ended.code == 2 and "no id at all" in ended.err and "Traceback" not in ended.err
