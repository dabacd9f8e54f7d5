"""Names of items: letters of all scripts, cut in whole characters, short enough for files, none reserved by Windows."""

from __future__ import annotations

import pytest

from tests.refusals import refused
from weft.engine.artifact import MAX_PART_BYTES, name_fault
from weft.engine.farm.sweep.naming import named, template_fault

DECOMPOSED = "e\u0301te\u0301"
HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940"
HANGUL = "\u1112\u1161\u11ab\u1100\u1173\u11af"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    "text", [DECOMPOSED, HINDI, HANGUL, "\u00e9t\u00e9", "\u96ea\u5c71", "\u05e9\u05c1\u05dc\u05d5\u05dd"]
)
def test_letters_and_marks_of_all_scripts_stay(text: str) -> None:
    assert named("{prompt}", {"prompt": text}) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{FAMILY}, a  lake!", f"{FAMILY}_a_lake"),
        (
            "a \u2764\ufe0f \U0001f44d\U0001f3fd \U0001f1eb\U0001f1f7 \u2211\ufe0f b",
            "a_\u2764\ufe0f_\U0001f44d\U0001f3fd_\U0001f1eb\U0001f1f7_b",
        ),
        ("a/b\\c:d\te\u202ef", "a_b_c_d_e_f"),
        ("\u0301", "_"),
        ("???", "_"),
    ],
)
def test_other_characters_become_one_underscore(text: str, name: str) -> None:
    assert named("{prompt}", {"prompt": text}) == name


@pytest.mark.parametrize(
    ("text", "width", "name"),
    [
        (DECOMPOSED, 1, "e\u0301"),
        (DECOMPOSED, 2, "e\u0301t"),
        (HANGUL, 1, HANGUL[:3]),
        (HINDI, 1, HINDI[:2]),
        ("abc", 2, "ab"),
    ],
)
def test_a_width_counts_characters_as_they_are_seen(text: str, width: int, name: str) -> None:
    assert named(f"{{prompt:{width}}}", {"prompt": text}) == name


@pytest.mark.parametrize("text", ["\u96ea" * 300, DECOMPOSED * 100, HINDI * 50, "x" * 300])
@pytest.mark.parametrize("template", ["{prompt}", "{prompt}_{prompt}_{seed:03}", "{prompt:150}/{seed}_{prompt:150}"])
def test_long_texts_are_cut_until_the_name_is_one_that_file_systems_take(text: str, template: str) -> None:
    name = named(template, {"prompt": text, "seed": 7})
    assert all(len(part.encode()) <= MAX_PART_BYTES for part in name.split("/"))
    assert ("007" in name or "7_" in name or template == "{prompt}") and "\ufffd" not in name
    if text.startswith("e"):
        assert name.count("e\u0301") == name.count("e")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("con", "con_"),
        ("Aux.v2", "Aux_.v2"),
        ("COM1", "COM1_"),
        ("com\u00b9", "com\u00b9_"),
        ("cone", "cone"),
        ("mr. x", "mr._x"),
    ],
)
def test_a_name_that_windows_reserves_gets_an_underscore(text: str, name: str) -> None:
    assert named("{prompt}", {"prompt": text}) == name and name_fault(name) is None


def test_a_name_never_ends_in_a_point() -> None:
    assert named("{prompt:3}", {"prompt": "mr. x"}) == "mr"


@pytest.mark.parametrize("template", ["con", "a.", ".farm/{seed}", ".FARM/a", "a/nul.{seed}", "\u96ea" * 67, "a\udce9"])
def test_a_template_that_gives_no_file_name_is_refused(template: str) -> None:
    fault = template_fault(template, ["seed"])
    assert fault is not None
    with refused("malformed-name"):
        raise fault
