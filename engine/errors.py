"""Every error that Weft raises, in one tree.

    WeftError
    |-- HintedError       says what to do about it, in `.hint`
    |   |-- InputError        a value or a file that cannot be used; raised by nodes and sources
    |   |   |-- SettingsError     settings that are wrong: all their problems, in `.problems`
    |   |   `-- ChangedFile       a file is not what it was when the run was planned
    |   |-- LiteralError      a literal or a link that an input does not take
    |   |-- StoreError        the store cannot be read or written
    |   |   `-- CorruptRecord     a stored record is damaged; it is dropped and computed again
    |   `-- TimeLimitError  a node or an item did not end within its time limit
    |-- CatalogError      a node library that cannot be loaded, or an invalid node type
    |-- GraphError        a graph or a call with problems: all of them, in `.problems`
    |-- NodeError         a node failed while it ran
    `-- Cancelled         the run was asked to stop

Each message says where, what was found and what was expected; `hint` says what to do about it; `code` says which kind
of fault it is, for programs and tests (`weft.engine.error_codes`).
"""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice
from typing import ClassVar

from weft.engine.keys import Digest


class WeftError(Exception):
    """The base of every error that Weft raises on purpose."""


class FormerNames:
    """The names that errors and problems had in version 0.1; they go with version 0.3."""

    hint: str

    @property
    def mend(self) -> str:
        """The former name of `hint`."""
        warnings.warn("`mend` is `hint` now", DeprecationWarning, stacklevel=2)
        return self.hint


class HintedError(FormerNames, WeftError):
    """An error that says what to do about it.

    Args:
        message: what was found and what was expected.
        hint: what the user can do about it.
        code: the kind of fault, in kebab case; left out, that of the class.
    """

    default_code: ClassVar[str]

    def __init__(self, message: str, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = self.default_code if code is None else code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(HintedError):
    """A value or a file that a node or a source cannot use."""

    default_code = "unusable-input"


class LiteralError(HintedError):
    """A literal or a link that an input does not take; as text the message alone, which others put into a sentence."""

    default_code = "wrong-type"

    def __str__(self) -> str:
        return self.message


class CatalogError(WeftError):
    """A node library that cannot be loaded, or a function that is no valid node."""


class SettingsError(InputError):
    """A settings file or an environment variable is wrong; `problems` has every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[WeftError], tuple[tuple[Problem, ...]]]:
        """How it goes to another process."""
        return type(self), (self.problems,)


class ChangedFile(InputError):  # noqa: N818 - a state of a file rather than a fault of the caller
    """A file is not what it was when its content was hashed, so what was read of it may be kept under no key.

    A run answers it by planning again.

    Args:
        path: the file.
    """

    default_code = "changed-file"

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` was changed while it was read", "run again when it is written no more")
        self.path = path

    def __reduce__(self) -> tuple[type[ChangedFile], tuple[str]]:
        """How it goes to another process."""
        return ChangedFile, (self.path,)


class StoreError(HintedError):
    """The store cannot be read or written; the message names the path."""

    default_code = "unusable-store"


class CorruptRecord(StoreError):  # noqa: N818 - a state of a record rather than a fault of the caller
    """A stored record cannot be used: a blob is missing or its bytes are not what they were.

    A run answers it by dropping the record and computing it again.

    Args:
        key: the content key of the record.
        reason: what was found, as a part of a sentence.
    """

    def __init__(self, key: Digest, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple[type[CorruptRecord], tuple[Digest, str]]:
        """How it goes to another process."""
        return CorruptRecord, (self.key, self.reason)


class TimeLimitError(HintedError):
    """A node did not end within its time limit.

    Args:
        limit: in seconds.
        rest: what else is known, as a part of a sentence.
    """

    default_code = "time-limit"

    def __init__(self, limit: float, rest: str = "") -> None:
        self.limit = limit
        self.rest = rest
        message = f"it did not end within {limit:g} s" + (f"; {rest}" if rest else "")
        super().__init__(message, "raise the limit: --node-timeout SECONDS, or WEFT_NODE_TIMEOUT")

    def __reduce__(self) -> tuple[type[TimeLimitError], tuple[float, str]]:
        """How it goes to another process."""
        return TimeLimitError, (self.limit, self.rest)


class Cancelled(WeftError):  # noqa: N818 - an outcome rather than a fault
    """The run was asked to stop; raised inside a node by `Context.progress`."""


@dataclass(frozen=True)
class Problem(FormerNames):
    """One thing that is wrong with a graph.

    Args:
        message: what was found and what was expected.
        hint: what the user can do about it.
        node: the node's id, by path where it is in a subgraph (`portrait/sampler`); empty where no node is at fault.
        input: the input's name; empty where no input is at fault.
        file: the graph file.
        code: the kind of fault, in kebab case (`weft.engine.error_codes`).
        made_at: `FILE:LINE` of the Python that made the node, where the graph was composed in Python.
    """

    message: str
    hint: str = ""
    node: str = ""
    input: str = ""
    file: str = ""
    code: str = ""
    made_at: str = ""

    @classmethod
    def of(
        cls, fault: InputError | LiteralError | StoreError, node: str = "", input: str = "", before: str = ""
    ) -> Problem:
        """The problem that an error with a hint and a code is.

        Args:
            before: what comes before its message.
        """
        return cls(f"{before}{fault.message}", fault.hint, node, input, code=fault.code)

    def plain(self) -> dict[str, str]:
        """The problem as one JSON object; `mend`, the former name of `hint`, is written too, for one version."""
        return {**asdict(self), "mend": self.hint}

    @property
    def where(self) -> str:
        """`file: node.input`, as far as each is known."""
        place = ".".join(part for part in (self.node, self.input) if part)
        return ": ".join(part for part in (self.file, place) if part)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        made = f"the node was made at {self.made_at}" if self.made_at else ""
        return "\n    ".join(filter(None, (text, self.hint, made)))

    def within(self, file: str) -> Problem:
        """The same problem, located in `file` unless it names one already."""
        return self if self.file else replace(self, file=file)


class GraphError(WeftError):
    """A graph, or the call that was to run it, is wrong; `problems` has every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[WeftError], tuple[tuple[Problem, ...]]]:
        """How it goes to another process."""
        return type(self), (self.problems,)


class NodeError(WeftError):
    """A node failed while it ran.

    Args:
        node: the node's id in the graph.
        type: the name of its node type.
        cause: what the node raised.
    """

    def __init__(self, node: str, type: str, cause: BaseException) -> None:
        self.node = node
        self.type = type
        self.cause = cause
        super().__init__(f"{node} ({type}): {described(cause)}")

    def __reduce__(self) -> tuple[type[NodeError], tuple[str, str, BaseException]]:
        """How it goes to another process."""
        return NodeError, (self.node, self.type, self.cause)


def described(fault: BaseException) -> str:
    """`ValueError: its message`; the message alone of an error of Weft, the class alone where there is no message."""
    message = message_of(fault)
    if isinstance(fault, WeftError):
        return message
    return f"{type(fault).__name__}: {message}" if message else type(fault).__name__


def message_of(fault: BaseException) -> str:
    """The message of any exception, as text that UTF-8 can encode, of `MAX_MESSAGE` characters and a note at most.

    An exception of other code may raise while it makes its message, and file names may be in it that are not UTF-8.
    """
    try:
        text = str(fault)
    except BaseException as raised:  # whatever it is: the exception that is described is what counts
        text = f"its message cannot be shown, since that raises {type(raised).__name__}"
    return printable(text)


def printable(message: object) -> str:
    """A message as text that UTF-8 can encode, of `MAX_MESSAGE` characters and a note at most."""
    text = str(message)
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]} ... and {len(text) - MAX_MESSAGE:,} more characters"
    return text.encode("utf-8", "backslashreplace").decode()


MAX_MESSAGE = 10_000
"""Characters of an exception's message that are reported, since messages of libraries may hold whole arrays."""

MAX_PROBLEMS = 1000
"""How many problems of a graph or a job are reported; one more says that there are others."""

MAX_SUGGESTIONS = 20
"""How many names `few_suggestions` lets `nearest` suggest. The others of a long list of problems have no suggestion."""

_WORD = 64
"""Length of a name beyond which nothing is suggested for it, and it is not suggested."""

_CANDIDATES = 1000
"""How many names are compared with one that is unknown."""

_suggestions_left: ContextVar[list[int] | None] = ContextVar("suggestions left", default=None)


@contextmanager
def few_suggestions() -> Iterator[None]:
    """In the block, or the function that this decorates, only the first `MAX_SUGGESTIONS` calls of `nearest` compare
    names, since a graph may have as many unknown names as known ones. A block inside of another changes nothing.
    """
    if _suggestions_left.get() is not None:
        yield
        return
    token = _suggestions_left.set([MAX_SUGGESTIONS])
    try:
        yield
    finally:
        _suggestions_left.reset(token)


def nearest(word: str, words: Iterable[str], least: float = 0.6) -> str:
    """`did you mean X?` for the nearest of `words`, or the empty string where none is near.

    Names are compared in lower case, with `pp` for `++` and `_` for spaces and dashes: `DPM++ 2M` is `dpmpp_2m`. It
    takes milliseconds at most: long names are not compared, and of many names only the first `_CANDIDATES`.

    Args:
        least: the similarity of a name that is suggested (`difflib.SequenceMatcher.ratio`).
    """
    left = _suggestions_left.get()
    if len(word) > _WORD or left == [0]:
        return ""
    if left:
        left[0] -= 1
    folded = {_folded(option): option for option in islice(words, _CANDIDATES) if len(option) <= _WORD}
    matcher = SequenceMatcher()
    matcher.set_seq2(_folded(word))  # what is known of the second sequence is kept for all of the first
    bounds: list[tuple[float, str]] = []
    for option in folded:
        matcher.set_seq1(option)
        if matcher.real_quick_ratio() >= least and (bound := matcher.quick_ratio()) >= least:
            bounds.append((bound, option))
    best = (least, "")
    for bound, option in nlargest(_LIKELY, bounds):
        if bound >= best[0]:
            matcher.set_seq1(option)
            best = max(best, (matcher.ratio(), option))
    return f"did you mean `{folded[best[1]]}`?" if best[1] else ""


_LIKELY = 30
"""Of how many names, those with the greatest upper bounds, the similarity itself is computed."""


def _folded(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.lower().replace("++", "pp"))


def capped(problems: Iterable[Problem]) -> list[Problem]:
    """The first `MAX_PROBLEMS` problems; where there are more, a last one that says so. The rest is not computed."""
    found = list(islice(problems, MAX_PROBLEMS + 1))
    if len(found) > MAX_PROBLEMS:
        hint = "fix those that are listed, then check again"
        found[-1] = Problem(
            f"more than {MAX_PROBLEMS:,} problems; the others are not listed", hint, code="more-problems"
        )
    return found


def writing_hint(fault: OSError, option: str) -> str:
    """What to do where files cannot be written.

    Args:
        option: how another folder is chosen: `--out DIR`.
    """
    full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{'make room' if full else 'check that the folder can be written to'}, or choose another with {option}"


def listed(words: Iterable[str], limit: int = 12) -> str:
    """`a, b, c`, cut after `limit` words with a count of the rest; a word is cut after 200 characters."""
    options = words if isinstance(words, Collection) else list(words)
    first = (word if len(word) <= 200 else f"{word[:197]}..." for word in islice(options, limit))
    rest = len(options) - limit
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")
