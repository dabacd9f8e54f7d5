"""Requests to a server, and their answers: JSON, events, files; refusals become the errors that an engine raises."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from weft.engine.client.received import problem_of
from weft.engine.errors import GraphError, InputError

SILENCE = 60.0
"""Seconds without a byte after which a connection counts as lost; a server sends something every ten."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(Exception):  # noqa: N818 - a state rather than a fault of the caller
    """The server does not answer now, or asks to come back later.

    Args:
        seconds: after which it may be tried again; None where nobody knows.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would take the token to another server."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class ServerCalls:
    """Sends requests.

    Args:
        url: of the server, without a path.
        token: goes into the header of every request.
        silence: seconds without a byte after which a connection counts as lost.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    silence: float = SILENCE

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "give one such as http://127.0.0.1:8420, or set WEFT_SERVER"
            raise InputError(f"`{self.url}` is no address of a server", hint, "malformed-value")
        if parts.username or parts.query:
            raise InputError("the address has a name or a query", "give the token as `token`", "malformed-value")

    def json(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON that a path answers; with a body it is a POST.

        Raises:
            Unreachable: where the server does not answer now.
            InputError: where it refuses, or answers something else.
        """
        with self.opened(path, body, headers) as answer:
            return _parsed(answer.read(), self.url)

    def content(self, path: str) -> bytes:
        """The bytes that a path answers."""
        with self.opened(path) as answer:
            return answer.read()

    def send(self, content: bytes) -> str:
        """Send a file; the name that graphs give to it there."""
        digest = b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
        with self._opened("/api/files", content, headers) as answer:
            return str(_parsed(answer.read(), self.url)["name"])

    def parsed(self, answer: HTTPResponse) -> Any:
        """The JSON of an open answer.

        Raises:
            InputError: where it is none.
        """
        return _parsed(answer.read(), self.url)

    def put(self, path: str, file: Path) -> Any:
        """Send a file, as it is read, to the address that it is to have."""
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            with self._opened(path, content, headers, "PUT") as answer:
                return self.parsed(answer)

    def fetch(self, path: str, file: Path, most: int) -> None:
        """Get what a path answers into a file.

        Raises:
            InputError: where it has more bytes than it may have.
        """
        with self.opened(path) as answer, file.open("xb") as part:
            while chunk := answer.read(2**20):
                if part.tell() + len(chunk) > most:
                    raise InputError(f"{path} has more than {most:,} bytes", "", "unusable-input")
                part.write(chunk)

    def events(self, answer: HTTPResponse) -> Iterator[tuple[int, dict[str, Any]]]:
        """The events of an open stream, with their numbers.

        Raises:
            Unreachable: where it breaks off before the event `ended`.
        """
        number, event = 0, dict[str, Any]()
        try:
            for line in answer:
                name, _, text = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
                if name == "id":
                    number = int(text)
                elif name == "data":
                    event = json.loads(text)
                elif not name and event:
                    yield number, event
                    if event["event"] == "ended":
                        return
                    event = {}
        except (OSError, HTTPException, ValueError) as fault:
            raise Unreachable(f"the events of {self.url} broke off: {fault}") from None
        raise Unreachable(f"the events of {self.url} broke off")

    def opened(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[HTTPResponse]:
        """An answer, to be read and closed."""
        given = {"Accept": "application/json", **(headers or {})}
        if body is None:
            return self._opened(path, None, given)
        return self._opened(path, json.dumps(body).encode(), {**given, "Content-Type": "application/json"})

    @contextmanager
    def _opened(
        self, path: str, content: bytes | BinaryIO | None, headers: Mapping[str, str], method: str | None = None
    ) -> Iterator[HTTPResponse]:
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = Request(
            f"{self.url.rstrip('/')}{quote(path, safe='/?=&%')}", content, {**headers, **own}, method=method
        )
        try:
            answer: HTTPResponse = self._opener().open(request, timeout=self.silence)
        except HTTPError as refusal:
            with refusal:
                _raise(refusal.code, refusal.read(10**7), refusal.headers.get("retry-after"))
        except (URLError, OSError, HTTPException) as fault:
            reason = fault.reason if isinstance(fault, URLError) else fault
            raise Unreachable(f"{self.url} does not answer: {reason}") from None
        with answer:
            try:
                yield answer
            except (OSError, HTTPException) as fault:
                raise Unreachable(f"the answer of {self.url} broke off: {fault}") from None

    def _opener(self) -> OpenerDirector:
        local = urlsplit(self.url).hostname in LOOPBACK
        return build_opener(_NoRedirects, *([ProxyHandler({})] if local else []))


def _parsed(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise InputError(f"{url} answers no JSON", "is it a server of Weft?", "malformed-value") from None


def _raise(status: int, content: bytes, later: str | None) -> NoReturn:
    """Raise what a refusal means."""
    try:
        plain = json.loads(content)
        message, hint, code = str(plain["title"]), str(plain.get("hint", "")), str(plain["code"])
    except (ValueError, KeyError, TypeError):
        plain, message, hint, code = {}, f"the server refuses with status {status}", "", "refused-by-server"
    if status in (429, 502, 503, 504):
        raise Unreachable(message, float(later) if later and later.isdecimal() else None)
    if problems := plain.get("problems"):
        raise GraphError(map(problem_of, problems))
    raise InputError(message, hint, code)


def wait(fault: Unreachable, tried: int, until: float) -> None:
    """Wait before a request is sent again.

    Raises:
        InputError: where the patience is over (`unreachable-server`).
    """
    seconds = min(0.1 * 2**tried, 5.0) if fault.seconds is None else fault.seconds
    if time.monotonic() + seconds > until:
        hint = "check the address, and that the server runs; `patience` says how long is waited"
        raise InputError(str(fault), hint, "unreachable-server") from None
    time.sleep(seconds)
