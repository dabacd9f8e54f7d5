"""Runs that workers do for a server: what callers get is what they get where the server runs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.leased.conftest import Work
from tests.engine.serve.conftest import READ, SLOW, SUM, until
from weft.engine import Graph, NodeError, events
from weft.engine.client import Remote
from weft.engine.graph.document import built
from weft.engine.serve.service import Service


def graph(plain: dict[str, object], **parameters: object) -> Graph:
    return built(plain).replace(parameters)


def test_a_run_of_a_worker_gives_what_one_of_the_server_gives(
    remote: Remote, work: Work, service: Service, tmp_path: Path
) -> None:
    worker = work()
    heard: list[events.Event] = []
    result = remote.run(graph(SUM, first=2), listener=heard.append)
    assert result.status == "done" and result.outputs == {"total": 5}
    assert [path.name for path in result.paths] == ["dot_0001.png"]
    run = service.queue.listed()[0]
    assert run.plain()["worker"] == "local/one" and run.attempt == 1
    kinds = [event["event"] for _, event in service.logs.of(run.id).after(0)]
    assert kinds[:3] == ["queued", "plan", "run_started"] and kinds[-2:] == ["run_finished", "ended"]
    assert [type(one) for one in heard if isinstance(one, events.ArtifactWritten)] and kinds.count("artifact") == 1
    assert str(tmp_path / "worker_one") not in str(service.logs.of(run.id).after(0))
    with pytest.raises(NodeError):
        remote.run(graph(DIVIDE))
    worker.stop()
    assert not [*(tmp_path / "worker_one" / "runs").iterdir()] and len(worker.lines) == 2


DIVIDE: dict[str, object] = {
    "weft": 1,
    "nodes": {"d": {"type": "Divide", "inputs": {"a": 1, "b": 0}}},
    "outputs": {"x": {"link": "d"}},
}


def test_a_run_is_cancelled_and_its_previews_come(remote: Remote, work: Work) -> None:
    work()
    submission = remote.submit(graph(SLOW, steps=5000), previews=True)
    shown = next(one for one in submission if isinstance(one, events.NodeProgress) and one.preview)
    assert shown.preview == b"a picture"
    submission.cancel()
    assert submission.result(20).status == "cancelled"


def test_files_that_a_graph_names_come_from_the_server_and_no_others(
    remote: Remote, work: Work, service: Service, tmp_path: Path
) -> None:
    work()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    named = replace(graph(READ, path="picture.png"), path=tmp_path / "here" / "graph.json")
    assert remote.run(named).outputs == {"byte": 0x89}
    assert remote.call("more/read", path="read.json").outputs == {"byte": ord("{")}
    assert {path.suffix for path in (tmp_path / "worker_one" / "inputs").iterdir()} == {".png", ".json"}


def test_what_a_worker_lacks_another_one_does(remote: Remote, work: Work, service: Service, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text((tmp_path / "nodes.py").read_text() + "\n# changed\n")
    other = work("two", nodes="other.py")
    submission = remote.submit(graph(SUM, first=1))
    until(lambda: service.queue.listed() and service.queue.declined(service.queue.listed()[0].id))
    assert "Add" in service.queue.declined(service.queue.listed()[0].id)["local/two"]
    work()
    assert submission.result(20).status == "done" and not other.lines


def test_a_worker_that_stops_gives_back_what_it_has(remote: Remote, work: Work, service: Service) -> None:
    first = work()
    submission = remote.submit(graph(SLOW, steps=50, seed=3))
    until(lambda: any(run.worker for run in service.queue.listed()))
    first.stop()
    assert first.lines[-1].partition("(")[0].rstrip().endswith("given back")
    work("two")
    assert submission.result(20).outputs == {"seed": 3}
    assert service.queue.listed()[0].attempt == 1


def test_a_worker_has_several_runs_at_a_time(remote: Remote, work: Work, service: Service) -> None:
    work(at_once=2)
    submissions = [remote.submit(graph(SLOW, steps=5000, seed=seed)) for seed in (1, 2)]
    until(lambda: service.leases.workers() and len(service.leases.workers()[0]["runs"]) == 2)
    for one in submissions:
        one.cancel()
    assert [one.result(20).status for one in submissions] == ["cancelled"] * 2
