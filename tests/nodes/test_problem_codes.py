"""Every problem that Weft's nodes make has a code, and each code has one meaning."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.imports import modules
from weft.engine import InputError, NodeProblem, error_codes
from weft.nodes.problem_codes import CODES

PLACE = {"InputError": 2, "NodeProblem": 3, "Notice": 2}
"""Which argument of each call that makes a problem is its code."""

NODES = [name for name in modules() if name.startswith("nodes.")]


def codes(tree: ast.Module) -> Iterator[str]:
    """The codes of the problems that a module makes; empty for one without a code, or with one that is worked out."""
    for call in ast.walk(tree):
        name = getattr(call.func, "id", "") if isinstance(call, ast.Call) else ""
        if isinstance(call, ast.Call) and name in PLACE:
            given = [*call.args[PLACE[name] :], *(one.value for one in call.keywords if one.arg == "code")]
            if not any(isinstance(code, ast.Attribute) for code in given):  # the code of another error
                chosen = [
                    one
                    for code in given
                    for one in ([code.body, code.orelse] if isinstance(code, ast.IfExp) else [code])
                ]
                yield from (str(code.value) if isinstance(code, ast.Constant) else "" for code in chosen or [call])


@pytest.mark.parametrize("module", NODES)
def test_each_problem_has_a_code_that_is_documented(module: str) -> None:
    assert {*codes(modules()[module])} <= error_codes.CODES.keys() | CODES.keys()


def test_each_code_is_used() -> None:
    assert CODES.keys() <= {code for module in NODES for code in codes(modules()[module])}


def test_codes_are_words_in_kebab_case_with_a_sentence_each_and_none_is_one_of_the_engine() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) and text.endswith(".") for code, text in CODES.items())
    assert not CODES.keys() & error_codes.CODES.keys()


def test_the_problem_of_an_error_keeps_its_code() -> None:
    problem = NodeProblem.of(InputError("no layer `up_9`", "name another", "unknown-layer"), "layers", after="; of SD1")
    assert problem == NodeProblem("layers", "no layer `up_9`; of SD1", "name another", "unknown-layer")
