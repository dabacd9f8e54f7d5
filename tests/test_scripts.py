"""Every script starts by the command that its docstring gives, in the root of a checkout, and finds what it imports."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

FOLDERS = ("tests/benchmarks", "nodes/builtin/training")

START = """
import contextlib, io, json, runpy, sys, traceback
from importlib.util import find_spec

faults = {}
for module, name, imports in json.loads(sys.argv[1]):
    sys.argv, before, printed = [name, "--help"], [*sys.path], io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            if module:
                runpy.run_module(name, run_name="__main__")
            else:
                sys.path[0] = name.rpartition("/")[0]
                runpy.run_path(name, run_name="__main__")
    except SystemExit as ended:
        missing = [one for one in imports if not find_spec(one)]
        if ended.code or missing or "usage:" not in printed.getvalue():
            faults[name] = f"code {ended.code}, missing {missing}"
    except Exception:
        faults[name] = traceback.format_exc()
    sys.path[:] = before
    for one in [one for one in sys.modules if one.partition(".")[0] == "tests"]:
        del sys.modules[one]
print(json.dumps(faults))
"""
"""Starts scripts with `--help`, as Python runs them by path or by module, in one process: heavy imports take time."""


def imported(script: ast.Module) -> list[str]:
    """The modules that a script imports, also inside of functions."""
    statements = [*ast.walk(script)]
    named = {alias.name for one in statements if isinstance(one, ast.Import) for alias in one.names}
    return sorted(named | {one.module or "" for one in statements if isinstance(one, ast.ImportFrom) if not one.level})


def command(script: ast.Module) -> tuple[bool, str]:
    """Whether the docstring runs the script by the name of its module, and the name or the path."""
    found = re.search(r"^ {4}(?:\w+=\S+ )?python (-m )?(\S+)", ast.get_docstring(script) or "", re.MULTILINE)
    assert found
    return bool(found[1]), found[2]


def test_every_script_starts_as_its_docstring_says() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).glob("*.py") if "__main__" in path.read_text()]
    scripts = [ast.parse(path.read_text()) for path in paths]
    jobs = [[*command(script), imported(script)] for script in scripts]
    assert len(jobs) > 12
    ended = subprocess.run(
        [sys.executable, "-c", START, json.dumps(jobs)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {}
