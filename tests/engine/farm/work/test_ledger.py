"""The ledger: leases, fences and blame; a worker that fails where others do not is quarantined."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.farm.conftest import NODES, Place, until
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import JobFacts
from weft.engine.farm.work.ledger import LEASE, Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import stage


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with twelve items and two workers."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    entries = (Entry(f"item-{number}", number, number, "all", f"{number}", {}) for number in range(12))
    ledger.submit(JobFacts("{}", retries=2), entries)
    for worker in ("good", "bad"):
        ledger.enter(worker)
    yield ledger
    ledger.close()


def fail(ledger: Ledger, worker: str, times: int) -> None:
    """Have a worker fail at items that it leases one by one."""
    for _ in range(times):
        (entry,) = ledger.lease(worker, 1)
        ledger.fail(worker, entry, "no")


def do(ledger: Ledger, worker: str) -> None:
    """Have a worker do an item."""
    (entry,) = ledger.lease(worker, 1)
    assert ledger.complete(worker, entry, 1.0, lambda: None)


def test_a_bad_worker_gives_back_what_it_holds_and_gets_nothing(ledger: Ledger) -> None:
    held = ledger.lease("bad", 6)
    for entry in held[:3]:
        ledger.fail("bad", entry, "the device is broken")
    assert ledger.counts() == {"waiting": 12} and ledger.begin("bad", held[3]) is None and not ledger.lease("bad", 6)
    assert len(ledger.lease("good", 20)) == 12
    assert progress(ledger).quarantined == ("bad",) and progress(ledger).plain()["aside"] == ("bad",)


def test_an_item_done_between_clears_a_worker(ledger: Ledger) -> None:
    fail(ledger, "bad", 2)
    do(ledger, "bad")
    fail(ledger, "bad", 2)
    assert ledger.quarantined() == []


def test_failing_at_one_item_again_and_again_is_the_item(ledger: Ledger) -> None:
    ledger.change(["waiting"], "skipped", [f"item-{number}" for number in range(1, 12)])
    fail(ledger, "bad", 3)
    assert ledger.quarantined() == [] and ledger.counts()["failed"] == 1


def test_a_worker_is_cleared_of_items_at_which_another_fails_too(ledger: Ledger) -> None:
    fail(ledger, "bad", 3)
    assert ledger.quarantined() == ["bad"]
    fail(ledger, "good", 1)
    assert ledger.quarantined() == [] and ledger.lease("bad", 1)


def test_a_worker_is_not_set_aside_for_one_that_is_silent(ledger: Ledger) -> None:
    fail(ledger, "bad", 3)
    with sqlite3.connect(ledger.path) as base:
        base.execute("UPDATE workers SET seen=seen-? WHERE name='good'", (LEASE,))
    assert ledger.quarantined() == [] and ledger.lease("bad", 1)


def test_all_workers_failing_is_no_worker(ledger: Ledger) -> None:
    ledger.leave("good")
    fail(ledger, "bad", 4)
    assert ledger.quarantined() == [] and ledger.lease("bad", 1)


BROKEN = NODES.replace(
    "    time.sleep(seconds)\n",
    """    time.sleep(seconds)
    first = Path(__file__).with_name("first")
    if not first.exists():
        first.write_text(str(os.getpid()))
    if first.read_text() != str(os.getpid()):
        raise RuntimeError("the device is broken")
""",
).replace("import os\n", "import os\nfrom pathlib import Path\n")
"""The second process that comes here fails at everything."""


@pytest.mark.slow
def test_a_worker_on_a_broken_device_costs_three_attempts(place: Place) -> None:
    (place.folder / "nodes.py").write_text(BROKEN)
    submit(place.job({"seed": {"count": 200}, "sample.seconds": [0.1]}), place.out, place.setup)
    ledger = Ledger(ledger_path(place.out))
    good = place.start("work", "out")
    until(lambda: ledger.counts()["done"])
    bad = place.start("work", "out")
    until(ledger.quarantined)
    done = ledger.counts()["done"]
    until(lambda: ledger.counts()["done"] > done + 3)
    ledger.change(["waiting"], "skipped")
    assert good.wait(60) == bad.wait(60) == 0
    failed = [path for path in place.out.glob(".farm/logs/*.*.log") if b"node_failed" in path.read_bytes()]
    assert len(failed) == 3 and {*ledger.counts()} == {"done", "skipped"}
    ledger.close()


def test_nothing_else_is_leased_while_the_first_items_run(place: Place) -> None:
    submit(place.job({"seed": {"count": 9}}, first=2), place.out, place.setup)
    ledger = Ledger(ledger_path(place.out))
    assert [one.number for one in ledger.lease("one", 5)] == [0, 1] and not ledger.lease("two", 5)
    ledger.change(["leased"], "done")
    assert [one.number for one in ledger.lease("two", 5)] == [2, 3, 4, 5, 6]
    ledger.close()


def test_late_workers_are_refused(place: Place) -> None:
    submit(place.job({"seed": {"count": 100}}), place.out, place.setup)
    ledger, refused = Ledger(ledger_path(place.out)), 0
    ledger.enter("stopped")
    late = ledger.lease("stopped", 100)
    ledger._base.execute("UPDATE items SET until = until - ?", (LEASE + 1,))
    assert ledger.reap() == ["stopped"]
    ledger.enter("other")
    ledger.lease("other", 50)
    for entry in late:
        picture = place.folder / f"{entry.number}.png"
        picture.write_bytes(b"late")
        staged = stage(place.out, entry.name, [picture], {"id": entry.id})
        refused += not ledger.complete("stopped", entry, 0.0, staged.publish)
    assert refused == 100 and not place.pictures()


def test_the_death_of_a_worker_is_charged_to_what_it_executed(place: Place) -> None:
    submit(place.job({"seed": {"count": 4}}), place.out, place.setup)
    ledger = Ledger(ledger_path(place.out))
    ledger.enter("gone")
    held = ledger.lease("gone", 4)
    ledger.begin("gone", held[1])
    ledger._base.execute("UPDATE workers SET started = 'long ago'")
    assert ledger.reap() == ["gone"]
    assert [one.charge for one in ledger.entries()] == [0.0, 0.5, 0.0, 0.0]
    assert ledger.counts() == {"waiting": 4}
