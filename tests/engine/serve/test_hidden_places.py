"""Texts that leave the server do not say where its folders lie, and are else as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine.serve.hidden_places import without_places

PLACES = (Path("graphs"), "GRAPHS"), (Path("/srv/a"), "DATA")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /api/graphs lists the graphs", "GET /api/graphs lists the graphs"),
        ("`graphs/a.json` is no graph", "`GRAPHS/a.json` is no graph"),
        (f"{Path('graphs').absolute()}/a.json", "GRAPHS/a.json"),
        ("file:///srv/a/b.png, /srv/a, /srv/ab and /srv/a.", "file://DATA/b.png, DATA, /srv/ab and DATA."),
    ],
)
def test_a_folder_is_hidden_where_it_is_named_and_no_word_that_is_spelled_like_it(text: str, shown: str) -> None:
    assert without_places(text, PLACES) == shown
