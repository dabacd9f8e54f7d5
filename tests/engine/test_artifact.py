"""Artifacts: names that every system takes, and files that replace none."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine import Artifact, InputError, name_fault


@pytest.mark.parametrize("name", ["lake", "night/lake", "a b", "lake.v2", "\N{GREEK SMALL LETTER ALPHA}"])
def test_plain_names_are_taken(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../lake",
        "/lake",
        "a//b",
        "con",
        "aux.png",
        "a:b",
        "a\\b",
        "lake.",
        "x" * 201,
        "\u96ea" * 67,
        "a\udce9",
        "com\u00b9",
        "con .x",
        "conin$",
    ],
)
def test_names_that_some_system_refuses_are_refused_on_all(name: str) -> None:
    assert name_fault(name)


def test_a_saved_artifact_replaces_no_file(tmp_path: Path) -> None:
    artifact = Artifact(b"one", "image/png", "night/lake")
    first, second = artifact.save(tmp_path), artifact.save(tmp_path)
    assert (first, second) == (tmp_path / "night/lake.png", tmp_path / "night/lake_2.png")
    assert first.read_bytes() == second.read_bytes() == b"one"


def test_an_artifact_stays_in_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Artifact(b"", "image/png", "../lake").save(tmp_path / "out")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["\u96ea" * 66, "e\u0301" * 60])
def test_a_name_of_the_greatest_length_can_be_written(name: str, tmp_path: Path) -> None:
    assert Artifact(b"one", "image/webp", name).save(tmp_path).read_bytes() == b"one"


def test_on_a_full_disk_nothing_is_left(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(InputError):
            Artifact(b"more than ten bytes", "image/png", "lake").save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*tmp_path.iterdir()]
