"""Streams that are closed, full or in a small encoding, and a working folder that is gone: exit codes, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GRAPH = {
    "weft": 1,
    "title": "\N{PARTY POPPER}",
    "nodes": {"t": {"type": "Text", "inputs": {"value": "caf\u00e9"}}},
    "outputs": {"t": {"link": "t"}},
}
WEFT = f'{sys.executable} -c "from weft.engine.cli import main; main()"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a graph."""
    (tmp_path / "g.json").write_text(json.dumps(GRAPH))
    (tmp_path / "paint.json").write_text(json.dumps({"weft": 1, "nodes": {"p": {"type": "Paint"}}}))
    (tmp_path / "paint.py").write_text(
        "from weft.engine import Artifact, node\n\n\n"
        '@node\ndef Paint() -> Artifact:\n    """A sink."""\n    return Artifact(b"{}", "application/json", "a")\n'
    )
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a line of a shell does, in which `weft` is the command."""
    line = f'weft() {{ {WEFT} "$@"; }}; {line}'
    given = {**os.environ, "HOME": str(folder), **environment}
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=given, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, done.stderr.decode()
    return done


@pytest.mark.wide
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("weft check - <&-", 2),
        ("weft check g.json >&-", 0),
        ("weft check g.json --json >&- 2>&-", 2),
        ("weft check g.json 2>&-", 0),
        ("weft check none.json 2>/dev/full", 2),
        ("weft check g.json >/dev/full", 1),
        ("weft check g.json --json >/dev/full", 1),
        ("weft schema >/dev/full", 1),
        ("weft watch paint.json --nodes paint.py --store s >/dev/full", 1),
        ("mkdir gone; cd gone; rmdir ../gone; weft check ../g.json", 2),
    ],
)
def test_a_stream_or_a_folder_that_cannot_be_used_is_an_exit_code(line: str, code: int, folder: Path) -> None:
    assert shell(folder, line).returncode == code


def test_a_reader_that_closes_the_pipe_gets_no_complaint(folder: Path) -> None:
    done = shell(folder, "weft schema | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_json_on_a_closed_stdout_is_refused_on_stderr_before_the_run(folder: Path) -> None:
    done = shell(folder, "weft run g.json --store s --json >&-")
    assert done.returncode == 2 and b"stdout" in done.stderr and not [*folder.glob("s/*/results")]


def test_files_do_not_take_the_place_of_closed_streams(folder: Path) -> None:
    (folder / "n.py").write_text(
        "import os\nfrom weft.engine import Artifact, node\n\n\n"
        "@node\ndef Shout() -> Artifact:\n"
        '    """A sink whose library prints."""\n'
        '    os.write(1, b"noise"), os.write(2, b"noise")\n'
        '    return Artifact(b"{}", "application/json", "quiet")\n'
    )
    graph = {"weft": 1, "nodes": {"s": {"type": "Shout"}}}
    (folder / "s.json").write_text(json.dumps(graph))
    assert shell(folder, "weft run s.json --nodes n.py --store s --out o 0>&- 1>&- 2>&-").returncode == 0
    assert (folder / "o/quiet_0001.json").read_bytes() == b"{}"
    assert not [path for path in folder.rglob("*") if path.is_file() and b"noise" in path.read_bytes().split(b"def")[0]]


@pytest.mark.parametrize(
    ("encoding", "title"), [("cp1252", b"\\U0001f389"), ("ascii", b"\\U0001f389"), ("utf-8", b"\xf0\x9f\x8e\x89")]
)
def test_characters_that_the_output_lacks_are_escaped(encoding: str, title: bytes, folder: Path) -> None:
    done = shell(folder, "weft show g.json", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stdout.startswith(title)
    assert ("caf\u00e9".encode(encoding, "backslashreplace")) in done.stdout


def test_texts_of_the_command_line_are_utf8_in_any_locale(folder: Path) -> None:
    ascii = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = shell(folder, "weft show g.json --set t.value=caf\u00e9", **ascii)
    assert done.returncode == 0 and b"caf\\xe9" in done.stdout
