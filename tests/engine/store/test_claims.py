"""Claims on what is being computed: held by one process at a time, and never longer than that process lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from weft.engine.keys import digest
from weft.engine.process import machine, process_start
from weft.engine.store import UNCLAIMED, NullStore
from weft.engine.store.claims import PATIENCE, Claimant
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.tiers import Tiers
from weft.engine.store.upkeep import DAY

KEY = digest("a key")

HOLDER = (
    "import sys; from pathlib import Path; from weft.engine.keys import Digest;"
    "from weft.engine.store.disk import DiskStore; folder, key, expected = sys.argv[1:];"
    "claim = DiskStore(Path(folder)).claim(Digest(key), float(expected)); print(bool(claim), flush=True); input()"
)


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """An empty store."""
    return DiskStore(tmp_path / "store")


@contextmanager
def held_elsewhere(store: DiskStore, expected: float = 100.0) -> Iterator[subprocess.Popen[str]]:
    """A process that claims the key, while it lives."""
    command = [sys.executable, "-c", HOLDER, str(store.folder), KEY, str(expected)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "True\n"
        yield holder
        holder.kill()


def test_one_claims_at_a_time(store: DiskStore) -> None:
    claim = store.claim(KEY, 5.0)
    assert claim and store.claim(KEY, 5.0) is None and store.claim(digest("another"), None)
    claimant = store.claimed(KEY)
    assert claimant and (claimant.pid, claimant.expected) == (os.getpid(), 5.0) and claimant.seconds < 5
    with claim:
        pass
    assert store.claimed(KEY) is None and store.claim(KEY)


def test_a_claim_holds_while_its_process_lives(store: DiskStore) -> None:
    with held_elsewhere(store) as holder:
        claimant = store.claimed(KEY)
        assert claimant and claimant.pid == holder.pid and store.claim(KEY, 1.0) is None
        holder.kill()
        while not (claim := store.claim(KEY, 1.0)):  # the signal is on its way; the process is not waited for
            time.sleep(0.001)
    claim.release()
    assert store.claimed(KEY) is None


def test_a_claim_that_is_overdue_is_taken_over_and_not_given_back_by_the_first(store: DiskStore) -> None:
    first = store.claim(KEY, -1.0)
    second = store.claim(KEY, 1.0)
    assert first and second
    first.release()
    assert store.claimed(KEY)
    second.release()
    assert store.claimed(KEY) is None


def test_a_later_process_with_the_same_number_is_not_taken_for_the_claimant() -> None:
    pid, now = os.getpid(), time.time()
    assert Claimant(pid, process_start(pid), now, None).holds
    assert not Claimant(pid, "1", now, None).holds
    assert not Claimant(pid, process_start(pid), now - PATIENCE - 1, None).holds


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": 1}'])
def test_a_claim_that_is_not_whole_holds_for_a_moment(content: bytes, store: DiskStore) -> None:
    path = store.claims.path(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.claim(KEY) is None
    os.utime(path, times=(time.time() - 2,) * 2)
    assert store.claim(KEY)


def test_where_no_claim_can_be_written_everybody_computes(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = DiskStore(tmp_path / "store")
    assert store.claim(KEY) is UNCLAIMED and store.claimed(KEY) is None


def test_upkeep_knows_claims(store: DiskStore) -> None:
    claim = store.claim(KEY, 5.0)
    young = digest("young")
    for name, age in ((digest("a dead one's"), 0.0), (young, DAY / 2), (digest("old"), DAY * 2)):
        path = store.claims.folder / (machine() if not age else "another machine") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        os.utime(path, times=(time.time() - age - 2,) * 2)
    store.prune()
    assert claim and store.verify() == []
    assert {path.name for path in store.claims.folder.glob("*/*")} == {KEY, young}


def test_tiers_claim_in_the_first_that_has_claims(store: DiskStore) -> None:
    tiers = Tiers((MemoryStore(), store))
    claim = tiers.claim(KEY, 1.0)
    assert claim and claim is not UNCLAIMED and tiers.claim(KEY) is None and tiers.claimed(KEY) == store.claimed(KEY)
    assert Tiers((MemoryStore(), NullStore())).claim(KEY) is UNCLAIMED


def test_four_processes_compute_each_key_once(store: DiskStore) -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "workers" / "claimer.py"), str(store.folder), "20"]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for one in workers:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    computed = [one.communicate()[0].split() for one in workers]
    assert sorted(int(number) for one in computed for number in one) == list(range(20)) and store.verify() == []
    assert not [path for path in store.claims.folder.rglob("*") if path.is_file()]
