"""Files with node types, and the modules next to them: importable, in the keys, read again, and nobody else's."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from weft.engine import CatalogError, Engine, Graph
from weft.engine.graph.document import read
from weft.engine.keys import digest_bytes
from weft.engine.spec.node_file_loading import PREFIX
from weft.engine.spec.node_files import NodeFile

NODE = """
from weft.engine import node
{imports}
@node
def {name}(x: int) -> int:
    {body}
"""


def write(folder: Path, name: str, imports: str = "", body: str = "return x") -> Path:
    """A file with one node."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name.lower()}.py"
    file.write_text(NODE.format(name=name, imports=imports, body=body))
    return file


def helper(folder: Path, name: str, text: str) -> Path:
    """A module."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return file


def result(tmp_path: Path, *files: Path, type: str = "Add") -> Any:
    """What a new engine of this process gives for 1."""
    graph: dict[str, Any] = {"weft": 1, "nodes": {"add": {"type": type, "inputs": {"x": 1}}}}
    graph["outputs"] = {"out": {"link": "add"}}
    with Engine(store=tmp_path / "store", nodes=files) as engine:
        return engine.run(read(json.dumps(graph))).outputs["out"]


def test_a_file_that_imports_nothing_is_keyed_as_it_was(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "import json, os.path\nfrom collections import abc")
    assert NodeFile.read(file).origin == digest_bytes(file.read_bytes())


@pytest.mark.wide
@pytest.mark.parametrize(
    ("imports", "body", "name"),
    [
        ("import helper", "return helper.f(x)", "helper.py"),
        ("from helper import f", "return f(x)", "helper.py"),
        ("", "import helper; return helper.f(x)", "helper.py"),
        ("", "from helper import f; return f(x)", "helper.py"),
        ("from . import helper", "return helper.f(x)", "helper.py"),
        ("from .helper import f", "return f(x)", "helper.py"),
        ("import helper.deep.part", "return helper.deep.part.f(x)", "helper/deep/part.py"),
        ("import helper.deep.part as p", "return p.f(x)", "helper/deep/part.py"),
        ("from helper.deep import part", "return part.f(x)", "helper/deep/part.py"),
        ("from helper import *", "return f(x)", "helper.py"),
        ("from through import f", "return f(x)", "helper.py"),
        ("from package import f", "return f(x)", "package/inner.py"),
        ("", "from package import late; return late(x)", "package/inner.py"),
    ],
)
def test_an_edit_of_a_module_that_is_imported_runs_the_node_again(
    imports: str, body: str, name: str, tmp_path: Path
) -> None:
    file = write(tmp_path, "Add", imports, body)
    helper(tmp_path, "through.py", "from helper import f") if "through" in imports else None
    helper(
        tmp_path,
        "package/__init__.py",
        """
        from .inner import f
        def late(x):
            from package import inner
            return inner.f(x)
        """,
    )
    for added in (1, 2, 100, 1):
        helper(tmp_path, name, f"def f(x): return x + {added}")
        assert result(tmp_path, file) == 1 + added
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_engine_goes_on_with_the_modules_that_it_read(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "", "from helper import f; return f(x)")
    helper(tmp_path, "helper.py", "def f(x): return x + 1")
    with Engine(store=None, nodes=[file]) as engine:
        helper(tmp_path, "helper.py", "def f(x): return x + 2")
        assert result(tmp_path, file) == 3
        with Graph() as graph:
            graph.output("out", engine.catalog["Add"](1))
        assert engine.run(graph).outputs == {"out": 2}
        engine.reload_nodes()
        with Graph() as graph:
            graph.output("out", engine.catalog["Add"](1))
        assert engine.run(graph).outputs == {"out": 3}


def test_modules_of_one_name_in_two_folders_do_not_meet(tmp_path: Path) -> None:
    files = []
    for number, name in ((1, "One"), (2, "Two")):
        folder = tmp_path / name
        files.append(write(folder, name, "import helper", "return helper.f(x)"))
        helper(folder, "helper.py", f"def f(x): return x + {number}")
    assert [result(tmp_path, *files, type=name) for name in ("One", "Two")] == [2, 3]


VALUE = """
from dataclasses import dataclass
from weft.engine import value
@value
@dataclass(frozen=True)
class Parcel:
    number: int
"""


def test_value_classes_may_be_defined_again_in_a_file_that_is_edited(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "from helper import Parcel", "return Parcel(x).number")
    for text in (VALUE, VALUE + "\n", VALUE):
        helper(tmp_path, "helper.py", text)
        assert result(tmp_path, file) == 1
    (tmp_path / "helper.py").rename(tmp_path / "other.py")
    with pytest.raises(CatalogError):
        result(tmp_path, write(tmp_path, "Add", "from other import Parcel"))


def test_files_of_one_folder_share_the_module_that_both_import(tmp_path: Path) -> None:
    helper(tmp_path, "helper.py", "calls = []")
    one = write(tmp_path, "One", "import helper", "helper.calls.append(x); return len(helper.calls)")
    two = write(tmp_path, "Two", "import helper", "helper.calls.append(x); return len(helper.calls)")
    with Engine(store=None, nodes=[one, two]) as engine:
        assert [engine.run_now(engine.catalog[name], {"x": 1}) for name in ("One", "Two")] == [1, 2]


def test_an_edit_of_another_file_of_the_folder_changes_no_key(tmp_path: Path) -> None:
    file, other = write(tmp_path, "Add", "import helper"), helper(tmp_path, "other.py", "")
    helper(tmp_path, "helper.py", "")
    before = NodeFile.read(file).origin
    other.write_text("x = 1")
    assert NodeFile.read(file).origin == before


def test_nobody_else_can_import_these_modules(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "import helper_of_mine", "return helper_of_mine.f(x)")
    helper(tmp_path, "helper_of_mine.py", "def f(x): return x")
    before = [*sys.path]
    assert result(tmp_path, file) == 1
    assert sys.path == before and "helper_of_mine" not in sys.modules
    assert [name for name in sys.modules if "helper_of_mine" in name and not name.startswith(PREFIX)] == []
    with pytest.raises(ImportError):
        __import__("helper_of_mine")


@pytest.mark.parametrize("name", ["json", "numpy", "weft", "orjson"])
def test_a_file_of_a_librarys_name_is_not_run_in_its_place(name: str, tmp_path: Path) -> None:
    file = write(tmp_path, "Add", f"import {name}", f"import {name}; return x")
    helper(tmp_path, f"{name}.py", "raise SystemExit('planted')")
    helper(tmp_path, f"{name}/__init__.py", "raise SystemExit('planted')")
    assert result(tmp_path, file) == 1


def test_a_module_that_appears_later_is_not_run(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "", "import helper_of_mine; return x")
    with Engine(store=None, nodes=[file]) as engine:
        helper(tmp_path, "helper_of_mine.py", "")
        with pytest.raises(ImportError):
            engine.run_now(engine.catalog["Add"], {"x": 1})


@pytest.mark.parametrize("text", ["def f(:", "raise ValueError('x')", "import none_of_this_name", "\0"])
def test_a_module_that_cannot_be_imported_is_a_fault_of_the_file(text: str, tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "import helper")
    helper(tmp_path, "helper.py", text)
    with pytest.raises(CatalogError):
        Engine(store=None, nodes=[file])


def test_what_is_imported_and_missing_is_watched(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "import helper_of_mine")
    assert NodeFile.read(file).files[tmp_path / "helper_of_mine.py"] is None


@pytest.mark.parametrize("name", ["my-nodes.v2.py", "json.py", "__init__.py"])
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "import json\nfrom .helper import f", "return f(len(json.dumps(x)))")
    helper(tmp_path, "helper.py", "def f(x): return x")
    assert result(tmp_path, file.rename(tmp_path / name)) == 1


def test_modules_of_a_package_are_those_that_were_read(tmp_path: Path) -> None:
    file = write(tmp_path, "Add", "", "from package import inner; return inner.f(x)")
    helper(tmp_path, "package/__init__.py", "")
    helper(tmp_path, "package/inner.py", "def f(x): return x + 1")
    with Engine(store=None, nodes=[file]) as engine:
        with Graph() as graph:
            graph.output("sum", engine.catalog["Add"](1))
        helper(tmp_path, "package/inner.py", "def f(x): return x + 2")
        assert engine.run(graph).outputs["sum"] == 2
    assert not [*tmp_path.rglob("*.pyc")]
