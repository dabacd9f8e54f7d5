"""`weft new`: a copy of a graph that ships, and graphs that run by their name."""

from __future__ import annotations

from pathlib import Path

from tests.engine.cli.conftest import Weft
from weft.engine import Graph
from weft.engine.shipped_graphs import shipped_graph


def test_a_copy_is_written_with_its_pictures_and_runs(weft: Weft, folder: Path) -> None:
    ended = weft("new", "image_to_image")
    assert (ended.code, ended.out) == (0, "image_to_image.json\npictures/lake.png\n")
    assert Graph.load("image_to_image.json") == shipped_graph("image_to_image").graph()
    assert weft("check", "image_to_image.json").code == 0


def test_the_pictures_of_a_folder_are_copied_too(weft: Weft, folder: Path) -> None:
    assert (
        weft("new", "folder_of_photographs").out
        == "folder_of_photographs.json\npictures/lake.png\npictures/lake_mask.png\n"
    )
    assert weft("check", "folder_of_photographs.json").code == 0


def test_the_file_may_be_named_and_is_not_written_over(weft: Weft, folder: Path) -> None:
    assert weft("new", "text_to_image", "mine.json", "--json").lines()[0]["paths"] == ["mine.json"]
    assert weft("new", "text_to_image", "work").out == "work/text_to_image.json\n"
    again = weft("new", "text_to_image", "mine.json", "--json")
    assert again.code == 2 and again.lines()[0]["code"] == "file-exists"


def test_a_model_that_is_missing_is_named(weft: Weft) -> None:
    ended = weft("new", "sdxl")
    assert ended.code == 0 and "weft models pull" in ended.err


def test_a_name_is_checked_where_no_file_has_it(weft: Weft, folder: Path) -> None:
    assert weft("check", "text_to_image").code == 0
    (folder / "text_to_image").write_text("{}")
    assert weft("check", "text_to_image").code == 2


def test_a_file_that_is_not_there_is_named_with_what_writes_it(weft: Weft) -> None:
    ended = weft("check", "graphs/text_to_image.json", "--json")
    assert ended.lines()[0]["code"] == "unreadable-file" and "`weft new text_to_image`" in ended.lines()[0]["hint"]
