"""The queue: written down before it is answered, fair between callers, and each run ends once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine.errors import StoreError
from weft.engine.serve.callers import Quota
from weft.engine.serve.queue_file import QueueReplaced
from weft.engine.serve.result_files import FileRecord
from weft.engine.serve.run_queue import ATTEMPTS, QueueFull, RunQueue
from weft.engine.serve.served_run import RunEnd, RunRequest, ServedRun

QUOTAS = {"large": Quota(share=3.0), "narrow": Quota(running=1), "poor": Quota(seconds_a_day=1e-7)}


def opened(folder: Path) -> RunQueue:
    return RunQueue(folder / "queue.sqlite", 1000, lambda name: QUOTAS.get(name, Quota()))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[RunQueue]:
    """An empty queue."""
    made = opened(tmp_path)
    yield made
    made.close()


def submit(queue: RunQueue, caller: str = "a", key: str = "", priority: int = 0) -> ServedRun:
    request = RunRequest(caller, "g", "", {}, b"{}", key=key, fingerprint="same", priority=priority)
    return queue.submit(request)[0]


def taken(queue: RunQueue) -> ServedRun:
    found = queue.take()
    assert found is not None
    return found[0]


def test_callers_take_turns_by_their_shares_and_one_who_was_away_saves_nothing_up(queue: RunQueue) -> None:
    for caller in ("a", "large"):
        for _ in range(40):
            submit(queue, caller)
    counts = Counter(taken(queue).caller for _ in range(20))
    assert counts == {"a": 5, "large": 15}
    for _ in range(40):
        submit(queue, "late")
    counts = Counter(taken(queue).caller for _ in range(25))
    assert counts["late"] in (5, 6)


def test_nobody_takes_a_run_before_its_log_has_begun(queue: RunQueue) -> None:
    takes = []
    with ThreadPoolExecutor(1) as others:

        def accepted(run: ServedRun) -> None:
            takes.append(others.submit(queue.take))
            assert wait(takes, timeout=0.1).not_done

        run, _ = queue.submit(RunRequest("a", "g", "", {}, b"{}", fingerprint="same"), accepted)
        found = takes[0].result()
    assert found is not None and found[0].id == run.id


def test_priorities_go_first_and_some_callers_run_one_at_a_time(queue: RunQueue) -> None:
    first, urgent = submit(queue), submit(queue, "b", priority=1)
    assert [taken(queue).id, taken(queue).id] == [urgent.id, first.id]
    one, other = submit(queue, "narrow"), submit(queue, "narrow")
    assert taken(queue).id == one.id and queue.take() is None
    running = queue.get(one.id)
    assert running is not None and queue.end(running, RunEnd("done", {})) is not None
    assert taken(queue).id == other.id


def test_a_run_ends_once_and_by_its_present_attempt(tmp_path: Path) -> None:
    before = opened(tmp_path)
    id = submit(before).id
    first = taken(before)
    before.close()
    after = opened(tmp_path)
    assert after.recover() == 1
    second = taken(after)
    assert (second.id, second.attempt) == (id, 2)
    assert after.end(first, RunEnd("failed")) is None
    ended = after.end(second, RunEnd("done", {"files": []}))
    assert ended is not None and ended.state == "done" and after.end(second, RunEnd("failed")) is None
    after.close()


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_the_machine_set_ahead_or_back_changes_neither_shares_nor_order(
    queue: RunQueue, hours: int
) -> None:
    run = submit(queue)
    taken(queue)
    queue.file.base.execute("UPDATE runs SET started = started - ?, submitted = submitted - ?", (hours * 3600.0,) * 2)
    present, waits = queue.get(run.id), [submit(queue, "b"), submit(queue, "b")]
    queue.file.base.execute("UPDATE runs SET submitted = submitted - ? WHERE id = ?", (hours * 3600.0, waits[0].id))
    assert [queue.ahead(one) for one in waits] == [0, 1]
    queue.give_back_all_but(())
    assert present is not None and (ended := queue.end(present, RunEnd("done", {}))) is not None
    assert 0 <= ended.ended - ended.started < 60 and 0 <= queue.seconds_since("a", 0.0) < 60
    assert submit(queue).id and taken(queue).caller == "b"  # who had least: a has had one run


def test_a_run_that_ends_the_server_each_time_has_failed(queue: RunQueue) -> None:
    id = submit(queue).id
    for _ in range(ATTEMPTS):
        taken(queue)
        queue.recover()
    run = queue.get(id)
    assert run is not None and run.state == "failed" and run.error and run.error["code"] == "server-ended"
    again = submit(queue)
    for _ in range(2 * ATTEMPTS):
        queue.give_back(taken(queue))
    assert taken(queue).id == again.id


def test_keys_find_their_run_and_spent_time_is_counted(queue: RunQueue) -> None:
    assert submit(queue, key="k").id == submit(queue, key="k").id != submit(queue, "b", key="k").id
    run = submit(queue, "poor", priority=5)
    queue.end(taken(queue), RunEnd("done", {}))
    with pytest.raises(QueueFull):
        submit(queue, "poor")
    assert queue.get(run.id) is not None


def test_old_runs_are_forgotten_beyond_a_budget_and_others_never(queue: RunQueue) -> None:
    ended = []
    for _ in range(3):
        run = submit(queue)
        queue.end(taken(queue), RunEnd("done", {"files": [FileRecord(name="a", media_type="", bytes=100, digest="")]}))
        ended.append(run.id)
    waits = submit(queue)
    assert queue.forget(250, 100) == ended[:1] and queue.forget(0, 100) == ended[1:]
    assert queue.get(waits.id) is not None


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    made = opened(tmp_path)
    made.file.base.execute("PRAGMA user_version=99")
    made.close()
    with refused("unsupported-version", 99):
        opened(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    queue = opened(tmp_path)
    for number in range(50):
        submit(queue, key=str(number))
    queue.close()
    content = bytearray(path.read_bytes())
    content[5000:9000] = b"\xff" * 4000
    path.write_bytes(content)
    with pytest.raises(StoreError):
        opened(tmp_path)


@pytest.mark.parametrize("gone", ["queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm", "*"])
def test_what_was_accepted_outlasts_a_file_that_somebody_deletes(tmp_path: Path, gone: str) -> None:
    queue = opened(tmp_path)
    submit(queue, key="1")
    for path in tmp_path.glob(gone):
        path.unlink()
    submit(queue, key="2")
    killed = shutil.copytree(tmp_path, tmp_path / "killed")  # what there would be for the next process
    for made in (opened(killed), queue):
        assert len(made.unfinished()) == 2
        made.close()
    queue = opened(tmp_path)
    assert len(queue.unfinished()) == 2
    queue.close()


def test_a_queue_in_whose_place_another_file_lies_accepts_nothing_until_that_is_gone(queue: RunQueue) -> None:
    submit(queue)
    path = queue.file.path
    Path(shutil.copy(path, path.with_name("other"))).replace(path)
    with pytest.raises(QueueReplaced):
        submit(queue)
    path.unlink()
    submit(queue)
    assert len(queue.unfinished()) == 2


def test_a_queue_that_was_being_written_again_as_the_process_ended_is_taken_up(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    submit(queue)
    queue.close()
    queue.file.path.rename(tmp_path / "queue.sqlite.again")
    queue = opened(tmp_path)
    assert len(queue.unfinished()) == 1
    queue.close()
