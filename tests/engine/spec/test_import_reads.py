"""What a node file reads while it is run decides its keys, however it reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.spec.test_node_files import helper, result, write
from weft.engine import CatalogError, Engine
from weft.engine.keys import digest_bytes
from weft.engine.spec.node_file_loading import load
from weft.engine.spec.node_files import NodeFile

ON_PATH = "import sys; sys.path.insert(0, {folder!r})\n"

WAYS = {
    "import": (ON_PATH + "import far_helper", "return far_helper.f(x)"),
    "from import": (ON_PATH + "from far_helper import f", "return f(x)"),
    "import in a function": (ON_PATH, "import far_helper; return far_helper.f(x)"),
    "import in a module's function": (ON_PATH + "import far_through", "return far_through.f(x)"),
    "import_module": (ON_PATH + "import importlib; h = importlib.import_module('far_' + 'helper')", "return h.f(x)"),
    "submodule": (ON_PATH + "from far_package.part import f", "return f(x)"),
    "submodule in a function": (ON_PATH, "import far_package.part as p; return p.f(x)"),
    "spec": (
        "import importlib.util as u; s = u.spec_from_file_location('h', {folder!r} + '/far_helper.py')\n"
        "h = u.module_from_spec(s); s.loader.exec_module(h)",
        "return h.f(x)",
    ),
    "run_path": ("import runpy; h = runpy.run_path({folder!r} + '/far_helper.py')", "return h['f'](x)"),
    "data": (ON_PATH + "a = int(open({folder!r} + '/number.txt').read())", "return x + a"),
    "data of its folder": ("from pathlib import Path; a = int(Path({own!r}, 'own.txt').read_text())", "return x + a"),
    "a module of its folder": ("import sys; sys.path.append({own!r}); import importlib\n"
        "h = importlib.import_module('own_helper')", "return h.f(x)"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    """`sys.path` and the modules of these tests, as they were."""
    before = sys.path.copy()
    yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith(("far_", "own_helper"))]:
        del sys.modules[name]


def write_all(far: Path, own: Path, plus: int) -> None:
    """Everything that the ways read."""
    text = f"def f(x):\n    return x + {plus}\n"
    for name in ("far_helper.py", "far_package/part.py"):
        helper(far, name, text)
    helper(far, "far_package/__init__.py", "")
    helper(far, "far_through.py", "def f(x):\n    import far_helper\n    return far_helper.f(x)\n")
    helper(own, "own_helper.py", text)
    (far / "number.txt").write_text(str(plus))
    (own / "own.txt").write_text(str(plus))


@pytest.mark.wide
@pytest.mark.parametrize("way", WAYS)
def test_an_edit_of_what_is_read_runs_the_node_again(way: str, tmp_path: Path) -> None:
    far, own = tmp_path / "far", tmp_path / "own"
    imports, body = WAYS[way]
    file = write(own, "Add", imports.format(folder=str(far), own=str(own)), body)
    for plus in (1, 2, 1):  # within one second, so that bytecode of the state before looks right to Python
        write_all(far, own, plus)
        assert result(tmp_path, file) == 1 + plus
        assert result(tmp_path, file) == 1 + plus
    read = {path for path, stamp in watched(file).items() if stamp and path != file}
    assert read
    assert all(path.is_relative_to(far) or path.is_relative_to(own) for path in read)


def watched(file: Path) -> dict[Path, object]:
    with Engine(store=None, nodes=[file]) as engine:
        return dict(engine.node_files)


def test_two_files_that_read_one_module_both_depend_on_it(tmp_path: Path) -> None:
    far = tmp_path / "far"
    write_all(far, tmp_path, 1)
    imports = (ON_PATH + "import far_helper").format(folder=str(far))
    files = [write(tmp_path / name, name, imports, "return far_helper.f(x)") for name in ("One", "Two")]
    assert [result(tmp_path, *files, type=name) for name in ("One", "Two")] == [2, 2]
    write_all(far, tmp_path, 4)
    assert [result(tmp_path, *files, type=name) for name in ("Two", "One")] == [5, 5]


def test_a_file_that_fails_is_run_again_when_what_it_reads_is_corrected(tmp_path: Path) -> None:
    far = tmp_path / "far"
    helper(far, "far_helper.py", "raise ValueError")
    file = write(
        tmp_path / "own", "Add", (ON_PATH + "import far_helper").format(folder=str(far)), "return far_helper.f(x)"
    )
    failing = NodeFile.read(file)
    with pytest.raises(CatalogError):
        load([failing])
    assert far / "far_helper.py" in failing.files
    helper(far, "far_helper.py", "def f(x): return x + 7")
    assert result(tmp_path, file) == 8


def test_what_lies_elsewhere_is_no_part_of_the_keys(tmp_path: Path) -> None:
    settings = tmp_path / "home" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("1")
    file = write(
        tmp_path / "own", "Add", f"a = open({str(settings)!r}).read(); import json.tool, os; os.stat('.')", "return x"
    )
    before = NodeFile.read(file)
    load([before])
    assert settings not in before.files and os.__file__ not in map(str, before.files)
    assert not before.reads


LIBRARIES = """
import linecache, sys
from pathlib import Path
linecache.getlines(str(Path({own!r}, "main.py")))
import inner_library, linked_library.part, numpy
from weft.engine import node
from weft.nodes.library import schedule_plot

@node
def Add(x: int) -> int:
    return x
"""

PRINTS = """
import sys
from pathlib import Path
for name in sys.argv[2:]:
    __import__(name)
from weft.engine.keys import digest_bytes
from weft.engine.spec.node_file_loading import load
from weft.engine.spec.node_files import NodeFile
file = NodeFile.read(Path(sys.argv[1]))
load([file])
print(file.origin, [*file.reads])
"""


def test_keys_do_not_depend_on_what_a_process_had_imported_before(tmp_path: Path) -> None:
    """Libraries count neither where the file imports them first nor where they were imported earlier: those that lie in
    its folder, those behind a link on the path, and Weft itself. Nor does a source that is read for a message."""
    own, away = tmp_path / "own", tmp_path / "away"
    helper(own, "main.py", "pass")
    helper(own, "lib/inner_library.py", "import json")
    helper(away, "real/linked_library/part.py", "import json")
    (tmp_path / "link").symlink_to(away / "real")
    file = own / "add.py"
    file.write_text(LIBRARIES.format(own=str(own)))
    path = os.pathsep.join([str(own / "lib"), str(tmp_path / "link"), *filter(None, sys.path)])
    shown = {
        subprocess.run(
            [sys.executable, "-c", PRINTS, str(file), *before],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for before in ([], ["numpy", "inner_library", "linked_library.part", "weft.nodes"])
    }
    assert shown == {f"{digest_bytes(file.read_bytes())} []\n"}


def test_keys_do_not_depend_on_where_the_folders_lie(tmp_path: Path) -> None:
    origins = set()
    for place in ("here", "there"):
        far, own = tmp_path / place / "far", tmp_path / place / "own"
        write_all(far, own, 3)
        found = "import sys, os; sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)) + '/far')"
        (types,) = load([NodeFile.read(write(own, "Add", f"{found}\nimport far_helper", "return far_helper.f(x)"))])
        origins.add(types[1][0].origin)
    assert len(origins) == 1
