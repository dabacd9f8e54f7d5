"""Keys that runs compute right now: one run computes a key, others learn when it is done."""

from __future__ import annotations

import threading
import time

from weft.engine.keys import digest
from weft.engine.running.in_progress import REMEMBERED, InProgress

KEY = digest("key")


def test_one_run_at_a_time_has_a_key() -> None:
    keys = InProgress()
    assert keys.begin(KEY) and not keys.begin(KEY) and keys.begin(digest("another"))
    keys.end(KEY)
    assert keys.begin(KEY)


def test_a_key_that_is_done_is_finished_and_one_that_is_abandoned_is_not() -> None:
    keys = InProgress()
    keys.begin(KEY)
    keys.abandon(KEY)
    assert not keys.finished(KEY) and keys.begin(KEY)
    keys.end(KEY)
    assert keys.finished(KEY)


def test_who_waits_is_woken_when_something_is_done() -> None:
    keys = InProgress()
    keys.begin(KEY)
    count = keys.count
    threading.Timer(0.02, keys.end, [KEY]).start()
    started = time.monotonic()
    keys.wait(count, timeout=20)
    assert time.monotonic() - started < 10
    keys.wait(count, timeout=20)
    assert time.monotonic() - started < 10, "what is done already is not waited for"


def test_a_wait_ends_where_nothing_is_done() -> None:
    keys = InProgress()
    keys.wait(keys.count, timeout=0.01)


def test_only_the_latest_keys_are_remembered() -> None:
    keys = InProgress()
    for number in range(REMEMBERED + 1):
        keys.begin(digest(number))
        keys.end(digest(number))
    assert keys.finished(digest(REMEMBERED)) and keys.finished(digest(1))
    for number in range(REMEMBERED):
        keys.begin(digest(-1 - number))
        keys.end(digest(-1 - number))
    assert not keys.finished(digest(0))
