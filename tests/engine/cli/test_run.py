"""`weft run`: exit codes, what is written where, settings, and pictures that run again."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.engine.cli.conftest import SUM, Ended, Weft


def ran_and_cached(ended: Ended) -> tuple[int, int]:
    """How many nodes of a run with `--json` ran and were cached."""
    last = ended.lines()[-1]
    return last["ran"], last["cached"]


NODES_OF_SUM = cast(dict[str, Any], SUM["nodes"])


def test_a_run_writes_its_pictures_and_prints_their_paths(weft: Weft, folder: Path) -> None:
    ended = weft("run", "sum.json")
    assert (ended.code, ended.out) == (0, "total = 5\noutput/dot_0001.png\n")
    assert "done     sum                  Add" in ended.err and (folder / "output/dot_0001.png").is_file()


def test_a_second_run_is_served_from_the_store(weft: Weft) -> None:
    weft("run", "sum.json")
    ended = weft("run", "sum.json")
    assert ran_and_cached(weft("run", "sum.json", "--json")) == (0, 2)
    assert ended.out.endswith("output/dot_0001.png\n")


def test_without_a_cache_everything_runs(weft: Weft, folder: Path) -> None:
    for _ in range(2):
        assert ran_and_cached(weft("run", "sum.json", "--no-cache", "--json")) == (2, 0)
    assert not (folder / "store").exists()


def test_json_has_the_events_alone_on_stdout(weft: Weft) -> None:
    ended = weft("run", "sum.json", "--json")
    names = [line["event"] for line in ended.lines()]
    assert names[0] == "run_started" and names[-1] == "run_finished" and names.count("node_finished") == 2
    assert [line for line in ended.lines() if line["event"] == "artifact"] == [
        {
            "event": "artifact",
            "node": "dot",
            "type": "Dot",
            "path": "output/dot_0001.png",
            "media_type": "image/png",
            "new": True,
        }
    ]


def test_what_a_node_prints_is_not_among_the_json_lines(weft: Weft, folder: Path) -> None:
    (folder / "loud.py").write_text(
        "from weft.engine import node\n\n\n@node(lane='io')\n"
        "def Loud(number: int) -> int:\n    print('number', number)\n    return number\n"
    )
    graph = {"weft": 1, "nodes": {"l": {"type": "Loud", "inputs": {"number": 5}}}, "outputs": {"o": {"link": "l"}}}
    (folder / "loud.json").write_text(json.dumps(graph))
    ended = weft("run", "loud.json", "--nodes", "loud.py", "--json", "--no-cache")
    assert ended.lines()[-1]["event"] == "run_finished" and "number 5" in ended.err
    assert "number 5" in weft("run", "loud.json", "--nodes", "loud.py", "--no-cache").out


def test_json_has_the_outputs_of_the_graph(weft: Weft) -> None:
    lines = weft("run", "sum.json", "--json").lines()
    assert [line for line in lines if line["event"] == "output"] == [{"event": "output", "name": "total", "value": 5}]


@pytest.mark.parametrize("setting", ["first=40", "sum.a=40"])
def test_settings_are_parameters_or_inputs(weft: Weft, setting: str) -> None:
    assert weft("run", "sum.json", "--set", setting).out.startswith("total = 43\n")


def test_text_is_set_as_it_stands(weft: Weft, folder: Path) -> None:
    graph = {"weft": 1, "nodes": {"a": {"type": "Shout"}}, "outputs": {"o": {"link": "a"}}}
    (folder / "text.json").write_text(json.dumps(graph))
    assert weft("run", "text.json", "--set", "a.text=3 = three").out == "o = '3 = THREE'\n"


@pytest.mark.parametrize(
    ("value", "shouted"), [('["a", "b"]', "['A', 'B']"), ("[a, b", "['[A, B', '[A, B']"), ('"a"', """['"A"', '"A"']""")]
)
def test_a_repeated_subgraph_takes_a_list_of_texts(weft: Weft, folder: Path, value: str, shouted: str) -> None:
    shout = {
        "parameters": {"text": {"sets": ["shout.text"]}, "times": {"sets": ["times.a"]}},
        "nodes": {"shout": {"type": "Shout"}, "times": {"type": "Add", "inputs": {"b": 1}}},
        "outputs": {"shout": {"link": "shout"}, "times": {"link": "times"}},
    }
    node = {"type": "map:shout", "inputs": {"text": "x", "times": [1, 2]}}
    graph = {"weft": 1, "nodes": {"a": node}, "graphs": {"shout": shout}, "outputs": {"o": {"link": "a.shout"}}}
    (folder / "texts.json").write_text(json.dumps(graph))
    assert weft("run", "texts.json", "--set", f"a.text={value}").out == f"o = {shouted}\n"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("frist=1", "`first`"),
        ("smu.a=1", "`sum`"),
        ("sum.c=1", "`c`"),
        ("sum.a=x", '"x"'),
        ("sum.b=101", "100"),
        ("first", "NAME=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused(weft: Weft, setting: str, words: str) -> None:
    ended = weft("run", "sum.json", "--set", setting)
    assert ended.code == 2 and words in ended.err and ended.out == ""
    assert "sum.json" in ended.err and "Traceback" not in ended.err


def test_only_runs_what_is_asked_for(weft: Weft) -> None:
    ended = weft("run", "sum.json", "--only", "sum", "--json")
    assert [line["node"] for line in ended.lines() if line["event"] == "node_finished"] == ["sum"]
    wrong = weft("run", "sum.json", "--only", "smu")
    assert wrong.code == 2 and "`sum`" in wrong.err


def test_a_graph_may_come_from_stdin(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(SUM).encode())))
    assert weft("run", "-").out.startswith("total = 5\n")


def test_a_picture_runs_its_graph_again_from_the_store(weft: Weft) -> None:
    weft("run", "sum.json", "--set", "first=9")
    ended = weft("run", "output/dot_0001.png")
    assert ended.code == 0 and "0 ran" in ended.err and ended.out == "total = 12\noutput/dot_0001.png\n"


def test_a_picture_is_served_without_the_files_that_its_graph_names(weft: Weft, folder: Path) -> None:
    (folder / "measure.py").write_text(
        "from typing import Annotated\n\nfrom weft.engine import INJECTED, Context, InputFile, node\n\n\n@node\n"
        "def Measure(path: Annotated[str, InputFile()], *, context: Context = INJECTED) -> int:\n"
        '    """The size of a file."""\n'
        "    return context.found(path).resolved.files[0].stat().st_size\n"
    )
    graph = SUM | {
        "nodes": {**NODES_OF_SUM, "sum": {"type": "Measure", "inputs": {"path": "text.txt"}}},
        "parameters": {},
    }
    (folder / "graph.json").write_text(json.dumps(graph))
    (folder / "text.txt").write_text("four")
    path = weft("run", "graph.json", "--nodes", "measure.py").out.splitlines()[-1]
    (folder / "text.txt").unlink()
    assert ran_and_cached(weft("run", path, "--nodes", "measure.py", "--json")) == (0, 2)
    ended = weft("run", path, "--nodes", "measure.py", "--no-cache")
    assert ended.code == 1 and "`text.txt`" in ended.err


def test_a_picture_without_a_graph_is_refused(weft: Weft) -> None:
    weft("run", "sum.json", "--no-metadata")
    ended = weft("run", "output/dot_0001.png")
    assert ended.code == 2 and "error: output/dot_0001.png" in ended.err


def test_pictures_go_where_they_are_sent_and_replace_nothing(weft: Weft) -> None:
    assert weft("run", "sum.json", "--out", "elsewhere").out.endswith("elsewhere/dot_0001.png\n")
    assert weft("run", "sum.json", "--out", "elsewhere", "--set", "first=7").out.endswith("elsewhere/dot_0002.png\n")


def test_a_fault_of_a_node_is_reported_as_its_own(weft: Weft, folder: Path) -> None:
    nodes = {
        "bad": {"type": "Divide", "inputs": {"a": 1, "b": 0}},
        "below": {"type": "Add", "inputs": {"a": {"link": "bad"}}},
        "good": {"type": "Add", "inputs": {"a": 1}},
    }
    outputs = {"below": {"link": "below"}, "good": {"link": "good"}}
    (folder / "bad.json").write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": outputs}))
    ended = weft("run", "bad.json")
    assert ended.code == 1 and "ZeroDivisionError" in ended.err and "Traceback" not in ended.err
    assert "FAILED   bad" in ended.err and "blocked  below" in ended.err and ended.out == "good = 2\n"
    assert "Traceback" in weft("run", "bad.json", "--debug").err


@pytest.mark.parametrize("text", ["not json", "[]", '{"weft": 2, "nodes": {}}'])
def test_what_is_no_graph_is_refused(weft: Weft, folder: Path, text: str) -> None:
    (folder / "wrong.json").write_text(text)
    ended = weft("run", "wrong.json", "--json")
    assert ended.code == 2 and "Traceback" not in ended.err
    assert [(line["event"], line["file"]) for line in ended.lines()] == [("problem", "wrong.json")]


def test_a_missing_file_is_refused(weft: Weft) -> None:
    ended = weft("run", "smu.json")
    assert ended.code == 2 and "`sum.json`" in ended.err


def test_a_node_type_in_fifteen_lines(weft: Weft, folder: Path) -> None:
    lines = [
        "from weft.engine import node",
        "",
        "",
        "@node",
        "def Half(of: int) -> float:",
        '    """Halve a number."""',
    ]
    (folder / "half.py").write_text("\n".join([*lines, "    return of / 2", ""]))
    graph = {"weft": 1, "nodes": {"h": {"type": "Half", "inputs": {"of": 5}}}, "outputs": {"o": {"link": "h"}}}
    (folder / "half.json").write_text(json.dumps(graph))
    assert weft("run", "half.json", "--nodes", "half.py").out == "o = 2.5\n"
    assert ran_and_cached(weft("run", "half.json", "--nodes", "half.py", "--json")) == (0, 1)
    assert "Half" in weft("nodes", "--nodes", "half.py").out


def test_an_interrupted_run_ends_with_130(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import time\n\nfrom weft.engine import INJECTED, Context, node\n\n\n@node\n"
        "def Sleep(seconds: int, context: Context = INJECTED) -> int:\n"
        '    """Sleep, a little at a time."""\n'
        "    for step in range(seconds * 100):\n        time.sleep(0.01)\n"
        "        context.progress(step, seconds * 100)\n    return seconds\n"
    )
    graph = {"weft": 1, "nodes": {"a": {"type": "Sleep", "inputs": {"seconds": 60}}}, "outputs": {"o": {"link": "a"}}}
    (folder / "slow.json").write_text(json.dumps(graph))
    code = "from weft.engine.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "slow.json", "--nodes", "slow.py", "--device", "cpu", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["event"] != "node_progress":
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and json.loads(out.splitlines()[-1])["status"] == "cancelled"
    assert "Traceback" not in err


def test_parameters_are_listed_and_nothing_runs(weft: Weft, folder: Path) -> None:
    ended = weft("run", "sum.json", "--help-parameters")
    assert ended.code == 0 and ended.out.splitlines()[0].split() == ["parameter", "type", "bounds", "default"]
    assert ended.out.splitlines()[1].split()[:2] == ["first", "int"] and not (folder / "output").exists()


def clock_graph(folder: Path, body: str) -> None:
    """A graph with one node of its own, `body`."""
    (folder / "own.py").write_text(
        "import time\n\nfrom weft.engine import node\n\n\n@node\n"
        f'def Own(items: list[int]) -> int:\n    """A number."""\n    {body}\n'
    )
    nodes = {
        "all": {"type": "Collect", "inputs": {"items": [1, 2]}},
        "own": {"type": "Own", "inputs": {"items": {"link": "all"}}},
    }
    (folder / "own.json").write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"o": {"link": "own"}}}))


def test_an_audit_names_nodes_that_are_not_deterministic(weft: Weft, folder: Path) -> None:
    clock_graph(folder, "return time.perf_counter_ns()")
    assert weft("run", "own.json", "--nodes", "own.py").code == 0
    ended = weft("run", "own.json", "--nodes", "own.py", "--audit", "1")
    assert ended.code == 1 and "not deterministic: own" in ended.err and "DIFFERS  own" in ended.err
    assert weft("run", "sum.json").code == weft("run", "sum.json", "--audit", "1").code == 0


def test_results_come_from_a_shared_store(weft: Weft, folder: Path) -> None:
    clock_graph(folder, "time.sleep(0.15)\n    return len(items)")
    shared = ("own.json", "--nodes", "own.py", "--shared-store", str(folder / "shared"))
    assert weft("run", *shared, "--store", "one").code == 0
    ended = weft("run", *shared, "--store", "other")
    assert ended.code == 0 and "cached   own" in ended.err


ENDING = """
import sys
from weft.engine import node

@node
def Ends(code: int) -> int:
    sys.exit(code)
"""


@pytest.mark.parametrize("code", [0, 2, 130])
def test_a_node_that_ends_its_process_has_failed(weft: Weft, folder: Path, code: int) -> None:
    (folder / "ending.py").write_text(ENDING)
    nodes = {"ends": {"type": "Ends", "inputs": {"code": code}}, "sum": {"type": "Add", "inputs": {"a": 1}}}
    outputs = {"ends": {"link": "ends"}, "total": {"link": "sum"}}
    (folder / "ending.json").write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": outputs}))
    ended = weft("run", "ending.json", "--nodes", "ending.py", "--json")
    found = {line["event"]: line for line in ended.lines()}
    assert ended.code == 1 and found["node_failed"]["node"] == "ends"
    assert found["output"]["value"] == 2 and found["run_finished"]["status"] == "failed"


def test_a_node_file_that_ends_the_process_is_a_wrong_call(weft: Weft, folder: Path) -> None:
    (folder / "ending.py").write_text("import asyncio\nraise asyncio.CancelledError\n")
    assert [weft(verb, "sum.json", "--nodes", "ending.py").code for verb in ("run", "check", "plan")] == [2, 2, 2]


@pytest.mark.parametrize("verb", ["run", "farm"])
def test_an_output_folder_that_cannot_be_written_is_a_wrong_call(verb: str, weft: Weft, folder: Path) -> None:
    (folder / "taken").write_text("a file")
    (folder / "job.json").write_text(json.dumps({"weft_job": 1, "graph": "sum.json", "sweep": {"first": [1, 2]}}))
    call = ("farm", "run", "job.json") if verb == "farm" else ("run", "sum.json")
    ended = weft(*call, "--out", "taken", "--json")
    assert ended.code == 2 and ended.lines()[-1]["code"] == "unwritable-file"
    assert (folder / "taken").read_text() == "a file"
