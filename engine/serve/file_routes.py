"""Files that callers send for graphs to name."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from weft.engine.errors import InputError
from weft.engine.serve.answers import Refused, json_answer, not_found, refusal, retry_later, unwritable
from weft.engine.serve.request_bodies import check_plain, chunks_of
from weft.engine.serve.route_tools import caller_of, service_of, unchanged
from weft.engine.serve.uploads import NoRoom, TooLarge, WrongDigest, media_type_of

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):\Z")


async def send_file(request: Request) -> Response:
    """Keep a file; its `name` is what a graph gives as a path. `Content-Digest: sha-256=:...:` is compared."""
    caller_of(request, "run")
    uploads = service_of(request).uploads
    check_plain(request)
    digest = _digest(request.headers.get("content-digest", ""))
    try:
        kept = await uploads.receive(chunks_of(request, uploads.most_bytes), digest)
    except TooLarge:
        raise Refused(413, "too-large", f"a file may have {uploads.most_bytes:,} bytes") from None
    except NoRoom:
        message = f"runs need all the {uploads.budget:,} bytes that files may have"
        raise retry_later(503, "no-room", message, 30.0) from None
    except WrongDigest:
        raise Refused(422, "wrong-digest", "the file is not what Content-Digest says", "send it again") from None
    except InputError as fault:
        raise refusal(fault) from None
    except OSError as fault:
        raise unwritable(fault) from None
    return json_answer({**asdict(kept), "url": f"/api/files/{kept.name}"}, 201, {"location": f"/api/files/{kept.name}"})


def _digest(header: str) -> str:
    """The SHA-256 that a sender gives, in hexadecimal; empty where they give none.

    Raises:
        Refused: where the header is of another form.
    """
    if not header:
        return ""
    if found := _DIGEST.match(header):
        return base64.b64decode(found[1]).hex()
    raise Refused(400, "malformed-digest", "Content-Digest is not sha-256=:BASE64:")


async def fetch_upload(request: Request) -> Response:
    """A file that was sent, by its name: whoever knows it has the content."""
    caller_of(request, "run")
    name = request.path_params["name"]
    path = await run_sync(service_of(request).uploads.find, name)
    if path is None:
        raise not_found("file")
    etag = f'"{name.partition(".")[0]}"'
    headers = {"content-security-policy": "default-src 'none'; sandbox", "etag": etag}
    if unchanged(request, etag):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=media_type_of(name))
