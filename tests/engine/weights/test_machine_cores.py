"""Cores that processes take in turns: never more than there are, to everybody who waits, back from whoever ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from weft.engine import Cancelled, Engine
from weft.engine.weights import machine_cores
from weft.engine.weights.machine_cores import SPINS, MachineCores

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody waits there")

NUMBERS = (0, 1)

HOLDER = """
import sys
from pathlib import Path
from weft.engine.weights import machine_cores
machine_cores.SLICE = 0.0
cores = machine_cores.MachineCores(Path(sys.argv[1]), (0, 1), lambda: 2)
with cores.taken(lambda: None):
    print("held", flush=True)
    sys.stdin.readline()
    cores.give_way(lambda: None)
    print("again", flush=True)
    sys.stdin.readline()
"""
"""Another process that holds all cores and computes nothing; a line on, it lets others have them."""


@contextmanager
def idle_holder(tmp_path: Path) -> Iterator[Any]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "cores")]
    process: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def cores(tmp_path: Path, threads: int) -> MachineCores:
    """The cores as another process would take them: locks of one process exclude each other too."""
    return MachineCores(tmp_path / "cores", NUMBERS, lambda: threads)


def not_yet() -> None:
    """The run goes on."""


def test_who_is_first_in_the_queue_is_woken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would be idle for a part of a pause at each change of hands; here a pause would last for ever."""
    first, second, taken = cores(tmp_path, 2), cores(tmp_path, 1), threading.Event()

    def wait() -> None:
        with second.taken(not_yet):
            taken.set()

    with first.taken(not_yet):
        monkeypatch.setattr(machine_cores, "PAUSE", 600.0)
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not first._waited_for():
            time.sleep(0.001)
        time.sleep(0.05)  # from its place in the queue to the wait
    assert taken.wait(30)
    waiting.join(30)


@pytest.mark.parametrize("stopped", [False, True])
def test_no_more_threads_compute_than_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """Also where a process that was stopped has them all."""
    monkeypatch.setattr(machine_cores, "SLICE", 0.0)
    monkeypatch.setattr(machine_cores, "LOOK", 0.1)
    inside, most, seen = [0], [0], list[int]()

    def work(number: int, threads: int) -> None:
        own = cores(tmp_path, threads)
        for _ in range(5):
            with own.taken(not_yet):
                assert len(own._held) == threads
                inside[0] += threads
                most[0] = max(most[0], inside[0])
                seen.append(number)
                time.sleep(0.001)
                inside[0] -= threads

    threads = [threading.Thread(target=work, args=(number, count)) for number, count in enumerate((2, 1, 1, 2))]
    with ExitStack() as held:
        if stopped:
            os.kill(held.enter_context(idle_holder(tmp_path)).pid, signal.SIGSTOP)
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert most[0] <= len(NUMBERS) and sorted(seen) == sorted([0, 1, 2, 3] * 5)


def test_whoever_waits_gets_the_cores_between_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_cores, "SLICE", 0.0)
    first, second, order = cores(tmp_path, 2), cores(tmp_path, 2), list[str]()

    def other() -> None:
        with second.taken(not_yet):
            order.append("second")

    with first.taken(not_yet):
        first.give_way(not_yet)
        thread = threading.Thread(target=other)
        thread.start()
        while (free := first._locked(first.folder / "queue")) is not None:  # until the other one waits
            os.close(free)
            time.sleep(0.001)
        order.append("first")
        first.give_way(not_yet)
        order.append("first again")
    thread.join()
    assert order == ["first", "second", "first again"]


def test_a_wait_ends_where_the_run_does(tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled

    first, second = cores(tmp_path, 2), cores(tmp_path, 1)
    with first.taken(not_yet), pytest.raises(Cancelled), second.taken(stop):
        pass
    with second.taken(not_yet):
        assert second._held


def test_a_process_without_threads_of_torch_takes_none(tmp_path: Path) -> None:
    with cores(tmp_path, 0).taken(not_yet):
        assert not (tmp_path / "cores").exists() or not [*(tmp_path / "cores").glob("core*")]


def test_a_holder_that_computes_nothing_waits_for_its_turn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_cores, "LOOK", 0.1)
    own = cores(tmp_path, 2)
    with idle_holder(tmp_path) as process:
        with own.taken(not_yet):
            process.stdin.write(b"\n")
            process.stdin.flush()
            while not own._waited_for():
                time.sleep(0.001)
            assert not select.select([process.stdout], [], [], 0.3)[0]
        assert process.stdout.readline() == b"again\n"


def test_cores_that_cannot_be_locked_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cores").write_text("a file where the folder should be")
    own = cores(tmp_path, 2)
    with own.taken(not_yet):
        assert not own._held


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_spin_briefly_unless_the_user_chose_otherwise(
    chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"OMP_WAIT_POLICY", *SPINS}
    environment = {name: text for name, text in os.environ.items() if name not in names} | chosen
    monkeypatch.setattr(os, "environ", environment)
    Engine(store=None)
    assert {name: text for name, text in environment.items() if name in names} == (chosen or SPINS)
