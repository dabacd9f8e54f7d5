"""The process of a server: the port, the lock on its folder, logs, signals, and an orderly end."""

from __future__ import annotations

import json
import logging
import math
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from anyio.to_thread import run_sync

from weft.engine.errors import InputError
from weft.engine.folder_lock import only_one
from weft.engine.interrupts import end_signals
from weft.engine.serve.connections import ACCEPTED, BoundedHTTP, most_connections
from weft.engine.serve.heap import share_one_heap
from weft.engine.serve.request_guard import LOOPBACK, RequestGuard
from weft.engine.serve.service import Service
from weft.engine.serve.unread_answers import IMPATIENT_SOCKETS
from weft.engine.serve.web_app import web_app


class _Server(uvicorn.Server):
    """Lets those who follow runs go before it waits for their connections; returns where it was asked to stop."""

    service: Service
    address: str

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and print the address once whoever reads it is answered."""
        await super().startup(sockets)
        print(self.address, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; a second Ctrl-C hands back at once what runs. No lock is taken: the main thread may have it.

        The base class would end the process by the signal after it.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.service.dispatcher.hurry()
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing any more, and end connections and what runs within the same seconds."""
        await run_sync(self.service.begin_to_stop)
        await super().shutdown(sockets)
        if self.force_exit:  # the base class leaves it out then
            await self.lifespan.shutdown()


def serve(service: Service, host: str, port: int) -> None:
    """Answer requests until SIGTERM, Ctrl-C or the end of the terminal.

    Raises:
        InputError: where the address is taken, or another server has the folder.
    """
    check_address(service, host)
    configure_logs()
    share_one_heap()
    BoundedHTTP.most = most_connections()
    with only_one(service.options.data, "server") as lock, _bound(host, port) as bound:
        service.hold(lock)
        server = _Server(_config(web_app(service), service.options.grace))
        server.service = service
        shown = f"[{host}]" if ":" in host else host
        server.address = f"http://{shown}:{bound.getsockname()[1]}/"
        for one in end_signals():
            signal.signal(one, server.handle_exit)
        server.run(sockets=[bound])


def check_address(service: Service, host: str) -> None:
    """Refuse to answer the network without tokens.

    Raises:
        InputError: where it would.
    """
    if host not in LOOPBACK and service.callers.by_digest is None:
        message = f"--host {host} would answer everyone who can reach this machine"
        raise InputError(message, "make tokens: weft serve --tokens FILE --add-token NAME", "tokens-needed")


def _config(app: RequestGuard, grace: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # who calls is known by their token, not by their address
        http=BoundedHTTP,
        backlog=ACCEPTED,
        ws=IMPATIENT_SOCKETS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=math.ceil(grace),
        ws_max_size=65536,
        lifespan="on",
    )


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """The port, taken before anything is run."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as fault:
            message = f"{host}:{port} cannot be used: {fault.strerror}"
            raise InputError(message, "choose another with --port", "address-in-use") from None
        yield found


class _JsonLines(logging.Formatter):
    """A record as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        plain = {"time": at, "level": record.levelname.lower(), "logger": record.name}
        if record.name == "weft.serve.access":
            return json.dumps({**plain, **json.loads(record.getMessage())})
        plain["message"] = record.getMessage()
        plain |= {name: str(one) for name, one in vars(record).items() if name in ("request", "run")}
        if record.exc_info:
            plain["traceback"] = self.formatException(record.exc_info)
        return json.dumps(plain)


def configure_logs() -> None:
    """Write what is logged to stderr, as JSON lines; requests with their ids, without queries, headers and bodies."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name, level in (("weft.serve", logging.INFO), ("uvicorn.error", logging.WARNING), ("asyncio", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
