"""The tables of a server's queue: their version, how older ones become today's, and a row as a run."""

from __future__ import annotations

from typing import Any

from weft.engine.serve.served_run import ServedRun
from weft.engine.unicode_text import exact_json, read_json

VERSION = 3
"""The version of the tables, SQLite's `user_version`."""

TABLES = """
CREATE TABLE IF NOT EXISTS runs(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, caller TEXT NOT NULL, graph TEXT NOT NULL, title TEXT NOT NULL,
  state TEXT NOT NULL, priority INTEGER NOT NULL, submitted REAL NOT NULL, started REAL NOT NULL DEFAULT 0,
  ended REAL NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, parameters TEXT NOT NULL, wanted TEXT NOT NULL,
  result TEXT, error TEXT, bytes INTEGER NOT NULL DEFAULT 0, key TEXT, fingerprint TEXT NOT NULL,
  document BLOB NOT NULL, lease TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',
  stop INTEGER NOT NULL DEFAULT 0, recipe TEXT NOT NULL DEFAULT '', replayed TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON runs(caller, key);
CREATE INDEX IF NOT EXISTS by_state ON runs(state, number);
CREATE INDEX IF NOT EXISTS by_caller ON runs(caller, number);
CREATE INDEX IF NOT EXISTS by_lease ON runs(lease) WHERE lease != '';
CREATE INDEX IF NOT EXISTS by_recipe ON runs(fingerprint, recipe) WHERE recipe != '';
CREATE INDEX IF NOT EXISTS by_running ON runs(fingerprint) WHERE state = 'running';
CREATE TABLE IF NOT EXISTS shares(caller TEXT PRIMARY KEY, had REAL NOT NULL);
CREATE TABLE IF NOT EXISTS declined(
  number INTEGER PRIMARY KEY, run TEXT NOT NULL, worker TEXT NOT NULL, reason TEXT NOT NULL, UNIQUE(run, worker));
"""

ADDED = (
    (2, "lease TEXT NOT NULL DEFAULT ''"),
    (2, "worker TEXT NOT NULL DEFAULT ''"),
    (2, "stop INTEGER NOT NULL DEFAULT 0"),
    (3, "recipe TEXT NOT NULL DEFAULT ''"),
    (3, "replayed TEXT"),
)
"""The columns that versions after the first one have added."""

COLUMNS = (
    "id, caller, graph, title, state, priority, submitted, started, ended, attempt, parameters, wanted, result, error, "
    "bytes, lease, worker"
)


def run_of_row(row: tuple[Any, ...]) -> ServedRun:
    """The run of a row with `COLUMNS`."""
    id, caller, graph, title, state, priority, submitted, started, ended, attempt, *rest = row
    parameters, only, result, error, bytes, lease, worker = rest
    return ServedRun(
        *(id, caller, graph, title, state, priority, submitted, started, ended, attempt),
        parameters=read_json(parameters),
        only=tuple(read_json(only)),
        result=None if result is None else read_json(result),
        error=None if error is None else read_json(error),
        bytes=bytes,
        lease=lease,
        worker=worker,
    )


def plain_text(plain: object) -> str:
    """JSON values as a column has them."""
    return exact_json(plain).decode()
