"""Identifies processes of this machine, so that a reused process number or another machine is never taken for one."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from weft.engine.keys import digest


def process_start(pid: int) -> str:
    """The start time of a live process, in clock ticks since boot.

    Returns:
        The empty string where the process has ended or the system has no /proc.
    """
    fields = _fields(pid)
    return fields[19].decode() if fields else ""


def cpu_seconds(pid: int) -> float | None:
    """The seconds that a live process has computed, all its threads together; None as `process_start` gives nothing."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None


def _fields(pid: int) -> list[bytes]:
    """What the system says of a live process, from its state on; nothing where it has ended or there is no /proc."""
    try:
        # The second field is the program's name in parentheses and may hold spaces, so fields count from its end.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in (b"Z", b"X") else fields


@cache
def machine() -> str:
    """An identifier of this machine, new at each boot. A container with process numbers of its own has another one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return digest((boot, str(Path("/proc/self/ns/pid").readlink())))[:16]
    except OSError:
        import platform
        import uuid

        return digest((platform.node(), uuid.getnode()))[:16]
