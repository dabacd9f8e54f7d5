"""The generated tables of the reference pages: `python -m tests.pages` writes them from the code.

A table stands in its page between `<!-- NAME -->` and `<!-- end -->`; `tests/test_pages.py` fails where it differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from weft.engine import error_codes
from weft.engine.settings import TABLE
from weft.nodes import problem_codes

ROOT = Path(__file__).parents[1]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def codes(meanings: Mapping[str, str]) -> str:
    """Each error code with its meaning."""
    return table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in meanings.items()))


def settings() -> str:
    """Each setting with its variable, its option, the values that it takes and its default."""
    head = ("in `weft.toml`", "variable", "option", "meaning", "values", "default", "next to a graph")
    return table(
        head,
        (
            (
                f"`{one.name}`",
                f"`{one.variable}`",
                f"`{one.option}`" if one.option else "",
                one.help,
                one.kind.expected,
                one.default,
                "yes" if one.next_to_graph else "",
            )
            for one in TABLE
        ),
    )


def pipelines() -> str:
    """Each pipeline that the installed diffusers exports, what it gives, and whether it was compared or why not."""
    from tests.nodes.pipeline_states import states

    head = ("pipeline", "gives", "compared with diffusers")
    return table(head, ((f"`{name}`", ", ".join(given), state) for name, given, state in states()))


TABLES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "codes": ("engine/ERRORS.md", partial(codes, error_codes.CODES)),
    "codes of nodes": ("nodes/ERRORS.md", partial(codes, problem_codes.CODES)),
    "pipelines": ("nodes/PIPELINES.md", pipelines),
    "settings": ("engine/SETTINGS.md", settings),
}
"""Each generated table: its page, and what makes it."""


def written(name: str) -> str:
    """A table as its page has it."""
    text = (ROOT / TABLES[name][0]).read_text()
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    return found[1] if found else ""


def write(name: str) -> None:
    """Put a table into its page."""
    page, make = TABLES[name]
    text = (ROOT / page).read_text()
    made = f"<!-- {name} -->\n{make()}\n<!-- end -->"
    (ROOT / page).write_text(re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: made, text, flags=re.DOTALL))


if __name__ == "__main__":
    for name in TABLES:
        write(name)
