"""`weft nodes`: the catalogue, and one type whole."""

from __future__ import annotations

from tests.engine.cli.conftest import Weft


def test_types_stand_under_their_categories(weft: Weft) -> None:
    lines = weft("nodes").out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == sorted(heads) and {"numbers", "picture", "other"} <= set(heads)
    assert lines[lines.index("numbers") + 1].split(maxsplit=1) == ["Add", "Add two numbers."]


def test_a_type_is_described(weft: Weft) -> None:
    assert weft("nodes", "Add").out == (
        "Add  (numbers, lane cpu, version 2)\n"
        "  Add two numbers.\n"
        "\ninputs\n"
        "  a  int, required\n"
        "  b  int, 0 to 100, default 1\n"
        "     the second.\n"
        "\noutputs\n"
        "  int  int\n"
    )


def test_types_as_json_lines(weft: Weft) -> None:
    every = {line["name"]: line for line in weft("nodes", "--json").lines()}
    assert weft("nodes", "Dot", "--json").lines() == [every["Dot"]]
    assert every["Dot"]["sink"] and every["Add"]["inputs"]["b"]["default"] == 1


def test_an_unknown_type_is_refused(weft: Weft) -> None:
    ended = weft("nodes", "Devide")
    assert ended.code == 2 and "`Divide`" in ended.err and ended.out == ""


def test_words_find_types_in_names_and_help(weft: Weft) -> None:
    assert [line["name"] for line in weft("nodes", "louder", "--json").lines()] == ["Shout"]
    names = [line["name"] for line in weft("nodes", "control", "net", "--json").lines()]
    assert {"LoadControlNet", "ApplyControlNet"} <= {*names} and "Shout" not in names
    assert weft("nodes", "add").out == weft("nodes", "Add").out


def test_a_word_that_only_graphs_are_about_names_one(weft: Weft) -> None:
    ended = weft("nodes", "txt2img", "--json")
    assert ended.code == 2 and "text_to_image" in ended.lines()[0]["hint"]


def test_a_name_that_shares_a_verb_alone_is_not_suggested(weft: Weft) -> None:
    assert "LoadVAE" not in weft("nodes", "LoadHat").err


def test_graphs_that_have_nodes_of_a_type_are_named_with_it(weft: Weft) -> None:
    described = weft("nodes", "ApplyControlNet").out.split("\ngraphs\n")
    assert len(described) == 2 and "control" in described[1] and "batch" not in described[1]
