"""The commands that compare the items of a job by numbers: `best` and `table`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.engine.atomic_write import replace_file
from weft.engine.cli import options
from weft.engine.cli.farm.app import FolderArgument, app
from weft.engine.cli.output import Exit, json_line, table
from weft.engine.farm.report.manifest import write_contact_sheet
from weft.engine.farm.report.scores import SECONDS, as_csv, as_plot, items_of, ranked, where
from weft.engine.farm.report.scores import table as table_of
from weft.engine.running.delivery import unwritable
from weft.engine.types import spelled

By = Annotated[str, typer.Option("--by", help="A number of each item: an output of the graph, a setting, or seconds.")]


@app.command("best")
def best(
    folder: FolderArgument,
    by: By,
    least: Annotated[bool, typer.Option("--least", help="The least first, for errors and distances.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="How many to show.")] = 20,
    above: Annotated[float | None, typer.Option("--above", help="Leave out what is less.")] = None,
    below: Annotated[float | None, typer.Option("--below", help="Leave out what is greater.")] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="NAME>=NUMBER", help="Leave out the others; also with <, <=, > and =."),
    ] = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also write contact_sheet.png of them, in this order.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Show the published items with the greatest score: their number, their pictures."""
    left = where(items_of(folder), conditions or ())
    found = ranked(left, by, least, above, below)[:top] if left else []
    for number, item in found if json else ():
        kept = {name: item.get(name) for name in ("id", "name", "number", "settings", "outputs", "files")}
        json_line({"event": "item", by: number, **kept})
    if not json:
        lines = [(f"{number:.6g}", ", ".join(one["path"] for one in item["files"])) for number, item in found]
        print(table(lines) if lines else "no item is within these bounds")
    if contact_sheet and found:
        path = write_contact_sheet(folder, (item for _, item in found), by)
        if not json:
            print(path)
    return Exit.DONE


@app.command("table")
def tabulate(
    folder: FolderArgument,
    by: Annotated[list[str], typer.Option("--by", help="A setting; once more for combinations of several.")],
    of: Annotated[
        list[str] | None, typer.Option("--of", help="A number. Default: seconds and all outputs that are numbers.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write a PNG of the first number over the first setting.")
    ] = None,
    json: options.Json = False,
) -> int:
    """Show the means of scores and seconds for each value of a setting, such as the steps or the sampler."""
    rows = table_of(items_of(folder), by, of or ())
    if csv:
        _write(csv, as_csv(rows).encode())
    if plot:
        _write(plot, as_plot(rows, of[0] if of else SECONDS))
    if json:
        for row in rows:
            json_line({"event": "row", "settings": row.settings, "items": row.count, "means": row.means})
        return Exit.DONE
    names = dict.fromkeys(name for row in rows for name in row.means)
    lines = [(*by, "items", *names)]
    for row in rows:
        means = (f"{row.means[name]:.6g}" if name in row.means else "" for name in names)
        lines.append((*(spelled(one).strip('"') for one in row.settings.values()), str(row.count), *means))
    print(table(lines))
    return Exit.DONE


def _write(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as fault:
        raise unwritable(fault) from None
