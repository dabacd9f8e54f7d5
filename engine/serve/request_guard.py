"""What every request passes before anything else sees it: where it came from, who calls, and what its answer carries.

A page of another site that a browser shows can send requests to a server on the same machine, and by DNS rebinding
under a name of its own. So `Host` must be a name of this server, `Origin` the same, and what a browser marks as sent by
another site is refused. There are no cookies and no CORS headers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.engine.serve.answers import Refused, retry_later
from weft.engine.serve.callers import Caller, Callers

ACCESS = logging.getLogger("weft.serve.access")
LOGGER = logging.getLogger("weft.serve")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


BEARER = "weft.bearer."
"""How a WebSocket, to which a browser cannot give headers, names its token: as a subprotocol of this beginning."""

SECURITY: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Headers of every answer that does not have them already."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

Answered = Callable[[str, int, float | None], None]


class RequestGuard:
    """Lets requests through to an application.

    Args:
        hosts: names of this server next to those of the loopback interface; `Host` has one of them, with any port.
        answered: hears of every answer: method, status, seconds (None for streams).
    """

    def __init__(
        self, app: ASGIApp, callers: Callers, hosts: frozenset[str] = frozenset(), answered: Answered | None = None
    ) -> None:
        self.app = app
        self.callers = callers
        self.hosts = LOOPBACK | {host.lower() for host in hosts}
        self.answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, began = Headers(scope=scope), time.perf_counter()
        given = headers.get("x-request-id", "")
        id = given if _ID.match(given) else secrets.token_hex(8)
        seen: dict[str, object] = {"status": 0, "stream": False}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableHeaders(scope=message)
                for name, text in SECURITY.items():
                    fields.setdefault(name, text)
                fields.setdefault("cache-control", "no-store")
                fields["x-request-id"] = id
                seen["status"] = message["status"]
                seen["stream"] = fields.get("content-type", "").startswith("text/event-stream")
            await send(message)

        caller: Caller | None = None
        try:
            caller = self._admitted(scope, headers)
            scope.setdefault("state", {}).update(caller=caller, request_id=id)
            await self.app(scope, receive, answer)
        except Refused as refused:
            await refused.answer()(scope, receive, answer)
        except asyncio.CancelledError:  # the server stops, and this has not ended in time
            if not seen["status"]:
                await retry_later(503, "stopping", "the server stops", 5.0).answer()(scope, receive, answer)
        except Exception:  # the application has answered with 500 already, or nobody is there any more
            LOGGER.exception("a request failed", extra={"request": id})
            if not seen["status"]:
                await Refused(500, "internal", "the server failed; its log says more").answer()(scope, receive, answer)
        finally:
            self._report(scope, id, caller, seen, time.perf_counter() - began)

    def _report(self, scope: Scope, id: str, caller: Caller | None, seen: Mapping[str, object], seconds: float) -> None:
        status = seen["status"]
        assert isinstance(status, int)
        if self.answered:
            self.answered(scope["method"], status, None if seen["stream"] else seconds)
        record = {
            "request": id,
            "caller": caller.name if caller else None,
            "method": scope["method"],
            "path": scope["path"],  # no query: it is the caller's
            "status": status,
            "seconds": round(seconds, 4),
        }
        ACCESS.info(json.dumps(record))

    def _admitted(self, scope: Scope, headers: Headers) -> Caller | None:
        """The caller of a request; None for what needs none.

        Raises:
            Refused: where it must not be answered.
        """
        self._check_source(scope, headers)
        caller = self.callers.of(headers.get("authorization"))
        if caller is None and _needs_caller(scope["path"]):
            given = headers.get("authorization") is not None
            raise Refused(
                401,
                "no-token",
                "your token is not known here" if given else "this server wants a token",
                "send it as Authorization: Bearer TOKEN",
                {"www-authenticate": "Bearer"},
            )
        return caller

    def _check_source(self, scope: Scope, headers: Headers) -> None:
        """Refuse what is not addressed to this server, and what another site sends.

        Raises:
            Refused: 421 or 403.
        """
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _host(hosts[0]) not in self.hosts:
            hint = "names of this server are given by --host-name NAME"
            raise Refused(421, "foreign-host", "the request is addressed to another host", hint)
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != hosts[0].lower():
            raise Refused(403, "foreign-origin", "the request is sent by a page of another site")
        site = headers.get("sec-fetch-site", "none")
        visit = headers.get("sec-fetch-mode") == "navigate" and not _needs_caller(scope["path"])
        if site not in ("none", "same-origin") and not visit:
            raise Refused(403, "foreign-origin", "the request is sent by a page of another site")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check_source(scope, headers)
        except Refused:
            await _close(receive, send)
            return
        token = next((one[len(BEARER) :] for one in scope.get("subprotocols", ()) if one.startswith(BEARER)), None)
        authorization = headers.get("authorization") or (None if token is None else f"Bearer {token}")
        caller = self.callers.of(authorization)
        if caller is None:
            await _close(receive, send)
            return
        scope.setdefault("state", {}).update(caller=caller, request_id=secrets.token_hex(8))
        await self.app(scope, receive, send)


async def _close(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


def _needs_caller(path: str) -> bool:
    return path.startswith("/api/") or path == "/metrics"


def _host(text: str) -> str:
    """The name in a `Host` header, without its port."""
    try:
        return (urlsplit(f"//{text}").hostname or "").lower()
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    """Host and port of an origin, as `Host` has them; empty where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
