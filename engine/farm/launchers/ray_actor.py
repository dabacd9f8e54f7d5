"""Ray's side of a job: joining a cluster or starting one, and what runs in each of its worker processes.

An actor is a runner to which items are sent one by one. It takes and gives small values (an item's settings, names of
files), never tensors, and holds no ledger: `pool` does. All machines need the same Weft, and see the job's folder and
its models under the same paths; an actor that does not see the folder says so. Ray is an extra of the package.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError, WeftError
from weft.engine.farm.work.attempt import AttemptOutcome, ItemRunner
from weft.engine.farm.work.job_facts import JobFacts
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.ledger_file import ledger_path

LOCAL = "local"
"""The address of a cluster that is started on this machine and ends with the job."""

OBJECTS = 100_000_000
"""Bytes of shared memory of a cluster that is started here; nothing large goes through it."""

PATIENCE = 5.0
"""Seconds for which a cluster may take to answer."""

_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_timeout_ms_task_wait_for_death_info": "100"}
"""Settings of Ray, unless the environment sets them: no usage statistics; a death is detected a second sooner."""

_NAMED = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Resources that Ray takes by names of its own."""


@dataclass(frozen=True)
class Order:
    """What an actor makes its runner of."""

    folder: Path
    facts: JobFacts

    @classmethod
    def of(cls, folder: Path, facts: JobFacts) -> Order:
        """That of a job; paths hold in any working directory."""
        return cls(folder.resolve(), replace(facts, setup=facts.setup.found_from_anywhere()))


@dataclass(frozen=True)
class Ready:
    """An actor's first answer: the name of its process, and why it cannot work there."""

    name: str
    fault: str = ""


def _end_process(entry: Entry, reason: str) -> None:
    """End the process of an actor because of an item that does not end in time; its death is charged to the item."""
    os._exit(1)


class Actor:
    """What Ray runs in a process: a runner."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def ready(self) -> Ready:
        """Make the runner."""
        import ray

        order = self._order
        name = f"{os.getpid()}-{ray.get_runtime_context().get_node_id()[:6]}"
        if not ledger_path(order.folder).is_file():
            return Ready(name, f"worker {name} on {os.uname().nodename} does not see {order.folder}")
        try:
            self._runner = ItemRunner.of(order.folder, order.facts, name, overdue=_end_process)
        except WeftError as fault:
            return Ready(name, f"worker {name} on {os.uname().nodename}: {fault}")
        return Ready(name)

    def run(self, entry: Entry) -> AttemptOutcome:
        """Run an item; its files lie ready in the job's folder then."""
        return self._runner.attempt(entry, lambda: False).ready()


def hired(ray: Any, order: Order, needs: Mapping[str, float]) -> Any:
    """A new actor; Ray starts it again for as long as there is a place for it, and sends nothing twice.

    Raises:
        InputError: for amounts that Ray does not take.
    """
    known = {_NAMED[name]: amount for name, amount in needs.items() if name in _NAMED}
    others = {name: amount for name, amount in needs.items() if name not in _NAMED}
    options = {"num_cpus": 1, **known, "resources": others, "scheduling_strategy": "SPREAD"}
    try:
        return ray.remote(Actor).options(**options, max_restarts=-1, max_task_retries=0).remote(order)
    except ValueError as fault:
        raise InputError(f"Ray does not take these resources: {fault}", "such as GPU=0.5 or CPU=2") from None


@contextmanager
def joined(address: str, workers: int, needs: Mapping[str, float]) -> Iterator[Any]:
    """Ray, connected to the cluster of an address, or to one that is started here for this job alone.

    Args:
        address: `auto` for the cluster that this machine is part of, `local` for one that is started, HOST:PORT.

    Raises:
        InputError: where Ray is not installed, or there is no such cluster.
    """
    ray = _installed()
    if ray.is_initialized():
        yield ray
        return
    options = _local(workers, needs) if address == LOCAL else {}
    with _own_signals():
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
        except (OSError, ValueError, RuntimeError) as fault:
            message = f"there is no Ray cluster at {address!r}: {str(fault).splitlines()[0]}"
            raise InputError(message, "start one with `ray start --head`, or give --ray local") from None
    try:
        if address == LOCAL:
            _refuse_what_is_not_here(ray.cluster_resources(), needs)
        yield ray
    finally:
        ray.shutdown()


def _installed() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as missing:
        raise InputError("--ray needs the package ray", "pip install 'weft-engine[ray]'") from missing
    return ray


def _knock(address: str) -> None:
    """See that somebody answers at HOST:PORT, for which Ray would wait a minute.

    Raises:
        OSError: where nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


def _local(workers: int, needs: Mapping[str, float]) -> dict[str, Any]:
    cpus = max(os.cpu_count() or 1, round(workers * needs.get("CPU", 1) + 0.5))
    return {"num_cpus": cpus, "object_store_memory": OBJECTS, "include_dashboard": False}


def _refuse_what_is_not_here(found: Mapping[str, float], needs: Mapping[str, float]) -> None:
    for name, amount in needs.items():
        if found.get(name, 0) < amount:
            message = f"a worker needs {name} {amount:g}, and this machine has {found.get(name, 0):g}"
            raise InputError(message, "join a cluster that has it: --ray auto or --ray HOST:PORT")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, which Ray replaces when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
