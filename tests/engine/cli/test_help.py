"""What `--help` prints of commands and options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from weft.engine.cli import call, command_line


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def test_help_prints_all_that_is_quoted_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in square brackets is markup there, and vanishes."""
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    found = False
    for path, command in commands(get_command(command_line([]))):
        texts = [one.help or "" for one in (command, *command.params) if not getattr(one, "hidden", False)]
        quoted = {one for text in texts for one in re.findall(r"`[^`]+`", text.replace("\\[", "["))}
        call([*path, "--help"])
        printed = re.sub(r"[\s│]+", "", capsys.readouterr().out)
        assert not [one for one in quoted if re.sub(r"\s+", "", one) not in printed], path
        found |= bool(quoted)
    assert found
