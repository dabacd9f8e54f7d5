"""`weft models`: what graphs can name."""

from __future__ import annotations

from tests.engine.cli.conftest import Weft


def test_models_are_listed(weft: Weft) -> None:
    said = weft("models", "list", "--json")
    assert said.code == 0 and all(line.keys() == {"source", "kind", "family"} for line in said.lines())


def test_an_id_that_is_none_is_refused(weft: Weft) -> None:
    said = weft("models", "pull", "no id at all")
    assert said.code == 2 and "no id at all" in said.err and "Traceback" not in said.err
