"""What LoadCheckpoint and LoadControlNet may be given, and how it is found and recognised by names and headers alone.

A source is a path under a models folder (a diffusers folder or a safetensors file), a hub id whose files are in the
hub's cache, or `builtin:NAME`. Imports no torch; nothing is downloaded.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from weft.engine import InputError, Places, Resolved, Resource
from weft.engine.errors import nearest
from weft.engine.resources import find
from weft.nodes import builtin, folders
from weft.nodes.families import FAMILIES, Contents, Family, of_checkpoint, of_control_net
from weft.nodes.headers import kind_of, read_shapes, refuse_pickle

BUILTIN = "builtin:"

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

CHECKPOINT_PARTS = ("", "scheduler", "text_encoder", "tokenizer", "unet", "vae")


class ModelSource(Resource):
    """A string input that names weights."""

    def resolve(self, text: str, places: Places) -> Resolved:
        """The weights of that name.

        Raises:
            InputError: where they are missing, damaged, a pickle, or not what is wanted here.
        """
        root = located(text, places)
        contents = Contents(configs=folders.configs(root)) if root.is_dir() else Contents(shapes=read_shapes(root))
        family = self.family_of(contents)
        if family is None:
            raise self.refusal(root, contents)
        files = self.files(root) if root.is_dir() else (root,)
        return Resolved(text, root, files, family.name)

    @abstractmethod
    def family_of(self, contents: Contents) -> Family | None:
        """The family of what was found; None where it is not what is wanted."""

    @abstractmethod
    def refusal(self, root: Path, contents: Contents) -> InputError:
        """What was found instead."""

    @abstractmethod
    def files(self, root: Path) -> tuple[Path, ...]:
        """The files of a folder whose content counts; their headers are read, so that damage shows."""


class CheckpointSource(ModelSource):
    """A whole checkpoint: a denoiser, a text encoder and a VAE."""

    def family_of(self, contents: Contents) -> Family | None:
        return of_checkpoint(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        known = ", ".join(family.name for family in FAMILIES)
        if contents.shapes:
            kind = kind_of(contents.shapes)
            found = kind.name if kind else "nothing that Weft knows"
            return InputError(f"`{root.name}` is {found}, expected a checkpoint", kind.mend if kind else _CHECKPOINT)
        if contents.configs.get("", {}).get("_class_name") == "ControlNetModel":
            return InputError(f"`{root.name}` is a ControlNet, expected a checkpoint", "load it with LoadControlNet")
        parts = ", ".join(sorted(filter(None, contents.configs))) or "no components"
        return InputError(f"`{root.name}` ({parts}) is no checkpoint of a family that Weft loads: {known}", _CHECKPOINT)

    def files(self, root: Path) -> tuple[Path, ...]:
        for component in ("unet", "vae", "text_encoder"):
            _read_headers(root / component)
        return folders.content(root, CHECKPOINT_PARTS)


class ControlNetSource(ModelSource):
    """A ControlNet alone."""

    def family_of(self, contents: Contents) -> Family | None:
        return of_control_net(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        kind = kind_of(contents.shapes)
        whole = of_checkpoint(contents)
        found = f"a checkpoint ({whole.name})" if whole else kind.name if kind else "nothing that Weft knows"
        mend = "load it with LoadCheckpoint" if whole else _CONTROL_NET
        return InputError(f"`{root.name}` is {found}, expected a ControlNet", mend)

    def files(self, root: Path) -> tuple[Path, ...]:
        _read_headers(root)
        return folders.content(root, ("",))


_CHECKPOINT = "give a diffusers folder, or a safetensors file with the UNet, the VAE and the text encoder"
_CONTROL_NET = "give a diffusers folder of a ControlNet, or a safetensors file in the original layout"


def located(text: str, places: Places, environment: Mapping[str, str] = os.environ) -> Path:
    """The file or folder that a source names: a builtin, a path in the places, or a snapshot in the hub's cache.

    Raises:
        InputError: where there is none, and for a pickle.
    """
    if text.startswith(BUILTIN):
        return _builtin(text.removeprefix(BUILTIN))
    if not text.strip():
        raise InputError("the name of the model is empty", f"give a path, a hub id or `{BUILTIN}NAME`")
    refuse_pickle(Path(text))
    searched = (*places.models, *places.files)
    path = find(text, searched)
    if path is None and HUB_ID.fullmatch(text) and not text.endswith(".safetensors"):
        path = _snapshot(text, hub_cache(environment))
        if path is None:
            raise InputError(
                f"`{text}` is no path under the models folders, and no model of that hub id is in the hub's cache",
                f"get it with: weft models pull {text}",
            )
    if path is None:
        raise InputError(
            f"there is no model `{text}` in {', '.join(map(str, searched))}",
            _near(text, searched) or "check the name, or add its folder with --models DIR",
        )
    return path


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder in which the hub's own client keeps what it downloads."""
    if "HF_HUB_CACHE" in environment:
        return Path(environment["HF_HUB_CACHE"]).expanduser()
    cache = Path(environment.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(environment.get("HF_HOME", cache / "huggingface")).expanduser() / "hub"


def _snapshot(hub_id: str, cache: Path) -> Path | None:
    """The folder of a hub id's main revision in the cache."""
    folder = cache / f"models--{hub_id.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = folder / "snapshots" / reference.read_text().strip()
    return snapshot if snapshot.is_dir() else None


def _builtin(name: str) -> Path:
    if name not in builtin.names():
        known = ", ".join(builtin.names()) or "none"
        raise InputError(f"there is no builtin model `{name}`", nearest(name, builtin.names()) or f"there are: {known}")
    return builtin.path(name)


def _near(text: str, searched: tuple[Path, ...]) -> str:
    wanted = Path(text)
    beside = (folder / wanted.parent for folder in searched)
    return nearest(wanted.name, [entry.name for folder in beside if folder.is_dir() for entry in folder.iterdir()])


def _read_headers(folder: Path) -> None:
    """Read the header of each weights file of a component, so that a damaged one is found before anything runs."""
    for paths in folders.weights(folder).values():
        for path in paths:
            read_shapes(path)
