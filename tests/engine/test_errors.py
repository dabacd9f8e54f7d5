"""Errors: all are WeftErrors, problems keep their fields, and errors reach another process whole."""

from __future__ import annotations

import pickle

import pytest

from weft.engine import GraphError, InputError, NodeError, Problem, WeftError, errors, listed, nearest
from weft.engine.errors import LiteralError, StoreError


def test_every_error_is_a_weft_error() -> None:
    raised = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(raised) > 5 and all(issubclass(one, WeftError) for one in raised)


@pytest.mark.parametrize(
    "fault",
    [
        InputError("no file", "name one", "missing-file"),
        LiteralError("5", "write a text"),
        StoreError("read-only", "choose another"),
    ],
)
def test_an_error_of_an_input_becomes_a_problem_of_it(fault: InputError | LiteralError | StoreError) -> None:
    problem = Problem.of(fault, "load", "path", before="output `x` ")
    assert (problem.node, problem.input, problem.hint, problem.code) == ("load", "path", fault.hint, fault.code)
    assert problem.message == f"output `x` {fault.message}"


def test_a_problem_keeps_the_file_that_it_names() -> None:
    inner = Problem("x", file="inner.json")
    assert inner.within("outer.json") is inner and Problem("x").within("outer.json").where == "outer.json"


def test_errors_are_pickled_with_their_fields() -> None:
    cause = InputError("no file", "name one", "missing-file")
    copy = pickle.loads(pickle.dumps(NodeError("load", "LoadImage", cause)))
    assert (copy.node, copy.type, copy.cause.code, copy.cause.hint) == ("load", "LoadImage", "missing-file", "name one")


def test_a_graph_error_has_every_problem() -> None:
    problems = (Problem("one", node="a"), Problem("two", node="b"))
    assert GraphError(problems).problems == problems and "a: one" in str(GraphError(problems))


def test_the_nearest_word_is_found_in_any_case() -> None:
    assert "`KSampler`" in nearest("ksampeler", ["KSampler", "TextEncode"]) and nearest("xyz", ["KSampler"]) == ""


def test_long_lists_are_cut_with_a_count() -> None:
    assert listed("abc") == "a, b, c" and listed(map(str, range(5)), 3) == "0, 1, 2 and 2 more"


def test_names_are_found_however_they_are_spelled() -> None:
    samplers = ("dpm2", "dpmpp_2m", "dpmpp_2m_sde", "euler")
    assert all("`dpmpp_2m`" in nearest(name, samplers) for name in ("dpm++ 2m", "DPM++ 2M", "dpmpp-2m"))
    assert not nearest("unipc", samplers)


@pytest.mark.parametrize("error", [InputError("m", "do this"), Problem("m", "do this")])
def test_the_former_name_of_hints_is_read_for_one_version(error: InputError | Problem) -> None:
    with pytest.warns(DeprecationWarning):
        assert error.mend == error.hint == "do this"
