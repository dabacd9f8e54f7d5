"""`weft.toml`: where the user's lies, which folders are trusted to have one, and what a file contains, by line.

Nothing here knows which settings there are (`weft.engine.settings` does).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError, Problem, SettingsError
from weft.engine.home import with_home

NAME = "weft.toml"

CONFIG = "WEFT_CONFIG"
"""The environment variable that names another file than the user's; empty, no file is read."""


@dataclass(frozen=True)
class FileValue:
    """One value of a file.

    Args:
        name: with the table that it is in, `limits.max_pixels`.
        place: `FILE:LINE`.
    """

    name: str
    value: Any
    place: str


def user_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The user's file, whether or not it exists; None where the environment turns it off, or there is no home folder.

    Raises:
        SettingsError: where `WEFT_CONFIG` names no file.
    """
    if CONFIG not in environment:
        folder = _configuration_folder()
        return folder / NAME if folder else None
    if not environment[CONFIG]:
        return None
    path = with_home(environment[CONFIG])
    if not _is_file(path):
        hint = "fix or unset the variable"
        raise SettingsError([Problem(f"there is no file {path}", hint, file=CONFIG, code="missing-settings-file")])
    return path


def file_values(path: Path) -> tuple[FileValue, ...]:
    """Every value of a file, those of tables under `TABLE.NAME`; none where there is no file.

    Raises:
        SettingsError: where it cannot be read or is no TOML; the problem names the line.
    """
    if not _is_file(path):
        return ()
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        message, line = _located(str(fault))
        hint = 'a line is NAME = VALUE; texts are in quotes: device = "cpu"'
        raise SettingsError([Problem(f"not TOML: {message}", hint, file=f"{path}{line}", code="not-toml")]) from None
    except (OSError, UnicodeDecodeError) as fault:
        problem = Problem(f"cannot be read: {fault}", "check the file", file=str(path), code="unreadable-settings-file")
        raise SettingsError([problem]) from None
    lines = _lines(text)
    return tuple(FileValue(name, value, _place(path, lines, name)) for name, value in _flat(content))


def _located(fault: str) -> tuple[str, str]:
    """The message of a TOML error and `:LINE`."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", fault)
    return (found[1], f":{found[2]}" if found[2] else "") if found else (fault, "")


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _lines(text: str) -> dict[str, int]:
    """The line of each name, of a table `[NAME]` too, counted from 1."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = head[1].replace('"', "") + "."
            found.setdefault(table[:-1], number)
        elif key := re.match(r"""\s*([\w."'-]+)\s*=""", line):
            found.setdefault(table + key[1].replace('"', "").replace("'", ""), number)
    return found


def _place(path: Path, lines: Mapping[str, int], name: str) -> str:
    """`FILE:LINE`, the line of its table where the value itself is in one line with it."""
    while name not in lines and "." in name:
        name = name.rpartition(".")[0]
    return f"{path}:{lines[name]}" if name in lines else str(path)


def trusted_folders(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The folders whose `weft.toml` counts for the graphs in them."""
    file = _trust_file(environment)
    try:
        listed = json.loads(file.read_bytes()) if file else []
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    except (OSError, ValueError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        hint = "remove it, and trust folders again with `weft settings trust FOLDER`"
        code = "unreadable-settings-file"
        raise SettingsError([Problem("expected a JSON list of folders", hint, file=str(file), code=code)])
    return tuple(map(Path, listed))


def trust(folder: Path, environment: Mapping[str, str] = os.environ, *, withdraw: bool = False) -> bool:
    """Trust a folder, or no longer; gives whether that changed anything.

    Raises:
        InputError: for what is no folder, where there is no configuration folder, or where it cannot be written.
    """
    folder, known = with_home(folder).resolve(), list(trusted_folders(environment))
    file = _trust_file(environment)
    if file is None:
        hint = f"unset {CONFIG} if it is empty, or name a file in it"
        raise InputError("there is no folder for settings", hint)
    if not withdraw and not folder.is_dir():
        raise InputError(f"`{folder}` is no folder", "name the folder of your graphs")
    if (folder in known) is not withdraw:
        return False
    changed = [one for one in known if one != folder] if withdraw else [*known, folder]
    try:
        replace_file(file, (json.dumps([str(one) for one in changed], indent=2) + "\n").encode())
    except OSError as fault:
        raise InputError(f"`{file}` cannot be written: {fault.strerror}", "check its folder") from None
    return True


def _trust_file(environment: Mapping[str, str]) -> Path | None:
    path = user_file(environment)
    return path.parent / "trusted_folders.json" if path else None


def _is_file(path: Path) -> bool:
    """Whether there is a file. A home folder that this user may not look into has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _configuration_folder() -> Path | None:
    from platformdirs import user_config_path

    try:
        return user_config_path("weft")
    except RuntimeError:  # there is no home folder
        return None
