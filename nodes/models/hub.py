"""The Hugging Face hub's cache: what is in it, and fetching a model into it. Only `fetch` imports the hub's client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from weft.engine import InputError
from weft.nodes.models.diffusers_folder import CONFIGURATIONS, WEIGHTS

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(text: str) -> bool:
    """Whether a source has the form of a hub id, `organisation/name`."""
    return bool(HUB_ID.fullmatch(text)) and not text.endswith(".safetensors")


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder in which the hub's own client keeps what it downloads."""
    if "HF_HUB_CACHE" in environment:
        return Path(environment["HF_HUB_CACHE"]).expanduser()
    caches = Path(environment.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(environment.get("HF_HOME", caches / "huggingface")).expanduser() / "hub"


def snapshot(hub_id: str, cache: Path) -> Path | None:
    """The folder of a hub id's main revision in the cache; None where it is not there."""
    folder = cache / f"models--{hub_id.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if not reference.is_file():
        return None
    found = folder / "snapshots" / reference.read_text().strip()
    return found if found.is_dir() else None


def cached_ids(cache: Path) -> Iterator[str]:
    """The hub ids of the models in the cache."""
    for folder in sorted(cache.glob("models--*--*")):
        yield folder.name.removeprefix("models--").replace("--", "/", 1)


def fetch(hub_id: str, components: tuple[str, ...], variant: str) -> Path:
    """Download a model in the diffusers layout into the hub's cache; where it lies then.

    Raises:
        InputError: where the hub does not give it.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        files = [*wanted(HfApi().list_repo_files(hub_id), components, variant)]
        return Path(snapshot_download(hub_id, cache_dir=cache_folder(), allow_patterns=files))
    except Exception as fault:  # the client's transport has errors of its own, which differ by version
        reason = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
        raise InputError(
            f"the hub does not give `{hub_id}`: {reason}", "check the id and the network", "hub-refused"
        ) from fault


def wanted(names: Iterable[str], components: tuple[str, ...], variant: str) -> Iterator[str]:
    """Those of a repository's files that make up a model: the components' configurations and one variant's weights.

    A component without the variant is taken with its plain weights; one that has no plain ones, with all it has.
    """
    for component in components:
        mine = [PurePosixPath(name) for name in names if str(PurePosixPath(name).parent) == (component or ".")]
        yield from (str(path) for path in mine if path.suffix in CONFIGURATIONS)
        matches = [(path, WEIGHTS.fullmatch(path.name)) for path in mine]
        weights = [(str(path), match["variant"] or "") for path, match in matches if match]
        kinds = {kind for _, kind in weights}
        chosen = variant if variant in kinds else "" if "" in kinds else None
        yield from (name for name, kind in weights if chosen in (kind, None))
