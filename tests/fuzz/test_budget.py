"""The child process of the fuzzers sees what a case must not do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.budget import Budgeted
from weft.engine import InputError


def misbehaving(case: str, folder: Path) -> None:
    """Do what a case says."""
    outside = folder.parent / "outside" / "file.txt"
    if case == "refuse":
        raise InputError("a case", "another one")
    if case == "raise":
        raise KeyError(case)
    if case == "loop":
        while True:
            pass
    if case == "wait":
        time.sleep(60)
    if case == "grow":
        bytearray(3 * 10**9)
    if case == "end":
        os._exit(3)
    if case == "leave":
        sys.exit()
    if case == "read":
        outside.read_text()
    if case == "link":
        (folder / "link").symlink_to(outside)
        (folder / "link").read_text()
    if case == "write":
        outside.write_text(case)
    if case == "own":
        (folder / "own.txt").write_text(case)
        (folder / "own.txt").unlink()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Budgeted[str]]:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "file.txt").write_text("")
    with Budgeted(misbehaving, tmp_path / "inside", "", seconds=0.2) as made:
        yield made


def test_each_end_of_a_case_has_its_kind(child: Budgeted[str]) -> None:
    ends = {"": "done", "own": "done", "refuse": "refused", "raise": "raised", "leave": "raised", "grow": "raised"}
    ends |= {"loop": "over time", "wait": "over time", "end": "died"}
    found = {case: child.outcome(case) for case in (*ends, "own")}
    assert {case: outcome.kind for case, outcome in found.items()} == ends
    assert {case for case, outcome in found.items() if outcome.good} == {"", "own", "refuse"}


def test_files_touched_outside_of_the_folder_are_seen(child: Budgeted[str], tmp_path: Path) -> None:
    for case in ("read", "link"):
        assert [str(tmp_path / "outside") in touched for touched in child.outcome(case).touched] == [True]
    assert not child.changed_around()
    assert not child.outcome("write").good
    assert child.changed_around() == [str(tmp_path / "outside" / "file.txt")]
