"""Publishing exactly once: a picture gets a name that nothing has (`place_new`), and a sidecar comes last.

A sidecar `NAME.sidecar.json` says what a picture is: item, settings, graph, digests, versions, device, seconds. What
has one is done, whatever a ledger says; the manifest is made from them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from weft.engine.atomic_write import make_folder, place_new
from weft.engine.errors import InputError
from weft.engine.flushed_files import flush
from weft.engine.keys import digest_bytes
from weft.engine.unicode_text import json_text

SIDECAR = ".sidecar.json"
HIDDEN = ".farm"
"""The folder of a job's own files within its folder."""

_TYPES = {"id": str, "name": str, "number": int}
"""What every sidecar has."""


def batch_path(folder: Path, name: str) -> Path:
    """Where the batch of a name lies in the folder of a job, as long as its items are run together."""
    return Path(f"{folder}/{HIDDEN}/batches/{name}.json")


def dissolve(folder: Path, name: str) -> bool:
    """Have the items of a batch run by themselves from now on; whether there was a batch of this name."""
    path = batch_path(folder, name)
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


@dataclass(frozen=True)
class Staged:
    """An item's files, whole and on disk, and the names that they are to get; the sidecar is the last.

    Args:
        folder: the job's.
        id: the item's.
    """

    folder: Path
    id: str
    moves: tuple[tuple[Path, Path], ...]

    def publish(self) -> None:
        """Give each file its name. One that was cut short, as by a full disk, is replaced by the whole one.

        Raises:
            InputError: where another file has the name.
            OSError: where the folder cannot be written.
        """
        for source, final in self.moves:
            try:
                # Never replaces: two attempts cannot overwrite each other, nor a file that somebody put there.
                place_new(source, final)
            except FileExistsError:
                (self._settle_sidecar if final.name.endswith(SIDECAR) else self._settle)(source, final)

    def _settle(self, source: Path, final: Path) -> None:
        """Deal with a picture that is there."""
        there, wanted = final.read_bytes(), source.read_bytes()
        if not wanted.startswith(there):
            raise _name_taken(final)
        if len(there) < len(wanted):
            source.replace(final)

    def _settle_sidecar(self, source: Path, final: Path) -> None:
        """Deal with a sidecar that is there: that of the same item, published in the meantime, stays."""
        there = whole(self.folder, final)
        if there is None:
            source.replace(final)
        elif there["id"] != self.id:
            raise _name_taken(final)


def _name_taken(final: Path) -> InputError:
    return InputError(
        f"{final} is there already and is another picture",
        "move it away, or change the job's `name`",
        "name-taken",
    )


def stage(folder: Path, name: str, pictures: Sequence[Path], sidecar: dict[str, Any]) -> Staged:
    """Make an item's files ready: what is slow happens here, before the ledger is held.

    Args:
        folder: the job's.
        name: the item's, without ending; further pictures of the item get `_2`, `_3`.
        pictures: as delivered into a folder of the attempt.
        sidecar: what is known of them; their names and digests are added.
    """
    moves, files = [], []
    for index, picture in enumerate(pictures):
        final = folder / f"{name}{f'_{index + 1}' if index else ''}{picture.suffix}"
        make_folder(final.parent)
        content = picture.read_bytes()
        flush(picture)
        files.append(
            {"path": final.relative_to(folder).as_posix(), "bytes": len(content), "blake3": digest_bytes(content)}
        )
        moves.append((picture, final))
    staged = pictures[0].with_name(f"item{SIDECAR}")
    plain = {"weft_item": 1, "number": 0, "name": name, **sidecar, "files": files}
    staged.write_bytes(json_text(plain, orjson.OPT_APPEND_NEWLINE))
    flush(staged)
    # The sidecar is the last to get its name: what has one is done, so all that it lists must be there before.
    return Staged(folder, str(sidecar["id"]), (*moves, (staged, folder / f"{name}{SIDECAR}")))


def published(folder: Path) -> Iterator[dict[str, Any]]:
    """The sidecars of a folder whose files are there whole, in the order of the job."""
    found = [sidecar for path in sidecar_paths(folder) if (sidecar := whole(folder, path))]
    return iter(sorted(found, key=lambda sidecar: int(sidecar["number"])))


def sidecar_paths(folder: Path) -> list[Path]:
    """The sidecars of a folder, in any order."""
    return [Path(entry.path) for name, entry in files_of(folder).items() if name.endswith(SIDECAR)]


def files_of(folder: Path) -> dict[str, os.DirEntry[str]]:
    """What lies in the folder of a job and in those below, by name in it; the job's own files are left out."""
    found: dict[str, os.DirEntry[str]] = {}
    waiting = [("", str(folder))]
    while waiting:
        before, path = waiting.pop()
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    found[before + entry.name] = entry
                elif entry.name != HIDDEN:
                    waiting.append((f"{before}{entry.name}/", entry.path))
    return found


def listed(folder: Path) -> Iterator[dict[str, Any]]:
    """The sidecars of a folder as its job has them now, in its order.

    An edit of a job changes the numbers of its items. Pictures that the job no longer has come last, without a number.
    """
    try:
        lines = (folder / HIDDEN / "items.jsonl").read_bytes().splitlines()
        numbers = {item["id"]: item["number"] for item in map(orjson.loads, lines)}
    except (OSError, ValueError):
        yield from published(folder)
        return
    found = [{**sidecar, "number": numbers.get(sidecar["id"])} for sidecar in published(folder)]
    yield from sorted(found, key=lambda sidecar: (sidecar["number"] is None, sidecar["number"]))


def whole(folder: Path, path: Path) -> dict[str, Any] | None:
    """What a sidecar says; None where it or a file that it names is not there whole, so that the item runs again."""
    try:
        sidecar = read_sidecar(path)
    except ValueError:
        return None
    there = files_written(sidecar["files"], lambda name: Path(folder, name).stat())
    return None if there is None else sidecar


def read_sidecar(path: Path) -> dict[str, Any]:
    """What a sidecar says.

    Raises:
        ValueError: where it cannot be read, or is none.
    """
    try:
        sidecar: dict[str, Any] = orjson.loads(path.read_bytes())
        if all(isinstance(sidecar[name], kind) for name, kind in _TYPES.items()):
            _ = [(str(one["path"]), int(one["bytes"])) for one in sidecar["files"]]
            return sidecar
    except (OSError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} is no sidecar")


def files_written(files: Iterable[Mapping[str, Any]], status: Callable[[str], os.stat_result]) -> float | None:
    """When the last of an item's files was written, in seconds since 1970, 0 of none; None where one is not whole.

    Args:
        status: that of a file by its name in the folder of the job; an `OSError` or a `LookupError` where it has none.
    """
    last = 0.0
    for one in files:
        try:
            found = status(one["path"])
        except (OSError, ValueError, LookupError):
            return None
        if found.st_size != one["bytes"]:
            return None
        last = max(last, found.st_mtime)
    return last
