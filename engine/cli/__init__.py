"""The command line: `weft COMMAND ...`, one file a command.

Exit codes: 0 done; 1 a node failed; 2 the graph or the call is wrong; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli.options import expanded
from weft.engine.cli.output import Exit, say, say_error
from weft.engine.cli.standard_streams import abandon, is_of_stream, prepare
from weft.engine.errors import InputError, StoreError, WeftError
from weft.engine.gc import paused_collection
from weft.engine.process_end import end_process

COMMANDS = (
    "run",
    "train",
    "check",
    "plan",
    "watch",
    "diff",
    "show",
    "graphs",
    "new",
    "import",
    "export",
    "nodes",
    "devices",
    "bench",
    "schema",
    "serve",
    "work",
)
"""Modules of this package with one command each, in the order of the help."""

MODULES = {"train": "run_training", "work": "work_queue", "import": "import_graph", "export": "export_graph"}
"""The module of a command, where it does not have the command's name."""

GROUPS = {"models": "models", "store": "store", "settings": "settings_listing", "farm": "farm"}
"""Groups of commands, and the module of this package that each is in."""


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The command line as these arguments need it: the command that they name, or all where they name none.

    Only what is in it is imported: `weft check` imports nothing of jobs, which takes as long as checking a graph.
    """
    known = (*COMMANDS, *GROUPS)
    wanted = arguments[:1] if arguments and arguments[0] in known else known
    app = typer.Typer(
        name="weft",
        help="Run, check and inspect graphs of diffusion nodes. A graph is a JSON file, a picture by Weft, or - for "
        "stdin. `weft settings` shows the defaults of options and how to change them.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_root,
    )
    for name in wanted:
        module = import_module(f"{__name__}.{(GROUPS | MODULES).get(name, name)}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(expanded(module.command))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"weft {version('weft-engine')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    prepare()
    end_process(call(list(sys.argv[1:] if arguments is None else arguments)))


def call(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        with paused_collection():  # what is imported stays
            app = command_line(arguments)
        code = app(arguments, prog_name="weft", standalone_mode=False) or Exit.DONE
        sys.stdout.flush()
        return code
    except typer.TyperException as fault:
        if message := fault.format_message():  # else the help was printed
            hint = "see `weft --help` and `weft COMMAND --help`"
            say_error(InputError(message.rstrip("."), hint), as_json="--json" in arguments)
        return Exit.WRONG
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        abandon(sys.stdout)  # the reader of our output has closed the pipe
        return Exit.FAILED
    except OSError as fault:
        if is_of_stream(fault):
            abandon(sys.stdout)
            say(f"error: stdout cannot be written: {fault.strerror}")
            return Exit.FAILED
        if _working_folder_exists():
            raise
        message = "the working folder does not exist any more"
        say_error(InputError(message, "change to a folder that exists", "missing-file"), as_json="--json" in arguments)
        return Exit.WRONG
    except WeftError as fault:
        if "--debug" in arguments:
            traceback.print_exc()
        say_error(fault, as_json="--json" in arguments)
        return Exit.FAILED if isinstance(fault, StoreError) else Exit.WRONG


def _working_folder_exists() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True
