"""The collector's switches belong to the process: the first block in switches, the last one out restores."""

from __future__ import annotations

import gc
import threading

from weft.engine.gc import SELDOM, paused_collection, settled_heap


def test_collection_is_paused_until_the_last_block_ends() -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with paused_collection():
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with paused_collection():
        thread.start()
        entered.wait(20)
    assert not gc.isenabled()
    leave.set()
    thread.join(20)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with paused_collection(), paused_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_heap_is_settled_once_and_thresholds_are_restored() -> None:
    before = gc.get_threshold()
    with settled_heap():
        frozen = gc.get_freeze_count()
        with settled_heap():
            assert gc.get_freeze_count() <= frozen
        assert gc.get_threshold()[2] >= SELDOM and gc.get_freeze_count() > 0
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
