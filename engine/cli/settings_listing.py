"""`weft settings`: every setting with its value and where the value comes from; and trusting folders of graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.home import with_home
from weft.engine.settings import TABLE, Setting, Settings, check_next_to_graph, resolve
from weft.engine.settings_file import CONFIG, trust, trusted_folders, user_file

app = typer.Typer(help="Show the settings, and trust folders of graphs to have their own.", invoke_without_command=True)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with graphs and a weft.toml.")]
SettingsFor = Annotated[
    Path | None, typer.Option("--graph", metavar="GRAPH", help="Show the settings that hold for this graph.")
]


@app.callback()
def show(call: typer.Context, graph: SettingsFor = None, json: options.Json = False) -> int:
    """Print every setting with its value and the file, variable or default that the value comes from."""
    if call.invoked_subcommand:
        return Exit.DONE
    settings = resolve(graph_folder=graph.parent if graph else None)
    if json:
        for one in TABLE:
            json_line(_record(settings, one))
        return Exit.DONE
    rows = [(one.name, _shown(settings.value(one.name)), _origin(settings, one), one.variable) for one in TABLE]
    print(table([("setting", "value", "from", "variable"), *rows]))
    file = user_file()
    missing = " (there is none)" if file and not file.is_file() else ""
    say(
        f"settings file: {file}{missing}"
        if file
        else f"settings file: none ({CONFIG} is empty, or there is no home folder)"
    )
    for folder in trusted_folders():
        say(f"trusted: {folder}")
    return Exit.DONE


@app.command("trust")
def trust_folder(folder: Folder) -> int:
    """Let the weft.toml in a folder set device, precision, memory, weights, offload and metadata for the graphs in it.

    A file with a problem is refused: the message says what is wrong with it.
    """
    check_next_to_graph(with_home(folder))
    changed = trust(folder)
    print(f"{with_home(folder).resolve()}: {'trusted' if changed else 'was trusted already'}")
    return Exit.DONE


@app.command("distrust")
def distrust_folder(folder: Folder) -> int:
    """Ignore the weft.toml in a folder again."""
    changed = trust(folder, withdraw=True)
    print(f"{with_home(folder).resolve()}: {'no longer trusted' if changed else 'was not trusted'}")
    return Exit.DONE


def _record(settings: Settings, one: Setting) -> dict[str, Any]:
    return {
        "name": one.name,
        "value": _plain(settings.value(one.name)),
        "origin": list(settings.origin(one.name)),
        "variable": one.variable,
        "option": one.option,
        "expected": one.kind.expected,
        "help": one.help,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _shown(value: Any) -> str:
    plain = _plain(value)
    if plain in (None, []):
        return "-"
    if isinstance(plain, bool):
        return str(plain).lower()
    return ", ".join(map(str, plain)) if isinstance(plain, list) else str(plain)


def _origin(settings: Settings, one: Setting) -> str:
    return ", ".join(dict.fromkeys(settings.origin(one.name)))
