"""Every problem that the engine makes of a graph has a code, and each code has one meaning."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.imports import modules
from weft.engine.error_codes import CODES

ROOMS = ("engine.graph.", "engine.checking.", "engine.farm.", "engine.store.", "engine.types")
PLACE = {"_problem": 0, "LiteralError": 2, "InputError": 2}
"""Where each call that makes a problem has its code, unless by name; the two errors have codes by default."""


def codes(tree: ast.Module) -> Iterator[str]:
    """The constant codes of the problems that a module makes; `none` for a problem without a code."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        given = [one.value for one in call.keywords if one.arg == "code"]
        given += call.args[PLACE[name] : PLACE[name] + 1] if name in PLACE else []
        yield from (code.value for code in given if isinstance(code, ast.Constant) and isinstance(code.value, str))
        if name == "Problem" and not given:
            yield "none"


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith(ROOMS)])
def test_each_problem_has_a_code_that_is_documented(module: str) -> None:
    assert {*codes(modules()[module])} <= CODES.keys()


def test_codes_are_words_in_kebab_case_with_a_sentence_each() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) and text.endswith(".") for code, text in CODES.items())
