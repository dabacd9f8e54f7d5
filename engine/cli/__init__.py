"""The command line: `weft COMMAND ...`, one file a command.

Exit codes: 0 done; 1 a node failed; 2 the graph or the call is wrong; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from weft.engine.cli import check, diff, farm, models, nodes, plan, run, schema, settings_listing, show, store, watch
from weft.engine.cli.options import expanded
from weft.engine.cli.output import Exit, say_error
from weft.engine.errors import InputError, StoreError, WeftError

app = typer.Typer(
    name="weft",
    help="Run, check and inspect graphs of diffusion nodes. A graph is a JSON file, a PNG by Weft, or - for stdin. "
    "`weft settings` shows the defaults of options and how to change them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (run, check, plan, watch, diff, show, nodes, schema):
    app.command(verb.__name__.rpartition(".")[2])(expanded(verb.command))
app.add_typer(models.app, name="models")
app.add_typer(store.app, name="store")
app.add_typer(settings_listing.app, name="settings")
app.add_typer(farm.app, name="farm")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"weft {version('weft-engine')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(call(list(sys.argv[1:] if arguments is None else arguments)))


def call(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        return app(arguments, prog_name="weft", standalone_mode=False) or Exit.DONE
    except typer.TyperException as fault:
        if message := fault.format_message():  # else the help was printed
            hint = "see `weft --help` and `weft COMMAND --help`"
            say_error(InputError(message.rstrip("."), hint), as_json="--json" in arguments)
        return Exit.WRONG
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has closed the pipe
        return Exit.FAILED
    except WeftError as fault:
        if "--debug" in arguments:
            traceback.print_exc()
        say_error(fault, as_json="--json" in arguments)
        return Exit.FAILED if isinstance(fault, StoreError) else Exit.WRONG
