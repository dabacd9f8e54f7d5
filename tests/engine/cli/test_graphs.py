"""`weft graphs`: what there is to start from, searched by words."""

from __future__ import annotations

import pytest

from tests.engine.cli.conftest import Weft


def test_graphs_are_listed_with_their_titles(weft: Weft) -> None:
    listed = {line["name"]: line for line in weft("graphs", "--json").lines()}
    assert {"text_to_image", "families/sdxl"} <= {*listed} and "jobs/landscapes" not in listed
    assert listed["text_to_image"]["title"] in weft("graphs").out


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("img2img", "image_to_image"),
        ("txt2img", "text_to_image"),
        ("canny", "control"),
        ("inpainting", "families/inpaint"),
        ("pix2pix", "families/edit"),
        ("cfg", "guidance_sweep"),
        ("KSampler", "text_to_image"),
    ],
)
def test_words_find_graphs(weft: Weft, word: str, name: str) -> None:
    assert name in [line["name"] for line in weft("graphs", word, "--json").lines()]


def test_a_word_that_no_graph_is_about_is_refused(weft: Weft) -> None:
    ended = weft("graphs", "zzz", "--json")
    assert ended.code == 2 and ended.lines()[0]["code"] == "unknown-graph"
