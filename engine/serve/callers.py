"""Who may call a server, and what each may do: tokens with scopes, kept as digests in a TOML file.

A token is in the header `Authorization: Bearer TOKEN` and nowhere else; the file has its SHA-256, so reading the file
gives nobody access. A server without such a file answers on the loopback interface alone, where everyone is `LOCAL`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError, listed, nearest

Scope = Literal["run", "graphs", "results", "work", "admin"]
"""`run`: run the graphs of the server, and see the own runs; `graphs`: post any graph; `results`: see runs of others;
`work`: take runs of everyone from the queue and say how they end; `admin`: all of that, cancel runs of others, raise
priorities, pause jobs."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


@dataclass(frozen=True)
class Quota:
    """What one caller may have of a server.

    Args:
        waiting: runs of theirs that may wait or run at a time; more are answered with 429.
        running: runs of theirs that run at a time, at most.
        share: their part of the time, compared with that of others who wait too.
        seconds_a_day: seconds of running within 24 hours; None is no limit.
        following: requests of theirs at a time that follow a run or wait for its end; more are answered with 429.
    """

    waiting: int = 100
    running: int = 1000
    share: float = 1.0
    seconds_a_day: float | None = None
    following: int = 200


@dataclass(frozen=True)
class Caller:
    """Somebody who calls: their name, which their runs have, and what they may do."""

    name: str
    scopes: frozenset[Scope]
    quota: Quota = field(default_factory=Quota)

    def may(self, scope: Scope) -> bool:
        """Whether they have a scope; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes


LOCAL = Caller("local", frozenset(SCOPES), Quota(waiting=10_000, following=500))
"""Everyone, at a server that answers on the loopback interface alone and has no tokens."""


@dataclass(frozen=True)
class Callers:
    """All callers of a server, by the digests of their tokens; without any, everyone is `LOCAL`."""

    by_digest: Mapping[str, Caller] | None = None

    def of(self, authorization: str | None) -> Caller | None:
        """The caller of a request by its header `Authorization`; None where that names nobody."""
        if self.by_digest is None:
            return LOCAL
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            return None
        return self.by_digest.get(digest_of(token.strip()))

    def quota(self, name: str) -> Quota:
        """What a caller may have, by name; one who is gone has what everyone has."""
        known = (LOCAL,) if self.by_digest is None else self.by_digest.values()
        return next((one.quota for one in known if one.name == name), Quota())

    def work(self, name: str) -> bool:
        """Whether one of a name may take runs and say how they end, still."""
        return self.by_digest is None or any(one.name == name and one.may("work") for one in self.by_digest.values())

    @classmethod
    def load(cls, path: Path) -> Callers:
        """The callers of a file.

        Raises:
            InputError: where it cannot be read, or is no such file.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8")).get("caller", [])
        except (OSError, ValueError) as fault:
            message = f"the tokens in {path} cannot be read: {fault}"
            raise InputError(message, "weft serve --add-token NAME makes the file", "unreadable-file") from None
        if not isinstance(tables, list) or not tables:
            raise _wrong(path, "it has no [[caller]]")
        return cls(dict(_caller(path, table) for table in tables))


def digest_of(token: str) -> str:
    """What the file has of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def add_token(path: Path, name: str, scopes: Iterable[str]) -> str:
    """Add a caller to a file, which is made where it is not there; gives the token, which is kept nowhere.

    Raises:
        InputError: for a name or a scope that cannot be, or a name that has a token already.
    """
    chosen = [*scopes]
    if not NAME.match(name):
        raise InputError(f"`{name}` is no name of a caller", "letters, digits, _ . -, at most 64", "malformed-value")
    if unknown := [one for one in chosen if one not in SCOPES]:
        hint = nearest(unknown[0], SCOPES) or f"one of {listed(SCOPES)}"
        raise InputError(f"there is no scope `{unknown[0]}`", hint, "unknown-choice")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if before and any(one.name == name for one in (Callers.load(path).by_digest or {}).values()):
        raise InputError(f"`{name}` has a token already", f"remove its [[caller]] from {path}", "name-taken")
    token = f"weft_{secrets.token_urlsafe(32)}"
    listing = ", ".join(f'"{one}"' for one in chosen)
    table = f'[[caller]]\nname = "{name}"\ntoken_sha256 = "{digest_of(token)}"\nscopes = [{listing}]\n'
    replace_file(path, f"{before}\n{table}".lstrip().encode())
    path.chmod(0o600)
    return token


def _caller(path: Path, table: object) -> tuple[str, Caller]:
    """One `[[caller]]`: the digest of its token, and who it is."""
    if not isinstance(table, dict):
        raise _wrong(path, "a [[caller]] is no table")
    name, digest, scopes = (table.pop(key, None) for key in ("name", "token_sha256", "scopes"))
    if not isinstance(name, str) or not NAME.match(name):
        raise _wrong(path, f"`{name}` is no name of a caller")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise _wrong(path, f"`token_sha256` of {name} is no SHA-256")
    if not isinstance(scopes, list) or not {*scopes} <= {*SCOPES}:
        raise _wrong(path, f"`scopes` of {name} are not all among {listed(SCOPES)}")
    return digest, Caller(name, frozenset(scopes), _quota(path, name, table))


def _quota(path: Path, name: str, table: Mapping[str, object]) -> Quota:
    known = Quota.__dataclass_fields__
    numbers: dict[str, float] = {}
    for key, given in table.items():
        if key not in known:
            raise _wrong(path, f"{name} has an unknown key `{key}`, expected {listed(known)}")
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < 1e9:
            raise _wrong(path, f"`{key}` of {name} is {given!r}, expected a number above 0")
        numbers[key] = int(given) if key in ("waiting", "running", "following") else float(given)
    return Quota(**numbers)  # type: ignore[arg-type]  # the keys and the kinds of their numbers were looked at


def _wrong(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "engine/serve/README.md has an example", "malformed-setting")
