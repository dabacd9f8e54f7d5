"""The pages for people agree with the code: what they name exists, and their examples are right."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.pages import TABLES, written
from weft.engine import Engine, events
from weft.engine.farm.sweep.job import load as load_job
from weft.engine.graph.document import read

ROOT = Path(__file__).parents[1]

FORMAT = ROOT / "graphs" / "FORMAT.md"

EVENTS = ROOT / "engine" / "EVENTS.md"


def pages() -> list[Path]:
    """Every Markdown page but the list of changes, which names what is gone."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if "CHANGELOG" not in line and (ROOT / line).is_file()]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_files_and_modules_that_exist(page: Path) -> None:
    text = page.read_text()
    links = {page.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)}
    paths = re.findall(r"(?<![\w/.-])(?:engine|nodes|tests|graphs|schema|\.ci|\.github)/[\w./*-]*\w", text)
    named = {ROOT / path for path in paths if not re.search(r"[A-Z]{4,}\.py|VERB|NAME", path)}
    assert not [path for path in links if not path.exists()]
    assert not [path for path in named if not path.exists() and not [*ROOT.glob(str(path.relative_to(ROOT)))]]
    assert not [name for name in re.findall(r"\bweft\.(?:engine|nodes)(?:\.\w+)+", text) if not exists(name)]


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute) or bool(importlib.import_module(name))
    except ModuleNotFoundError:
        return False


def blocks(page: Path, kind: str) -> list[str]:
    """The examples of a page that begin with ```` ```kind ````."""
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.DOTALL)


def rows(page: Path) -> dict[str, str]:
    """The rows of a page's tables: the rest by the first cell, where that is one name in backticks."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", page.read_text(), re.MULTILINE))


@pytest.mark.parametrize("number", range(len(blocks(FORMAT, "json"))))
def test_each_example_of_the_format_page_is_right(number: int, tmp_path: Path) -> None:
    text = blocks(FORMAT, "json")[number]
    if "weft_job" in text:
        (tmp_path / "job.json").write_text(text)
        (tmp_path / "graph.json").write_text(blocks(FORMAT, "json")[0])
        load_job(tmp_path / "job.json")
    else:
        assert Engine(store=None).check(read(text)).problems == ()


def described(schema: str, name: str = "") -> set[str]:
    """The keys of a JSON object, as a schema has them."""
    found: dict[str, Any] = json.loads((ROOT / "schema" / schema).read_text())
    return set((found["$defs"][name] if name else found)["properties"])


def test_the_format_page_has_every_key() -> None:
    wanted = described("graph.schema.json") | described("graph.schema.json", "ParameterModel")
    wanted |= described("graph.schema.json", "NodeModel") | described("job.schema.json")
    assert wanted <= rows(FORMAT).keys()


def every_event() -> list[type[events.Event]]:
    found = [one for one in vars(events).values() if isinstance(one, type) and issubclass(one, events.Event)]
    return [one for one in found if one is not events.Event]


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.__name__)
def test_the_events_page_has_each_event_with_its_fields(event: type[events.Event]) -> None:
    row = rows(EVENTS)[event.__name__]
    names = [part.strip() for part in row.split("|")[1].split(",") if part.strip()]
    assert names == [f"`{field.name}`" for field in fields(event)]


def test_the_events_page_names_no_event_that_does_not_exist() -> None:
    assert rows(EVENTS).keys() == {event.__name__ for event in every_event()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "pipelines" else name for name in TABLES]
)
def test_a_generated_table_is_up_to_date(name: str) -> None:
    assert written(name) == TABLES[name][1](), "run: python -m tests.pages"


def test_the_settings_page_has_every_environment_variable() -> None:
    sources = "".join(path.read_text() for top in ("engine", "nodes") for path in (ROOT / top).rglob("*.py"))
    used = set(re.findall(r"WEFT_[A-Z_]*[A-Z]", sources))
    assert used <= set(re.findall(r"WEFT_[A-Z_]*[A-Z]", (ROOT / "engine" / "SETTINGS.md").read_text()))
