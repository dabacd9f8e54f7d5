"""Servers in processes of their own, over light nodes or the embedded model, for tests that kill and load them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

WEFT = [sys.executable, "-c", "from weft.engine.cli import main; main()"]


@dataclass
class ServerProcess:
    """`weft serve` in a folder, which may be killed and started again.

    Args:
        arguments: of the command, next to its folders and port.
        environment: what its environment has besides.
    """

    folder: Path
    arguments: tuple[str, ...] = ()
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def start(self) -> None:
        """Start it, and wait until it takes requests."""
        options = ["--data", "data", "--store", "store", "--device", "cpu", "--port", str(self.port)]
        log = (self.folder / "log").open("ab")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **self.environment}
        self.process = subprocess.Popen(
            [*WEFT, "serve", *self.arguments, *options],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line, (self.folder / "log").read_text()[-2000:]
        self.port = int(line.rstrip().rstrip("/").rpartition(":")[2])
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("it is not ready")

    def kill(self) -> None:
        """End it as the end of the machine would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """What it answers."""
        with urlopen(f"{self.url}{path}", timeout=120) as answer:
            found: bytes = answer.read()
            return found

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """The status and the JSON that it answers."""
        given = {"Content-Type": "application/json", **(headers or {})}
        try:
            with urlopen(Request(f"{self.url}{path}", json.dumps(body).encode(), given), timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as refusal:
            with refusal:
                return refusal.code, json.loads(refusal.read())

    @property
    def memory(self) -> int:
        """The bytes of memory that it has."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def processor_seconds(self) -> float:
        """How long it has computed, on all cores together."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def has_loaded(self, library: str) -> bool:
        """Whether a library is in its memory."""
        return library in Path(f"/proc/{self.process.pid}/maps").read_text()
