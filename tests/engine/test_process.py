"""Processes are distinguished: a live one has a start time, a dead one has none, and a machine keeps its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weft.engine.process import machine, process_start

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")


def test_a_live_process_has_a_start_that_stays() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) != ""


def test_a_process_that_has_ended_has_none() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_start(ended.pid) == ""


def test_a_zombie_counts_as_ended() -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(zombie.pid) == ""
    zombie.wait()


def test_processes_of_one_machine_agree_on_its_name() -> None:
    code = "from weft.engine.process import machine; print(machine())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == machine() and len(machine()) == 16
