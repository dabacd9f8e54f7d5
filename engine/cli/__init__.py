"""The command line: `weft VERB ...`, one file a verb.

Exit codes: 0 done; 1 a node failed; 2 the graph or the call is wrong; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import typer

from weft.engine.cli import check, diff, farm, models, nodes, plan, run, schema, show, store, watch
from weft.engine.cli.output import Exit, say_error
from weft.engine.errors import InputError, StoreError, WeftError

app = typer.Typer(
    name="weft",
    help="Run, check and look into graphs of diffusion nodes. A graph is a JSON file, a PNG that Weft wrote, or `-`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (run, check, plan, watch, diff, show, nodes, schema):
    app.command(verb.__name__.rpartition(".")[2])(verb.command)
app.add_typer(models.app, name="models")
app.add_typer(store.app, name="store")
app.add_typer(farm.app, name="farm")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(call(list(sys.argv[1:] if arguments is None else arguments)))


def call(arguments: list[str]) -> int:
    """Run the command line; its exit code."""
    try:
        return app(arguments, prog_name="weft", standalone_mode=False) or Exit.DONE
    except typer.TyperException as fault:
        if message := fault.format_message():  # else the help was printed
            hint = "`weft --help` and `weft VERB --help` say what can be given"
            say_error(InputError(message.rstrip("."), hint), as_json="--json" in arguments)
        return Exit.WRONG
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left
        return Exit.FAILED
    except WeftError as fault:
        if "--debug" in arguments:
            traceback.print_exc()
        say_error(fault, as_json="--json" in arguments)
        return Exit.FAILED if isinstance(fault, StoreError) else Exit.WRONG
