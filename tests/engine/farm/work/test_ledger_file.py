"""The file of a ledger: damage is named, and a job that is submitted again begins with what is published."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.engine.farm.conftest import Place
from tests.refusals import refused
from weft.engine.farm.launchers.chunk import run_chunk
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.report.manifest import write_manifest
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import DamagedLedgerError, LostLedgerError, ledger_path
from weft.engine.farm.work.publishing import listed


def submitted(place: Place, *prompts: str) -> None:
    """A job over prompts, submitted."""
    submit(place.job({"prompt": [*prompts]}, name="{key:8}"), place.out, place.setup)


def run(place: Place) -> None:
    """Run all items of the job."""
    tasks = read_tasks(place.out)
    assert {ended.state for ended in run_chunk(tasks, range(len(tasks.lines)))} <= {"done", "cached"}


def damage(path: Path, share: float, content: bytes | None) -> None:
    """Cut a file to a share of its length, or put other bytes there."""
    for ending in ("-wal", "-shm"):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    whole = path.read_bytes()
    place = int(len(whole) * share)
    path.write_bytes(whole[:place] if content is None else whole[:place] + content + whole[place + len(content) :])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("content", [None, b"\xff" * 3000], ids=["cut short", "other bytes"])
def test_a_damaged_ledger_is_named_and_made_again_from_what_is_published(
    share: float, content: bytes | None, place: Place
) -> None:
    submitted(place, "a", "b")
    run(place)
    damage(ledger_path(place.out), share, content)
    with suppress(DamagedLedgerError), closing(Ledger(ledger_path(place.out))) as ledger:
        ledger.facts()
        ledger.verify()
    submitted(place, "a", "b", "c")
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert ledger.counts() == {"cached": 2, "waiting": 1} and ledger.facts().items == 3


def test_a_ledger_that_is_no_database_is_kept_aside(place: Place) -> None:
    submitted(place, "a")
    damage(ledger_path(place.out), 0.0, b"no database at all")
    with pytest.raises(DamagedLedgerError):
        Ledger(ledger_path(place.out))
    submitted(place, "a")
    assert ledger_path(place.out).with_name("ledger.sqlite.damaged").read_bytes().startswith(b"no database")


@pytest.mark.parametrize("name", ["job.json", "items.jsonl"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_files_of_a_job_are_named_and_written_again(name: str, share: float, place: Place) -> None:
    submitted(place, "a", "b")
    damage(place.out / ".farm" / name, share, None)
    with refused("no-job"):
        tasks = read_tasks(place.out)
        [tasks.entry(number) for number in range(2)]
    submitted(place, "a", "b")
    assert len(read_tasks(place.out).lines) == 2


def test_after_an_edit_no_two_pictures_have_one_number(place: Place) -> None:
    submitted(place, "a", "b")
    run(place)
    submitted(place, "c", "b", "a")
    run(place)
    found = [(sidecar["number"], sidecar["settings"]["prompt"]) for sidecar in listed(place.out)]
    assert found == [(0, "c"), (1, "b"), (2, "a")] and write_manifest(place.out) == 3
    submitted(place, "b")
    found = [(sidecar["number"], sidecar["settings"]["prompt"]) for sidecar in listed(place.out)]
    assert found[0] == (0, "b") and sorted(found[1:], key=str) == [(None, "a"), (None, "c")]


def test_nothing_is_written_to_a_ledger_that_somebody_has_deleted_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        ledger.set_state("paused")
        path.unlink()
        with pytest.raises(LostLedgerError):
            ledger.set_state("running")
        with closing(Ledger(path)) as other, pytest.raises(LostLedgerError):
            other.set_state("paused")
            ledger.set_state("running")
