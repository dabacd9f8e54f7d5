"""What all tests share: settings files are ignored, the suite is spread over processes, comparisons are counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import hypothesis
import pytest

from weft.engine.settings_file import CONFIG

os.environ[CONFIG] = ""  # before anything makes an engine; processes that tests start inherit it

hypothesis.settings.register_profile("weft", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("weft")

COMPARED = ("compared with diffusers", "yes")
"""The property of a test that compares pictures with those of diffusers' own pipelines."""

PAINTING = frozenset({"oracle", "weft_paints", "zoo"})
"""The fixtures of tests that load tiny models of every family, and paint with them."""

LARGE, SHARE = 3, 7
"""Of how many cases on a table of pictures is painted in part by default, and one of how many cases is."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """The whole suite runs in a process a core; files and folders that are named run in pytest's own process."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return None if whole else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """One thread and few heaps for each process; the processes of the suite and of its tests inherit it.

    Two processes in which torch has two threads each take ten times as long on two cores. An allocator with a heap a
    thread keeps what the threads of many engines have freed.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests that compare pictures with those of diffusers' own pipelines, and most of the largest tables.

    A table of `LARGE` cases or more that are painted, such as samplers by schedules by models, and each table marked
    `wide` is run whole under `slow`. By default one of `SHARE` cases is, chosen by its name, and one of each table at
    least: the same ones each time, from all rows and columns.
    """
    painting = [item for item in items if PAINTING & {*getattr(item, "fixturenames", ())}]
    cases = Counter(map(_function, painting))
    for item in painting:
        if "oracle" in getattr(item, "fixturenames", ()):
            item.user_properties.append(COMPARED)
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        large = item.get_closest_marker("wide") is not None or cases[_function(item)] >= LARGE
        if large and item.get_closest_marker("slow") is None:
            tables.setdefault(_function(item), []).append(item)
    for table in tables.values():
        by_name = {crc32(item.name.encode()): item for item in table}
        kept = [number for number in by_name if number % SHARE == 0] or [min(by_name)]
        for number in by_name.keys() - {*kept}:
            by_name[number].add_marker(pytest.mark.slow)


def _function(item: pytest.Item) -> str:
    """The name of a test without that of its case."""
    return item.nodeid.partition("[")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many of them passed."""
    passed = terminalreporter.getreports("passed")
    compared = sum(COMPARED in map(tuple, report.user_properties) for report in passed)
    if compared:
        terminalreporter.write_line(
            f"{compared} tests hold that pictures equal those of diffusers' own pipelines within 1/255"
        )
