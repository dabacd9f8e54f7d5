"""The end of a process: it waits for threads for a while and no longer, and calls outside of runs do not keep it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from weft.engine import process_end

READS = """
import time
from weft.engine import Engine, Graph, node, process_end
process_end.AT_EXIT = 0.3
@node(lane="io")
def Reads(number: int) -> int:
    time.sleep(60)
    return number
with Graph() as graph:
    for number in range(2):
        graph.output(f"read{number}", Reads(number))
run = Engine(store=None, device="cpu").submit(graph)
next(event for event in run if event.plain()["event"] == "node_started")
print("leaving")
"""

PLAIN_THREADS = """
import threading
from weft.engine import Engine, Graph, node
from concurrent.futures import ThreadPoolExecutor  # after the engine: so its exit handler would be called first
@node(lane="gpu")
def Inner(number: int) -> int:
    return number
BEGAN = threading.Event()
def call(number):
    BEGAN.set()
    return Inner(number)
@node(lane="gpu")
def WithoutItsContext(number: int) -> int:
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(call, range(number)))
with Graph() as graph:
    graph.output("out", WithoutItsContext(3))
run = Engine(store=None, device="cpu").submit(graph)
BEGAN.wait(20)
print("leaving")
"""


@pytest.mark.parametrize("program", [READS, PLAIN_THREADS], ids=["a thread that reads", "threads without the context"])
def test_nothing_that_a_node_waits_for_keeps_the_process(program: str) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
    assert time.monotonic() - started < 40


def test_a_thread_that_has_ended_or_cannot_start_is_not_waited_for() -> None:
    thread = process_end.start_thread(lambda: None, "ends", lambda: None)
    thread.join()
    assert thread not in process_end._THREADS
    before = threading.stack_size()
    threading.stack_size(1 << 46)  # more than there are addresses
    try:
        with pytest.raises(RuntimeError):
            process_end.start_thread(lambda: None, "never starts")
    finally:
        threading.stack_size(before)
    assert not [one for one in process_end._THREADS if one.name == "never starts"]


NEVER_ENDS = """
import threading, time
from weft.engine import process_end
process_end.AT_EXIT = 0.1
threading.Thread(target=time.sleep, args=(60,)).start()
print("leaving")
process_end.end_process(3)
"""


def test_a_thread_that_a_node_left_keeps_the_process_only_for_a_while() -> None:
    done = subprocess.run([sys.executable, "-c", NEVER_ENDS], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "leaving\n", "")
