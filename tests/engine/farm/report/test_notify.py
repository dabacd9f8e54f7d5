"""Who is notified of how a job goes, by command and by web address."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.engine.farm.conftest import Place
from weft.engine import GraphError
from weft.engine.farm.report.job_progress import JobProgress, progress
from weft.engine.farm.report.notify import MAX_FAILURES, Notifier, message, shown
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.worker import Worker

Hook = tuple[str, list[Any]]


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web address, and what was posted there."""
    posted: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(404 if "missing" in self.path else 204)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
        server.shutdown()


def ended(place: Place, *names: str, prompts: tuple[str, ...] = ("a", "fail")) -> list[str]:
    """Work at a job and tell these of its end; the complaints."""
    submit(place.job({"prompt": [*prompts]}, retries=0, name="{prompt}", title="Two"), place.out, place.setup)
    Worker(place.out).work()
    ledger = Ledger(ledger_path(place.out))
    complaints: list[str] = []
    Notifier(names, place.out, complaints.append).end(progress(ledger))
    ledger.close()
    return complaints


def keeping(place: Place) -> str:
    """A command that keeps what it hears."""
    code = f"import sys; open({str(place.folder / 'heard')!r}, 'a').write(sys.stdin.read() + chr(10))"
    (place.folder / "keep.py").write_text(code)
    return f"'{sys.executable}' '{place.folder / 'keep.py'}'"


def heard(place: Place) -> list[Any]:
    """What the command kept."""
    return [json.loads(line) for line in (place.folder / "heard").read_text().splitlines()]


def test_an_address_is_posted_to(place: Place, hook: Hook) -> None:
    address, posted = hook
    assert ended(place, address) == []
    assert posted[0]["event"] == "job_failed" and posted[0]["counts"] == {"done": 1, "failed": 1}
    assert "this text fails" in posted[0]["failures"][0]["error"] and posted[0]["text"].startswith("Two: finished")


def test_a_command_gets_it_on_its_input(place: Place) -> None:
    assert ended(place, keeping(place), prompts=("a",)) == []
    assert [one["event"] for one in heard(place)] == ["job_finished"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no-such-command --at all", "No such file"),
        (f"'{sys.executable}' -c 'raise SystemExit(3)'", "exit code 3"),
        ("'unclosed", "is not well formed"),
        ("http://127.0.0.1:1/secret", "refused"),
        ("http://[1/secret", "a web address"),
        ("http://127.0.0.1:1/sec ret", "is not well formed"),
    ],
)
def test_who_cannot_be_reached_is_reported_and_secrets_are_not(place: Place, name: str, why: str) -> None:
    (complaint,) = ended(place, name)
    assert why in complaint and "secret" not in complaint and "sec ret" not in complaint


def test_an_answer_that_refuses_is_reported(place: Place, hook: Hook) -> None:
    assert "404" in ended(place, f"{hook[0]}/missing")[0]


def test_one_that_cannot_be_reached_keeps_no_other_from_it(place: Place, hook: Hook) -> None:
    assert len(ended(place, "no-such-command", hook[0])) == 1 and len(hook[1]) == 1


def test_a_message_stays_small(tmp_path: Path) -> None:
    failures = tuple((number, f"{number}", "it failed") for number in range(1_000))
    sent = message(
        "job_failed", tmp_path, JobProgress("", "finished", "", {"failed": 1_000}, 1_000, 0, None, failures, {})
    )
    assert len(sent["failures"]) == MAX_FAILURES and sent["failed"] == 1_000


def test_a_run_tells_of_the_first_failure_and_of_the_end(place: Place) -> None:
    place.job({"prompt": ["a", "fail", "b"], "sample.seconds": [0.3]}, retries=0)
    assert place.run("--notify", keeping(place)) == 1
    assert [one["event"] for one in heard(place)] == ["job_failing", "job_failed"]


def test_a_run_whose_listener_is_missing_ends_as_it_would(place: Place) -> None:
    place.job({"prompt": ["a"]})
    assert place.run("--notify", "no-such-command") == 0
    assert "could not tell `no-such-command`" in (place.folder / "log").read_text()


def test_the_settings_name_one_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_NOTIFY", keeping(place))
    place.job({"prompt": ["a"]})
    assert place.run("--notify", keeping(place)) == 0
    assert [one["event"] for one in heard(place)] == ["job_finished", "job_finished"]


def test_a_job_file_names_nobody(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        place.job({"prompt": ["a"]}, notify="rm -r /")
    assert [problem.code for problem in caught.value.problems] == ["unknown-key"]


def test_an_address_is_shown_by_its_host() -> None:
    assert shown("https://user:word@example.org/secret") == "example.org" and shown("mail me") == "mail me"
