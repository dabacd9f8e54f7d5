"""The jobs that a server shows, and what an administrator does with them."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.serve.answers import Refused, json_answer, not_found
from weft.engine.serve.job_folders import (
    change,
    item_record,
    job_record,
    logs_of,
    progress_record,
    published_file,
    published_item,
    published_items,
)
from weft.engine.serve.route_tools import caller_of, query, service_of, whole


async def list_jobs(request: Request) -> Response:
    """Every job with its progress."""
    caller_of(request, "results")
    jobs = service_of(request).jobs
    found = await run_sync(lambda: [progress_record(name, folder) for name, folder in jobs.all().items()])
    return json_answer({"jobs": found})


async def show_job(request: Request) -> Response:
    """A job: its progress, and its items, or some: `?state=&from=0&limit=`; `listed` of them there are."""
    name, folder = _job(request)
    begin, limit = _part(request)
    state = query(request, "state") or ""

    return json_answer(await run_sync(job_record, name, folder, state, begin, limit))


async def show_item(request: Request) -> Response:
    """An item of a job, and what it has published."""
    name, folder = _job(request)
    text = request.path_params["number"]

    def shown() -> dict[str, Any] | None:
        item = item_record(folder, int(text))
        published = published_item(folder, text)
        if item is None:
            return None
        title = progress_record(name, folder).get("title", "")
        return {"title": title, "item": item, "published": published and published.plain(name)}

    found = await run_sync(shown) if text.isdecimal() and len(text) < 10 else None
    if found is None:
        raise not_found("item")
    return json_answer(found)


async def show_published(request: Request) -> Response:
    """What a job has published, with outputs such as scores, and files: all, or some (`?from=0&limit=`)."""
    name, folder = _job(request)
    begin, limit = _part(request)

    def shown() -> dict[str, Any]:
        items = published_items(folder)
        part = items[begin : None if limit is None else begin + limit]
        return {"items": [item.plain(name) for item in part], "listed": len(items)}

    return json_answer(await run_sync(shown))


def _part(request: Request) -> tuple[int, int | None]:
    """From which item on, and how many of them; None is all."""
    limit = whole(request, "limit", 0, 0, 10**6)
    return whole(request, "from", 0, 0, 10**9), limit or None


async def show_logs(request: Request) -> Response:
    """The logs of the attempts of an item."""
    _, folder = _job(request)
    text = request.path_params["number"]
    logs = await run_sync(logs_of, folder, int(text)) if text.isdecimal() and len(text) < 10 else None
    if logs is None:
        raise not_found("item")
    return json_answer({"attempts": logs})


async def fetch_published(request: Request) -> Response:
    """A published file."""
    _, folder = _job(request)
    path = await run_sync(published_file, folder, request.path_params["name"])
    if path is None:
        raise not_found("file")
    headers = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, no-cache"}
    return FileResponse(path, headers=headers, media_type=mimetypes.guess_type(path.name)[0])


async def change_job(request: Request) -> Response:
    """Pause, resume or cancel a job, or try its failed items again; how it stands then."""
    caller_of(request, "admin")
    name, folder = _job(request)
    if not ledger_path(folder).is_file():
        raise Refused(409, "no-ledger", "the job was exported: what runs it knows how it goes")
    await run_sync(change, folder, request.path_params["action"])
    return json_answer(await run_sync(progress_record, name, folder))


def _job(request: Request) -> tuple[str, Path]:
    """The job that an address names.

    Raises:
        Refused: 404 where there is none.
    """
    caller_of(request, "results")
    name = request.path_params["job"]
    folder = service_of(request).jobs.find(name)
    if folder is None:
        raise not_found("job")
    return name, folder
