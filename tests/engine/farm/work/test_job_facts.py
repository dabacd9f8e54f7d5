"""Facts of a job: written and read alike, with those of older versions; jobs of newer versions are refused."""

from __future__ import annotations

import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.engine.farm.conftest import Place
from weft.engine import InputError
from weft.engine.cli import call
from weft.engine.farm import Ledger
from weft.engine.farm.launchers.chunk import run_chunk
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import VERSION, JobFacts, Setup
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

OLD = Path(__file__).parents[2] / "version_0_1" / "version_0_1.zip"
"""A job of four items, two of them done, and the store of its results, as Weft 0.1 wrote them."""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the old job; its store and nodes are found from the working directory."""
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_facts_are_read_as_they_were_written() -> None:
    facts = JobFacts("{}", "a.json", Setup("store", nodes=("a.py",)), "Faces", {"a.b": 1}, 5, 4, 3, 2, 8, 100)
    assert JobFacts.read(orjson.loads(orjson.dumps(facts.plain()))) == facts


def test_facts_that_are_missing_have_defaults_and_strange_ones_are_left_out() -> None:
    assert JobFacts.read({"graph": "{}", "later": 1, "setup": {"store": "a", "later": 1}}) == JobFacts(
        "{}", setup=Setup("a")
    )


def test_a_ledger_and_a_job_folder_have_the_same_facts(place: Place) -> None:
    job = place.job({"seed": [1, 2]}, retries=7, priority=3, first=1, max_failures=2, title="Two")
    submit(job, place.out, place.setup)
    with closing(Ledger(ledger_path(place.out))) as ledger:
        facts = ledger.facts()
    assert read_tasks(place.out).facts == facts
    assert facts.setup.precision == "float32", "settled at submit, by the device of this machine"
    assert (facts.retries, facts.priority, facts.first, facts.max_failures, facts.title) == (7, 3, 1, 2, "Two")


def test_a_ledger_of_version_0_1_is_worked_at(old: Path) -> None:
    with closing(Ledger(ledger_path(old))) as ledger:
        facts = ledger.facts()
        assert (facts.title, facts.priority, facts.retries, facts.max_failures) == ("Old", 3, 1, 5)
        assert facts.on_out_of_memory == {"sample.scale": 2.0} and facts.setup.nodes == ("nodes.py",)
        assert ledger.counts() == {"done": 2, "waiting": 2} and progress(ledger).state == "running"
    assert Worker(old).work() == 2 and len([*published(old)]) == 4
    assert "encode" not in [*published(old)][3]["ran"], "what the old store has is not computed again"


def test_a_job_folder_of_version_0_1_is_worked_at_without_its_ledger(old: Path) -> None:
    ledger_path(old).unlink()
    states = [ended.state for ended in run_chunk(read_tasks(old), range(4))]
    assert states == ["cached", "cached", "done", "done"]


def test_a_job_of_version_0_1_is_submitted_again_and_goes_on(old: Path) -> None:
    options = ["--out", str(old), "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]
    assert call(["farm", "submit", "job.json", *options]) == 0
    with closing(Ledger(ledger_path(old))) as ledger:
        assert ledger.counts() == {"cached": 2, "waiting": 2}


def newer_ledger(folder: Path) -> None:
    """Make a ledger one of a later version."""
    with closing(sqlite3.connect(ledger_path(folder))) as base:
        base.execute(f"PRAGMA user_version={VERSION + 1}")


def newer_folder(folder: Path) -> None:
    """Make a job's folder one of a later version."""
    path = folder / ".farm" / "job.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "weft_job_folder": VERSION + 1}))


@pytest.mark.parametrize("made_newer", [newer_ledger, newer_folder])
def test_a_job_of_a_newer_version_is_refused_and_left_as_it_is(
    made_newer: Callable[[Path], None], old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_newer(old)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    options = ["--out", str(old), "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]
    verbs = [["submit", "job.json", *options], ["run", "job.json", *options]]
    ledgers, folders = [["status", str(old)], ["work", str(old)]], [["run-chunk", str(old), "0"]]
    verbs += ledgers if made_newer is newer_ledger else folders
    assert [call(["farm", *verb]) for verb in verbs] == [2] * len(verbs)
    assert str(old) in capsys.readouterr().err
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_a_newer_ledger_names_what_to_do(old: Path) -> None:
    newer_ledger(old)
    with pytest.raises(InputError) as caught:
        Ledger(ledger_path(old))
    assert caught.value.hint and os.fspath(ledger_path(old)) in caught.value.message
