"""`--preview`: a file that follows a node, JSON lines that name it; half blocks in a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.cli.conftest import Weft
from weft.engine.cli.blocks import to_blocks

NODES = '''"""A node that shows how it gets on."""

from io import BytesIO

from weft.engine import INJECTED, Context, node


@node
def Paint(level: int, context: Context = INJECTED) -> int:
    """Paint a square."""
    context.progress(1, 2, lambda: square(level))
    context.progress(2, 2, lambda: 1 / 0)  # comes too soon after the first to be wanted
    return level


def square(level: int) -> bytes:
    """A grey square as a PNG."""
    from PIL import Image

    packed = BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(packed, "PNG")
    return packed.getvalue()
'''

GRAPH = {
    "weft": 1,
    "nodes": {"square": {"type": "Paint", "inputs": {"level": 7}}},
    "outputs": {"o": {"link": "square"}},
}


@pytest.fixture
def paint(folder: Path) -> tuple[str, ...]:
    """The command that runs a graph of one node that paints."""
    (folder / "paint.py").write_text(NODES)
    (folder / "paint.json").write_text(json.dumps(GRAPH))
    return ("run", "paint.json", "--nodes", "paint.py")


def test_a_folder_gets_the_preview_and_a_json_line_names_it(weft: Weft, folder: Path, paint: tuple[str, ...]) -> None:
    ended = weft(*paint, "--preview", "looks/now", "--json")
    found = [line.get("preview") for line in ended.lines() if line["event"] == "node_progress"]
    assert ended.code == 0 and found == ["looks/now/square.png", None]
    assert [path.name for path in (folder / "looks/now").iterdir()] == ["square.png"]
    assert Image.open(folder / "looks/now/square.png").getpixel((0, 0)) == (7, 7, 7)


def test_a_preview_replaces_the_last_one(weft: Weft, folder: Path, paint: tuple[str, ...]) -> None:
    for level in (7, 200):
        weft(*paint, "--preview", "looks", "--set", f"square.level={level}")
    assert Image.open(folder / "looks/square.png").getpixel((0, 0)) == (200, 200, 200)


def test_json_lines_have_no_previews_by_themselves(weft: Weft, paint: tuple[str, ...]) -> None:
    assert not any("preview" in line for line in weft(*paint, "--json").lines())


def test_a_folder_that_cannot_be_is_refused(weft: Weft, folder: Path, paint: tuple[str, ...]) -> None:
    (folder / "looks").write_text("a file")
    ended = weft(*paint, "--preview", "looks")
    assert ended.code == 2 and "looks/square.png" in ended.err and "Traceback" not in ended.err


def test_a_square_in_half_blocks() -> None:
    packed = BytesIO()
    picture = Image.new("RGB", (2, 2), (1, 2, 3))
    picture.putpixel((0, 1), (4, 5, 6))
    picture.save(packed, "PNG")
    text = to_blocks(packed.getvalue(), columns=10, rows=10)
    assert text.plain == "▀▀\n" and text.spans[0].style == "rgb(1,2,3) on rgb(4,5,6)"


@pytest.mark.parametrize(("columns", "rows", "lines", "width"), [(64, 32, 32, 64), (64, 10, 10, 20), (30, 32, 15, 30)])
def test_half_blocks_fit_into_the_terminal(columns: int, rows: int, lines: int, width: int) -> None:
    packed = BytesIO()
    Image.new("RGB", (256, 256)).save(packed, "PNG")
    drawn = to_blocks(packed.getvalue(), columns, rows).plain.splitlines()
    assert (len(drawn), len(drawn[0])) == (lines, width)


@pytest.mark.parametrize(("colours", "blocks"), [({"COLORTERM": "truecolor"}, True), ({"COLORTERM": ""}, False)])
def test_a_terminal_in_full_colour_shows_previews(
    folder: Path, paint: tuple[str, ...], colours: dict[str, str], blocks: bool
) -> None:
    ours, theirs = pty.openpty()
    code = "from weft.engine.cli import main; main()"
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "", **colours}
    command = [sys.executable, "-c", code, *paint]
    subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    ended = b""
    with suppress(OSError):  # how a terminal ends on Linux
        while part := os.read(ours, 4096):
            ended += part
    os.close(ours)
    assert ("▀".encode() in ended) == blocks
