"""What the farm's tests share: light nodes in a file, a graph of them, jobs over it, and commands as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from weft.engine.farm import Job, load
from weft.engine.farm.work.job_facts import Setup
from weft.engine.process import process_start

NODES = '''"""Light nodes: a text and a number become one pixel."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from io import BytesIO

from weft.engine import INJECTED, Artifact, Context, InputError, node


@node
def Encode(text: str) -> int:
    """A number for a text."""
    if text == "fail":
        raise InputError("this text fails", "choose another")
    if text == "memory":
        raise MemoryError("out of memory")
    if text == "exit":
        sys.exit(0)
    if text == "cancelled":
        raise asyncio.CancelledError
    if text == "crash":
        ctypes.CDLL(None)._exit(0)
    if text == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "segfault":
        ctypes.string_at(0)
    if text == "hang":
        time.sleep(60)
    if text == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    return sum(text.encode())


@node(lane="gpu")
def Sample(code: int, seed: int, scale: float = 1.0, sampler: str = "a", seconds: float = 0.0) -> int:
    """A number for everything."""
    time.sleep(seconds)
    return (code * 31 + seed * 7 + int(scale) + len(sampler)) % 16_777_216


@node
def Wait(text: str, seconds: float, context: Context = INJECTED) -> str:
    """Look every hundredth of a second whether to end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        context.progress(1, 1)
    return text


@node
def Paint(level: int, name: str = "dot") -> Artifact:
    """One pixel."""
    from PIL import Image

    packed = BytesIO()
    Image.new("RGB", (1, 1), tuple(level.to_bytes(3, "big"))).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", name)
'''

GRAPH = {
    "weft": 1,
    "parameters": {"prompt": {"sets": ["encode.text"]}, "seed": {"sets": ["sample.seed"], "min": 0}},
    "nodes": {
        "encode": {"type": "Encode", "inputs": {"text": "a"}},
        "sample": {"type": "Sample", "inputs": {"code": {"link": "encode"}, "seed": 0}},
        "paint": {"type": "Paint", "inputs": {"level": {"link": "sample"}}},
    },
}

WEFT = [sys.executable, "-c", "from weft.engine.cli import main; main()"]


@dataclass(frozen=True)
class Place:
    """A folder with nodes, a graph and a store, where jobs are written and worked."""

    folder: Path

    @property
    def setup(self) -> Setup:
        """What the engines here are made with."""
        return Setup(store=str(self.folder / "store"), device="cpu", nodes=(str(self.folder / "nodes.py"),))

    def job(self, sweep: dict[str, Any], **parts: Any) -> Job:
        """A job over the graph, written and read."""
        path = self.folder / "job.json"
        path.write_text(json.dumps({"weft_job": 1, "graph": "graph.json", "sweep": sweep, **parts}))
        return load(path)

    @property
    def out(self) -> Path:
        """The job's folder."""
        return self.folder / "out"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command, in a process of its own."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        log = (self.folder / "log").open("ab")
        return subprocess.Popen([*WEFT, "farm", *arguments], cwd=self.folder, env=environment, stdout=log, stderr=log)

    def run(self, *arguments: str) -> int:
        """Run the job with a command; its exit code."""
        options = ["--out", "out", "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]
        return self.start("run", "job.json", *options, *arguments).wait(120)

    def pictures(self) -> dict[str, bytes]:
        """What is published, by name."""
        return {path.name: path.read_bytes() for path in sorted(self.out.glob("*.png"))}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of the test's own."""
    (tmp_path / "nodes.py").write_text(NODES)
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    return Place(tmp_path)


T = TypeVar("T")


def until(fact: Callable[[], T], seconds: float = 30.0) -> T:
    """Wait for something; what it is when it came."""
    end = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
    return found


def kill(pid: int) -> bool:
    """End a process at once; False where it has ended already."""
    lives = bool(process_start(pid))
    if lives:
        os.kill(pid, signal.SIGKILL)
    return lives
