"""The Hugging Face hub's cache: what is in it, and fetching a model into it. Only `fetch` imports the hub's client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from weft.engine import InputError, listed
from weft.nodes.models.diffusers_folder import CONFIGURATIONS, WEIGHTS
from weft.nodes.models.network_calls import first_line
from weft.nodes.models.safetensors_header import ENDINGS

CARD = "README.md"
"""The file of a repository that names the model's licence."""

MAIN = "main"
"""The revision of a repository that is taken where none is named."""

_PART = r"[A-Za-z0-9_][\w.-]*"

HUB_NAME = re.compile(
    rf"(?P<id>{_PART}/{_PART})(?:@(?P<revision>refs/pr/\d+|{_PART}))?(?:/(?P<path>{_PART}(?:/{_PART})*))?", re.ASCII
)
"""`organisation/name`, perhaps with `@revision`, perhaps with the path of a file or a folder in it."""

COMMIT = re.compile(r"[\w-]+", re.ASCII)


class HubName(NamedTuple):
    """What a source names on the hub.

    Args:
        id: of a repository, `organisation/name`.
        revision: a branch, a tag or a commit.
        path: of a file or a folder in the repository; empty for the repository itself.
    """

    id: str
    revision: str = MAIN
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """The parts of a name; None for what has not the form of one, such as `folder/file.safetensors`."""
        match = HUB_NAME.fullmatch(text)
        if match is None or match["id"].endswith(ENDINGS):
            return None
        return cls(match["id"], match["revision"] or MAIN, match["path"] or "")


def is_hub_id(text: str) -> bool:
    """Whether a source has the form of a name on the hub."""
    return HubName.parse(text) is not None


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder in which the hub's own client keeps what it downloads."""
    if "HF_HUB_CACHE" in environment:
        return _expanded(environment["HF_HUB_CACHE"])
    caches = _expanded(environment.get("XDG_CACHE_HOME", "~/.cache"))
    return _expanded(environment.get("HF_HOME", str(caches / "huggingface"))) / "hub"


def _expanded(text: str) -> Path:
    """The folder, with `~` replaced; where there is no home folder, one that cannot be there."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(os.devnull, text)


def snapshot(hub_id: str, cache: Path, revision: str = MAIN) -> Path | None:
    """The folder of a repository's revision in the cache; None where it is not there.

    Args:
        revision: a branch, a tag or a whole commit.
    """
    folder = cache / f"models--{hub_id.replace('/', '--')}"
    reference = folder / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    found = folder / "snapshots" / commit
    return found if COMMIT.fullmatch(commit) and found.is_dir() else None


def cached(text: str, cache: Path) -> Path | None:
    """What a source names in the cache; None where it is not there, or is no name on the hub."""
    name = HubName.parse(text)
    folder = snapshot(name.id, cache, name.revision) if name else None
    found = folder / name.path if folder and name else None
    return found if found and found.exists() else None


def cached_ids(cache: Path) -> Iterator[str]:
    """The hub ids of the models in the cache."""
    for folder in sorted(cache.glob("models--*--*")):
        yield folder.name.removeprefix("models--").replace("--", "/", 1)


def fetch(text: str, components: tuple[str, ...], variant: str) -> Path:
    """Download what a source names into the hub's cache; where it lies then.

    Raises:
        InputError: where the hub does not give it.
    """
    from huggingface_hub import HfApi, snapshot_download

    name = HubName.parse(text)
    if name is None:
        raise InputError(f"`{text}` is no name on the hub", "give organisation/name", "unknown-model")
    try:
        names = HfApi().list_repo_files(name.id, revision=name.revision)
        files = [*wanted(names, components, variant, name.path)]
        cache, patterns = cache_folder(), [*files, CARD] if files else [name.path]
        folder = snapshot_download(name.id, revision=name.revision, cache_dir=cache, allow_patterns=patterns)
    except Exception as fault:  # the client's transport has errors of its own, which differ by version
        raise InputError(
            f"the hub does not give `{text}`: {first_line(fault)}", "check the name and the network", "hub-refused"
        ) from fault
    if not files:
        known = sorted(file for file in names if file.endswith(ENDINGS))
        raise InputError(
            f"`{text}` has no model in the layout of diffusers, and not one file of weights",
            f"name one of its files: {listed(f'{name.id}/{file}' for file in known[:5]) or 'it has none'}",
            "hub-refused",
        )
    return Path(folder) / name.path


def wanted(names: Iterable[str], components: tuple[str, ...], variant: str, path: str = "") -> Iterator[str]:
    """Those of a repository's files that make up a model.

    They are the components' configurations and one variant's weights. A component without the variant is taken with its
    plain weights; one that has no plain ones, with all it has. A repository without a configuration is its only file of
    weights; nothing is wanted where there are several.

    Args:
        path: of a file that is wanted alone, or of the folder that the components are in.
    """
    present = [*names]
    if path in present:
        yield path
        return
    mine = {component: [*_files_of(present, PurePosixPath(path, component))] for component in components}
    heads = {str(PurePosixPath(path, head)) for head in ("model_index.json", "config.json")}
    if not heads & {*present}:
        top = [str(one) for one in _files_of(present, PurePosixPath(path)) if one.suffix in ENDINGS]
        if top:
            yield from top if len(top) == 1 else ()
            return
    for files in mine.values():
        yield from (str(file) for file in files if file.suffix in CONFIGURATIONS)
        matches = [(file, WEIGHTS.fullmatch(file.name)) for file in files]
        weights = [(str(file), match["variant"] or "") for file, match in matches if match]
        kinds = {kind for _, kind in weights}
        chosen = variant if variant in kinds else "" if "" in kinds else None
        yield from (file for file, kind in weights if chosen in (kind, None))


def _files_of(names: Iterable[str], folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """The files of one folder of a repository."""
    yield from (file for file in map(PurePosixPath, names) if file.parent == folder)
