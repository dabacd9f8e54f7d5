"""Bad graph files: each is refused with the file, the node, the input and the hint; every problem comes at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest

from weft.engine import Engine, Graph, GraphError, Problem, Range, node, value


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


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "not JSON, line 1"),
    "not JSON": ('{"weft": 1,', "not JSON, line 1, column"),
    "trailing": (number() + "x", "not JSON, Extra data"),
    "not UTF-8": (b'{"weft": 1, "title": "\xff"}', "not JSON, byte 22, UTF-8"),
    "UTF-16": (number().encode("utf-16"), "not UTF-8"),
    "half a pair": (number(text="@").replace("@", "\\ud800"), "\\ud800, line 1, half of a surrogate pair"),
    "a list": ("[1, 2]", "no graph, a list of 2, expected an object"),
    "null": ("null", "no graph, found null"),
    "no graph": ('{"a": 1}', "no graph, `weft`, missing"),
    "no nodes": ('{"weft": 1}', "`nodes` is missing"),
    "nodes is a list": ('{"weft": 1, "nodes": []}', "nodes, expected, dictionary, a list of 0"),
    "version": ('{"weft": 2, "nodes": {}}', "version 2, reads version 1"),
    "version text": ('{"weft": "1", "nodes": {}}', 'version "1" (a string), reads version 1'),
    "version true": ('{"weft": true, "nodes": {}}', "version true (a bool)"),
    "deep list": ("[" * 50_000 + "]" * 50_000, "nested deeper than 200"),
    "deep object": ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested deeper than 200"),
    "201 deep": (raw("[" * 201 + "]" * 201), "nested deeper than 200"),
    "ComfyUI prompt": ('{"3": {"class_type": "KSampler", "inputs": {}}}', "ComfyUI workflow"),
    "ComfyUI editor": ('{"nodes": [], "links": [], "version": 0.4}', "ComfyUI workflow"),
    "no nodes at all": ('{"weft": 1, "nodes": {}}', "nothing to run, it has no nodes"),
    "no outputs": (number().replace('"outputs": {"out": {"link": "bad"}}', '"title": ""'), "nothing to run, no sink"),
    "unknown key": (document({"type": "Number"}, titel="x"), "unknown key `titel`, did you mean `title`?"),
    "unknown node key": (document({"type": "Number", "input": {}}), "bad, unknown key `input`, `inputs`?"),
    "no type": (document({"inputs": {}}), "bad, `type` is missing"),
    "type is a number": (document({"type": 5}), "bad.type, expected, string, 5 (int)"),
    "node is a list": (document([]), "bad, expected, a list of 0"),
    "title is a number": (document({"type": "Number"}, title=5), "title, string, 5 (int)"),
    "unknown type": (document({"type": "Decod"}), "bad, `Decod`, did you mean `Decode`?"),
    "unknown input": (number(hole=1), "bad.hole, Number has no input `hole`, did you mean `whole`?"),
    "missing input": (
        document({"type": "Make"}, outputs={"out": {"link": "bad.pixels"}}),
        "bad.count, required, (int) is missing, give it",
    ),
    "missing link": (document({"type": "Decode"}), 'bad.hidden, (Hidden) is missing, {"link": "NODE"}'),
    "text for an int": (number(whole="20"), 'bad.whole, expected an int, "20" (a string), without quotes'),
    "real for an int": (number(whole=3.9), "bad.whole, expected an int, 3.9 (float), whole number"),
    "5.0 for an int": (number(whole=5.0), "bad.whole, expected an int, 5.0 (float)"),
    "true for an int": (number(whole=True), "bad.whole, expected an int, true (a bool)"),
    "null for an int": (number(whole=None), "bad.whole, expected an int, null"),
    "list for an int": (number(whole=[1]), "bad.whole, expected an int, a list of 1"),
    "true for a float": (number(real=True), "bad.real, expected a float, true (a bool)"),
    "text for a float": (number(real="1.5"), "bad.real, expected a float, without quotes"),
    "number for text": (number(text=5), "bad.text, expected a str, 5 (int), double quotes"),
    "0 for a bool": (number(flag=0), "bad.flag, expected a bool, 0 (int), true or false"),
    "below": (number(whole=-1), "bad.whole, -1 is below, 0, give a value from 0 to 100"),
    "above": (number(whole=101), "bad.whole, 101 is above, 100, give a value from 0 to 100"),
    "NaN": (raw("NaN"), "bad.whole, expected an int, NaN, no finite number"),
    "Infinity": (raw("-Infinity"), "bad.whole, -Infinity, no finite number"),
    "1e400": (number(real="@").replace('"@"', "1e400"), "bad.real, expected a float, 1e400, no finite number"),
    "NaN for anything": (number(anything="@").replace('"@"', "NaN"), "bad.anything, NaN, no finite number"),
    "NaN in an object": (
        number(anything={"value": {"a": "@"}}).replace('"@"', "NaN"),
        "bad.anything, NaN, no finite number",
    ),
    "2**70": (number(whole=2**70), "bad.whole, 1180591620717411303424, beyond 64 bits"),
    "5,000 digits": (raw("9" * 5000), "bad.whole, a number of 5000 digits, beyond 64 bits"),
    "choice": (number(mode="linaer"), 'bad.mode, "linaer" is no choice, did you mean `linear`?, nearest, linear'),
    "choice number": (number(mode=1), "bad.mode, 1 (int) is no choice, choose one of: nearest, linear"),
    "list element": (number(several=[1, "2"]), 'bad.several, expected an int, "2" (a string)'),
    "an object": (number(whole={"a": 1}), 'bad.whole, an object with the keys a, {"value": {...}}'),
    "link and more": (number(whole={"link": "make", "x": 1}), 'bad.whole, the keys link, x, {"link": "NODE"}'),
    "link in a literal": (number(anything=[[{"link": "make.hidden"}]]), "bad.anything, a link to `make.hidden` inside"),
    "missing node": (decode("mak.hidden"), "bad.hidden, no node `mak`, did you mean `make`?"),
    "missing output": (decode("make.hiden"), "bad.hidden, Make has no output `hiden`, did you mean `hidden`?"),
    "no output name": (decode("make"), 'bad.hidden, several outputs: pixels, hidden, {"link": "make.pixels"}'),
    "wrong type": (decode("make.pixels"), "bad.hidden, `make.pixels` gives Pixels, expected Hidden, `make.hidden`"),
    "link for text": (number(text={"link": "make.hidden"}), "bad.text, gives Hidden, expected str"),
    "literal for a value": (
        document({"type": "Decode", "inputs": {"hidden": 5}}),
        'bad.hidden, expected a Hidden, 5 (int), {"link": "NODE"}',
    ),
    "output of no node": (document({"type": "Number"}, outputs={"out": {"link": "bda"}}), "`out`, no node `bda`, bad"),
    "output text": (document({"type": "Number"}, outputs={"out": "bad"}), "outputs.out, expected, found"),
    "no subgraph": (document({"type": "graph:one"}), "bad, no subgraph `one`, has no subgraphs"),
    "nearest subgraph": (document({"type": "graph:oen"}, graphs={"one": inner("Number")}), "`oen`, mean `one`?"),
    "itself": (subgraphs(one=inner("graph:one")), "contains itself, graph:one -> graph:one, break the circle"),
    "each other": (
        subgraphs(one=inner("graph:two"), two=inner("graph:one")),
        "contains itself, graph:one -> graph:two -> graph:one",
    ),
    "subgraph output": (
        decode("sub.ot").replace('"bad"', '"sub": {"type": "graph:one"}, "bad"', 1)[:-1]
        + f', "graphs": {{"one": {json.dumps(inner("Number"))}}}}}',
        "bad.hidden, the subgraph has no output `ot`, did you mean `out`?",
    ),
    "subgraph input": (
        document({"type": "graph:one", "inputs": {"seed": 1}}, graphs={"one": inner("Number")}),
        "bad.seed, unknown input `seed`, no parameters",
    ),
    "inside a subgraph": (subgraphs(one=inner("Nmber")), "bad/inside, `Nmber`, did you mean `Number`?"),
    "map": (document({"type": "map:one"}, graphs={"one": inner("Number")}), "bad, `map:one`, no list to walk over"),
    "parameter of no node": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bda.whole"]}}),
        "parameter `p` sets `bda.whole`, no such node, did you mean `bad`?",
    ),
    "parameter of no input": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.hole"]}}),
        "bad.hole, parameter `p` sets `hole`, no such input, did you mean `whole`?",
    ),
    "parameter sets nothing": (document({"type": "Number"}, parameters={"p": {"sets": []}}), "parameters.p, sets"),
    "parameter type": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "type": "integer", "default": 1}}),
        "parameter `p`, `integer` is no parameter type, did you mean `int`?",
    ),
    "parameter default": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "default": 9, "max": 5}}),
        "parameter `p`, 9 is above the greatest value, 5",
    ),
    "parameter bound": (
        document({"type": "Number"}, parameters={"p": {"sets": ["bad.whole"], "max": "5"}}),
        'parameters.p.max, "5" (a string)',
    ),
    "missing file": (document({"type": "file:none.json"}), "bad, no graph file `none.json`, beside the graph"),
    "file above": (document({"type": "file:../../../../../../../../etc/passwd"}), "bad, lies outside the folders"),
    "file elsewhere": (document({"type": "file:/etc/passwd"}), "bad, lies outside the folders"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file_is_refused_with_place_and_hint(name: str, engine: Engine, tmp_path: Path) -> None:
    content, words = FILES[name]
    path = tmp_path / "graph.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = problems_of(engine, path)
    text = "\n".join(map(str, problems))
    assert len(problems) == 1, text
    assert not [word for word in [str(path), *words.split(", ")] if word not in text], text


@pytest.mark.parametrize("id", ["a/b", "a b", "1a", "a.b", "", "ä", "a\n"])
def test_ids_are_words(id: str, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {id: {"type": "Number"}, "good": {"type": "Number"}}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "good"}}}))
    (problem,) = problems_of(engine, path)
    assert f"`{id}` is no id" in problem.message and "letters, digits" in problem.hint


def test_ids_given_twice_are_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    twice = '{"a": {"type": "Number"}, "a": {"type": "Number", "notes": "", "notes": ""}}'
    path.write_text(f'{{"weft": 1, "nodes": {twice}, "outputs": {{"out": {{"link": "a"}}}}}}')
    ids, keys = sorted(problems_of(engine, path), key=lambda problem: problem.message, reverse=True)
    assert "the node id `a` stands twice" in ids.message
    assert "the key `notes` stands twice" in keys.message and keys.node == "a"


def test_a_cycle_is_shown_as_its_path(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {a: {"type": "Number", "inputs": {"whole": {"link": b}}} for a, b in ("ab", "bc", "ca")}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "a"}}}))
    (problem,) = problems_of(engine, path)
    circle = problem.message.removeprefix("a cycle: ").split(" -> ")
    assert circle[0] == circle[-1] and set(circle) == {"a", "b", "c"}
    assert all(nodes[later]["inputs"] == {"whole": {"link": sooner}} for sooner, later in pairwise(circle))


def test_every_cycle_is_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = {a: {"type": "Number", "inputs": {"whole": {"link": b}}} for a, b in ("ab", "ba", "cd", "dc")}
    path.write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "a"}}}))
    found = [set(problem.message.removeprefix("a cycle: ").split(" -> ")) for problem in problems_of(engine, path)]
    assert sorted(map(sorted, found)) == [["a", "b"], ["c", "d"]]


def test_an_input_that_two_parameters_set_is_a_problem(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    parameters = {name: {"sets": ["a.whole"], "default": 1} for name in ("one", "two")}
    nodes = {"a": {"type": "Number"}}
    path.write_text(
        json.dumps({"weft": 1, "parameters": parameters, "nodes": nodes, "outputs": {"out": {"link": "a"}}})
    )
    (problem,) = problems_of(engine, path)
    assert problem.message == "parameter `two` sets `a.whole`, which another one sets too"


def test_a_cycle_through_a_subgraph_is_found(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    one = inner("Number") | {"parameters": {"whole": {"sets": ["inside.whole"]}}}
    path.write_text(document({"type": "graph:one", "inputs": {"whole": {"link": "bad"}}}, graphs={"one": one}))
    (problem,) = problems_of(engine, path)
    assert problem.message == "a cycle: bad/inside -> bad/inside"


def test_files_that_contain_each_other_are_refused(engine: Engine, tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.json").write_text(document({"type": f"file:{other}.json"}))
    problems = problems_of(engine, tmp_path / "one.json")
    assert any("contains itself" in problem.message and "file:two.json" in problem.message for problem in problems)


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
    assert len(problems) == 10, "\n".join(map(str, problems))
    assert {problem.node for problem in problems} > set(places.values())
    assert all(problem.file == str(path) for problem in problems)


def test_a_graph_with_faults_is_not_saved_without_them(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(document({"type": "Number"}, titel="A title"))
    with pytest.raises(GraphError, match="unknown key `titel`"):
        Graph.load(path).save(path)
    assert "A title" in path.read_text()


def test_paths_that_are_no_graph_files(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text("{}")
    with pytest.raises(GraphError, match="Is a directory"):
        Graph.load(tmp_path)
    with pytest.raises(GraphError, match=r"No such file[^`]*did you mean `graph.json`"):
        Graph.load(tmp_path / "grahp.json")


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
    assert [problem.message for problem in problems_of(engine, path)] == ["more than 10,000 nodes, subgraphs inlined"]


def test_subgraphs_nest_within_a_limit(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    link = {"out": {"link": "n"}}
    lower = {f"level{n}": {"nodes": {"n": {"type": f"graph:level{n + 1}"}}, "outputs": link} for n in range(300)}
    path.write_text(document({"type": "graph:level0"}, graphs=lower | {"level300": inner("Number")}))
    (problem,) = problems_of(engine, path)
    assert "nested deeper than 100" in problem.message
