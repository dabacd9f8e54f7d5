"""What is measured on a device: figures with what they may be at most, and a log that goes on where it was cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TRIES = 2
"""How often a measurement that ends its process is begun."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        value: a number, or a text where there is none.
        unit: of the number.
        most: what it should be at most; None where nothing is asked of it.
    """

    name: str
    value: float | str
    unit: str = ""
    most: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is not what it should be. A number that is none is not."""
        return self.most is not None and not (isinstance(self.value, (int, float)) and self.value <= self.most)

    def __str__(self) -> str:
        shown = self.value if isinstance(self.value, str) else f"{self.value:.4g}"
        aim = "" if self.most is None else f" ({'MORE THAN' if self.missed else 'at most'} {self.most:g})"
        return f"{self.name} {shown}{f' {self.unit}' if self.unit else ''}{aim}"


@dataclass(frozen=True)
class Measurement:
    """Something to measure.

    Args:
        item: its name within its part.
        call: measures.
    """

    item: str
    call: Callable[[], Iterable[Figure]]


@dataclass(frozen=True)
class Row:
    """What came of a measurement: figures, or why there are none.

    Args:
        seconds: that it took.
    """

    part: str
    item: str
    seconds: float
    figures: tuple[Figure, ...] = ()
    failed: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Row:
        """The row of a line of a log."""
        return cls(**{**given, "figures": tuple(Figure(**one) for one in given["figures"])})

    def __str__(self) -> str:
        return f"{self.part}: {self.item} [{self.seconds:.1f} s]: {self.failed or '; '.join(map(str, self.figures))}"


@dataclass
class Log:
    """Rows in files of a JSON object a line, all of which have all rows.

    Args:
        files: the first is read.
    """

    files: Sequence[Path]
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    begun: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for one in _objects(self.files[0]):
            key = (one["part"], one["item"])
            if "figures" in one:
                self.rows[key] = Row.of(one)
            else:
                self.begun[key] += 1

    def is_left(self, part: str, item: str) -> bool:
        """Whether a measurement is to be made: it has no row yet, and has not ended its process too often."""
        key = (part, item)
        return key not in self.rows and self.begun[key] < TRIES

    def begin(self, part: str, item: str) -> None:
        """Note that a measurement begins, for the case that it ends the process."""
        self.begun[part, item] += 1
        self._write({"part": part, "item": item})

    def add(self, row: Row) -> None:
        """Keep what came of a measurement."""
        self.rows[row.part, row.item] = row
        self._write(asdict(row))

    def _write(self, given: Mapping[str, Any]) -> None:
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as opened:
                opened.write(json.dumps(given) + "\n")

    def table(self) -> str:
        """The rows as a page."""
        cut = [(part, item) for (part, item), times in self.begun.items() if (part, item) not in self.rows]
        lines = ["| part | what | seconds | figures |", "| --- | --- | --- | --- |"]
        for row in self.rows.values():
            shown = f"failed: {row.failed}" if row.failed else "<br>".join(map(str, row.figures))
            lines.append(f"| {row.part} | {row.item} | {row.seconds:.1f} | {shown.replace('|', '/')} |")
        lines += [f"| {part} | {item} | | cut |" for part, item in cut]
        missed = sum(figure.missed for row in self.rows.values() for figure in row.figures)
        failed = sum(bool(row.failed) for row in self.rows.values())
        lines += [
            "",
            f"{len(self.rows)} measurements, {failed} failed, {len(cut)} cut; {missed} figures above their aim.",
        ]
        return "\n".join(lines) + "\n"


def _objects(file: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a log; one that was cut in the middle is left out."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
