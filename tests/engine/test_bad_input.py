"""Bad graph files: each is refused with the file, the node, the input and the hint; every problem comes at once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest

from weft.engine import Engine, Graph, GraphError, Problem, Range, node, value
from weft.engine.error_codes import CODES


@value
@dataclass(frozen=True)
class Pixels:
    """A picture, as far as these tests go."""

    count: int


@value
@dataclass(frozen=True)
class Hidden:
    """A latent, as far as these tests go."""

    count: int


class Both(NamedTuple):
    """Two outputs."""

    pixels: Pixels
    hidden: Hidden


@node
def Number(
    whole: Annotated[int, Range(0, 100)] = 0,
    real: float = 0.0,
    text: str = "",
    flag: bool = False,
    mode: Literal["nearest", "linear"] = "nearest",
    anything: Any = None,
    several: list[int] | None = None,
) -> int:
    """Take one literal of each kind."""
    return whole


@node
def Make(count: int) -> Both:
    """Make a picture and a latent."""
    return Both(Pixels(count), Hidden(count))


@node
def Decode(hidden: Hidden, scale: float = 1.0) -> Pixels:
    """Turn a latent into a picture."""
    return Pixels(hidden.count)


TYPES: dict[str, Any] = {"Number": Number, "Make": Make, "Decode": Decode}


def problems_of(engine: Engine, path: Path) -> Sequence[Problem]:
    """Every problem of a graph file, whether reading or checking finds it."""
    try:
        return engine.check(replace(Graph.load(path), types=TYPES)).problems
    except GraphError as fault:
        return fault.problems


def document(bad: object, **parts: Any) -> str:
    """A graph file with a good node, `make`, and a node `bad`."""
    nodes = {"make": {"type": "Make", "inputs": {"count": 1}}, "bad": bad}
    return json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "bad"}}, **parts})


def number(**inputs: Any) -> str:
    """A graph file whose node `bad` is a Number with these inputs."""
    return document({"type": "Number", "inputs": inputs})


def decode(link: str) -> str:
    """A graph file whose node `bad` decodes what is linked."""
    return document({"type": "Decode", "inputs": {"hidden": {"link": link}}})


def subgraphs(**graphs: Any) -> str:
    """A graph file whose node `bad` is the subgraph `one`."""
    return document({"type": "graph:one"}, graphs=graphs)


def inner(type: str) -> dict[str, Any]:
    """A subgraph with one node of a type."""
    return {"nodes": {"inside": {"type": type}}, "outputs": {"out": {"link": "inside"}}}


def raw(whole: str) -> str:
    """A graph file with a number that JSON's writers refuse."""
    return number(whole="@").replace('"@"', whole)


FILES: dict[str, tuple[str | bytes, str, str, str]] = {
    "empty": ("", "not-json", "", "1"),
    "not JSON": ('{"weft": 1,', "not-json", "", "1"),
    "trailing": (number() + "x", "not-json", "", ""),
    "not UTF-8": (b'{"weft": 1, "title": "\xff"}', "not-json", "", "22"),
    "UTF-16": (number().encode("utf-16"), "not-json", "", ""),
    "half a pair": (number(text="@").replace("@", "\\ud800"), "not-json", "", "\\ud800"),
    "a list": ("[1, 2]", "not-a-graph", "", ""),
    "null": ("null", "not-a-graph", "", ""),
    "no graph": ('{"a": 1}', "not-a-graph", "", "`weft`"),
    "no nodes": ('{"weft": 1}', "missing-key", "", "`nodes`"),
    "nodes is a list": ('{"weft": 1, "nodes": []}', "malformed-value", "nodes", ""),
    "version": ('{"weft": 2, "nodes": {}}', "unsupported-version", "", "2"),
    "version text": ('{"weft": "1", "nodes": {}}', "unsupported-version", "", '"1"'),
    "version true": ('{"weft": true, "nodes": {}}', "unsupported-version", "", ""),
    "deep list": ("[" * 50_000 + "]" * 50_000, "too-deep", "", "200"),
    "deep object": ('{"a":' * 50_000 + "1" + "}" * 50_000, "too-deep", "", "200"),
    "201 deep": (raw("[" * 201 + "]" * 201), "too-deep", "", "200"),
    "ComfyUI prompt": ('{"3": {"class_type": "Unheard", "inputs": {}}}', "unmapped-node", "3", "Unheard"),
    "ComfyUI editor": ('{"nodes": [], "links": [], "version": 0.4}', "foreign-graph", "", ""),
    "no nodes at all": ('{"weft": 1, "nodes": {}}', "nothing-to-run", "", ""),
    "no outputs": (number().replace('"outputs": {"out": {"link": "bad"}}', '"title": ""'), "nothing-to-run", "", ""),
    "unknown key": (document({"type": "Number"}, titel="x"), "unknown-key", "", "`titel` `title`"),
    "unknown node key": (document({"type": "Number", "input": {}}), "unknown-key", "bad", "`input` `inputs`"),
    "no type": (document({"inputs": {}}), "missing-key", "bad", "`type`"),
    "type is a number": (document({"type": 5}), "malformed-value", "bad.type", "5"),
    "node is a list": (document([]), "malformed-value", "bad", ""),
    "title is a number": (document({"type": "Number"}, title=5), "malformed-value", "title", "5"),
    "unknown type": (document({"type": "Decod"}), "unknown-node-type", "bad", "`Decod` `Decode`"),
    "unknown input": (number(hole=1), "unknown-input", "bad.hole", "`hole` `whole`"),
    "missing input": (
        document({"type": "Make"}, outputs={"out": {"link": "bad.pixels"}}),
        "missing-input",
        "bad.count",
        "",
    ),
    "missing link": (document({"type": "Decode"}), "missing-input", "bad.hidden", ""),
    "text for an int": (number(whole="20"), "wrong-type", "bad.whole", '"20"'),
    "real for an int": (number(whole=3.9), "wrong-type", "bad.whole", "3.9"),
    "5.0 for an int": (number(whole=5.0), "wrong-type", "bad.whole", "5.0"),
    "true for an int": (number(whole=True), "wrong-type", "bad.whole", ""),
    "null for an int": (number(whole=None), "wrong-type", "bad.whole", ""),
    "list for an int": (number(whole=[1]), "wrong-type", "bad.whole", ""),
    "true for a float": (number(real=True), "wrong-type", "bad.real", ""),
    "text for a float": (number(real="1.5"), "wrong-type", "bad.real", ""),
    "number for text": (number(text=5), "wrong-type", "bad.text", "5"),
    "0 for a bool": (number(flag=0), "wrong-type", "bad.flag", "0"),
    "below": (number(whole=-1), "out-of-range", "bad.whole", "-1 0 100"),
    "above": (number(whole=101), "out-of-range", "bad.whole", "101 100 0"),
    "NaN": (raw("NaN"), "not-a-number", "bad.whole", "NaN"),
    "Infinity": (raw("-Infinity"), "not-a-number", "bad.whole", "Infinity"),
    "1e400": (number(real="@").replace('"@"', "1e400"), "not-a-number", "bad.real", "1e400"),
    "NaN for anything": (number(anything="@").replace('"@"', "NaN"), "not-a-number", "bad.anything", "NaN"),
    "NaN in an object": (
        number(anything={"value": {"a": "@"}}).replace('"@"', "NaN"),
        "not-a-number",
        "bad.anything",
        "NaN",
    ),
    "2**70": (number(whole=2**70), "not-a-number", "bad.whole", "1180591620717411303424"),
    "5,000 digits": (raw("9" * 5000), "not-a-number", "bad.whole", "5000"),
    "choice": (number(mode="linaer"), "unknown-choice", "bad.mode", '"linaer" `linear`'),
    "choice number": (number(mode=1), "unknown-choice", "bad.mode", "1"),
    "list element": (number(several=[1, "2"]), "wrong-type", "bad.several", '"2"'),
    "an object": (number(whole={"a": 1}), "malformed-input", "bad.whole", ""),
    "link and more": (number(whole={"link": "make", "x": 1}), "malformed-input", "bad.whole", ""),
    "link in a literal": (
        number(anything=[[{"link": "make.hidden"}]]),
        "link-in-literal",
        "bad.anything",
        "`make.hidden`",
    ),
    "missing node": (decode("mak.hidden"), "unknown-node", "bad.hidden", "`mak` `make`"),
    "missing output": (decode("make.hiden"), "unknown-output", "bad.hidden", "`hiden` `hidden`"),
    "no output name": (decode("make"), "ambiguous-output", "bad.hidden", ""),
    "wrong type": (decode("make.pixels"), "wrong-type", "bad.hidden", "`make.pixels` `make.hidden`"),
    "link for text": (number(text={"link": "make.hidden"}), "wrong-type", "bad.text", ""),
    "literal for a value": (document({"type": "Decode", "inputs": {"hidden": 5}}), "needs-link", "bad.hidden", "5"),
    "output of no node": (
        document({"type": "Number"}, outputs={"out": {"link": "bda"}}),
        "unknown-node",
        "",
        "`out` `bda`",
    ),
    "output text": (document({"type": "Number"}, outputs={"out": "bad"}), "malformed-value", "outputs.out", ""),
    "no subgraph": (document({"type": "graph:one"}), "unknown-subgraph", "bad", "`one`"),
    "nearest subgraph": (
        document({"type": "graph:oen"}, graphs={"one": inner("Number")}),
        "unknown-subgraph",
        "bad",
        "`oen` `one`",
    ),
    "itself": (subgraphs(one=inner("graph:one")), "recursive-subgraph", "bad/inside", "graph:one -> graph:one"),
    "each other": (
        subgraphs(one=inner("graph:two"), two=inner("graph:one")),
        "recursive-subgraph",
        "bad/inside/inside",
        "graph:one -> graph:two -> graph:one",
    ),
    "subgraph output": (
        decode("sub.ot").replace('"bad"', '"sub": {"type": "graph:one"}, "bad"', 1)[:-1]
        + f', "graphs": {{"one": {json.dumps(inner("Number"))}}}}}',
        "unknown-output",
        "bad.hidden",
        "`ot` `out`",
    ),
    "subgraph input": (
        document({"type": "graph:one", "inputs": {"seed": 1}}, graphs={"one": inner("Number")}),
        "unknown-parameter",
        "bad.seed",
        "`seed`",
    ),
    "inside a subgraph": (subgraphs(one=inner("Nmber")), "unknown-node-type", "bad/inside", "`Nmber` `Number`"),
    "map": (document({"type": "map:one"}, graphs={"one": inner("Number")}), "no-list", "bad", "`map:one`"),
    "parameter of no node": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bda.whole"]}}),
        "unknown-parameter-target",
        "",
        "`p` `bda.whole` `bad`",
    ),
    "parameter of no input": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.hole"]}}),
        "unknown-parameter-target",
        "bad.hole",
        "`p` `hole` `whole`",
    ),
    "parameter sets nothing": (
        document({"type": "Number"}, parameters={"p": {"sets": []}}),
        "malformed-value",
        "parameters.p.sets",
        "",
    ),
    "parameter type": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "type": "integer", "default": 1}}),
        "unknown-parameter-type",
        "",
        "`p` `integer` `int`",
    ),
    "parameter default": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "default": 9, "max": 5}}),
        "out-of-range",
        "",
        "`p` 9 5",
    ),
    "parameter bound": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "max": "5"}}),
        "malformed-value",
        "parameters.p.max",
        '"5"',
    ),
    "missing file": (document({"type": "file:none.json"}), "unknown-graph-file", "bad", "`none.json`"),
    "file above": (document({"type": "file:../../../../../../../../etc/passwd"}), "outside-folders", "bad", ""),
    "file elsewhere": (document({"type": "file:/etc/passwd"}), "outside-folders", "bad", ""),
}
"""By name: the content, the code of its one problem, the place, and the ids and values that the problem names."""


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_with_its_code_and_place(name: str, engine: Engine, tmp_path: Path) -> None:
    content, code, place, values = FILES[name]
    path = tmp_path / "graph.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (problem,) = problems_of(engine, path)
    assert (problem.code, problem.where) == (code, f"{path}: {place}" if place else str(path))
    assert not [value for value in values.split() if value not in f"{problem.message} {problem.hint}"], problem


@pytest.mark.parametrize("id", ["a/b", "a b", "1a", "a.b", "", "ä", "a\n"])
def test_ids_are_words(id: str, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {id: {"type": "Number"}, "good": {"type": "Number"}}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "good"}}}))
    (problem,) = problems_of(engine, path)
    assert problem.code == "malformed-id" and f"`{id}`" in problem.message


def test_ids_given_twice_are_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    twice = '{"a": {"type": "Number"}, "a": {"type": "Number", "notes": "", "notes": ""}}'
    path.write_text(f'{{"weft": 1, "nodes": {twice}, "outputs": {{"out": {{"link": "a"}}}}}}')
    keys, ids = sorted(problems_of(engine, path), key=lambda problem: problem.node)
    assert {keys.code, ids.code} == {"duplicate-key"} and (keys.node, ids.node) == ("a", "nodes")
    assert "`notes`" in keys.message and "`a`" in ids.message


def circle_of(problem: Problem) -> list[str]:
    """The ids of a circle, as its problem names them."""
    return re.findall(r"[\w/]+(?= ->)|(?<=-> )[\w/]+$", problem.message)


def test_a_cycle_is_shown_as_its_path(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {a: {"type": "Number", "inputs": {"whole": {"link": b}}} for a, b in ("ab", "bc", "ca")}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "a"}}}))
    (problem,) = problems_of(engine, path)
    circle = circle_of(problem)
    assert circle[0] == circle[-1] and set(circle) == {"a", "b", "c"}
    assert all(nodes[later]["inputs"] == {"whole": {"link": sooner}} for sooner, later in pairwise(circle))


def test_every_cycle_is_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {a: {"type": "Number", "inputs": {"whole": {"link": b}}} for a, b in ("ab", "ba", "cd", "dc")}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "a"}}}))
    found = [set(circle_of(problem)) for problem in problems_of(engine, path)]
    assert sorted(map(sorted, found)) == [["a", "b"], ["c", "d"]]


def test_an_input_that_two_parameters_set_is_a_problem(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    parameters = {name: {"sets": ["a.whole"], "default": 1} for name in ("one", "two")}
    nodes = {"a": {"type": "Number"}}
    path.write_text(
        json.dumps({"weft": 1, "parameters": parameters, "nodes": nodes, "outputs": {"out": {"link": "a"}}})
    )
    (problem,) = problems_of(engine, path)
    assert problem.code == "set-twice" and "`two`" in problem.message and "`a.whole`" in problem.message


def test_a_cycle_through_a_subgraph_is_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    one = inner("Number") | {"parameters": {"whole": {"sets": ["inside.whole"]}}}
    path.write_text(document({"type": "graph:one", "inputs": {"whole": {"link": "bad"}}}, graphs={"one": one}))
    (problem,) = problems_of(engine, path)
    assert problem.code == "cycle" and circle_of(problem) == ["bad/inside", "bad/inside"]


def test_files_that_contain_each_other_are_refused(engine: Engine, tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.json").write_text(document({"type": f"file:{other}.json"}))
    problems = problems_of(engine, tmp_path / "one.json")
    assert any(problem.code == "recursive-subgraph" and "file:two.json" in problem.message for problem in problems)


def test_ten_problems_are_ten(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(
        """{"weft": 1, "titel": "unknown key", "nodes": {
            "twice": {"type": "Number"}, "twice": {"type": "Number"},
            "no id": {"type": "Number"},
            "untyped": {"inputs": {}},
            "unknown": {"type": "Nmber"},
            "literal": {"type": "Number", "inputs": {"whole": "20", "real": NaN}},
            "object": {"type": "Number", "inputs": {"whole": {"a": 1}}},
            "missing": {"type": "Make"},
            "wrong": {"type": "Decode", "inputs": {"hidden": {"link": "untyped"}, "scale": {"link": "nowhere"}}}},
        "outputs": {"out": {"link": "wrong"}, "unread": {"link": "untyped"}, "strange": {"link": "unknown"}}}"""
    )
    problems = problems_of(engine, path)
    places = {"twice": "nodes", "key": "", "id": "no id", "type": "untyped"}
    assert len(problems) == 10 and all(problem.code in CODES for problem in problems), "\n".join(map(str, problems))
    assert {problem.node for problem in problems} > set(places.values())
    assert all(problem.file == str(path) for problem in problems)


def test_a_graph_with_faults_is_not_saved_without_them(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(document({"type": "Number"}, titel="A title"))
    with pytest.raises(GraphError) as raised:
        Graph.load(path).save(path)
    assert [problem.code for problem in raised.value.problems] == ["unknown-key"]
    assert "A title" in path.read_text()


def test_paths_that_are_no_graph_files(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text("{}")
    for path in (tmp_path, tmp_path / "grahp.json"):
        with pytest.raises(GraphError) as raised:
            Graph.load(path)
        (problem,) = raised.value.problems
        assert (problem.code, problem.file) == ("unreadable-file", str(path))
    assert "`graph.json`" in problem.hint


def test_a_byte_order_mark_is_no_problem(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(b"\xef\xbb\xbf" + number(whole=5).encode())
    assert not problems_of(engine, path)


def test_subgraphs_that_multiply_stop_at_the_limit(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    lower = {f"level{n}": {"nodes": {f"n{m}": {"type": f"graph:level{n + 1}"} for m in range(9)}} for n in range(8)}
    graphs = lower | {"level8": inner("Number")}
    path.write_text(document({"type": "graph:level0"}, graphs=graphs))
    engine.limits = replace(engine.limits, max_nodes=10_000)
    assert [problem.code for problem in problems_of(engine, path)] == ["too-many-nodes"]


def test_subgraphs_nest_within_a_limit(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    link = {"out": {"link": "n"}}
    lower = {f"level{n}": {"nodes": {"n": {"type": f"graph:level{n + 1}"}}, "outputs": link} for n in range(300)}
    path.write_text(document({"type": "graph:level0"}, graphs=lower | {"level300": inner("Number")}))
    (problem,) = problems_of(engine, path)
    assert problem.code == "too-many-levels"
