"""Folders of models as ComfyUI has them: its own folder, and the folders that its `extra_model_paths.yaml` names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weft.engine.errors import InputError

FILE = "extra_model_paths.yaml"

MAX_FILE = 2**20
"""The largest such file that is read, in bytes."""


def model_folders(path: Path) -> Iterator[Path]:
    """The folders of models that a path stands for: itself, the `models` of ComfyUI's folder, those that a file lists.

    Raises:
        InputError: for a file that lists none.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        yield from _listed(path)
        return
    yield path
    if (path / "models" / "checkpoints").is_dir():
        yield path / "models"
    if (path / FILE).is_file():
        yield from _listed(path / FILE)


def _listed(path: Path) -> Iterator[Path]:
    """The folders of a file, those of sections that are marked as the default first."""
    import yaml

    try:
        content = path.open("rb").read(MAX_FILE + 1)
        tree = yaml.safe_load(content) if len(content) <= MAX_FILE else None
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as fault:
        raise InputError(f"{path} cannot be read: {fault}", "check the file", "unreadable-file") from fault
    sections = [one for one in tree.values() if isinstance(one, dict)] if isinstance(tree, dict) else []
    if not sections:
        hint = "write a section with `base_path` and a line for each kind: `checkpoints: models/checkpoints`"
        raise InputError(f"{path} lists no folders", hint, "malformed-value")
    for section in sorted(sections, key=lambda one: one.get("is_default") is not True):
        base = path.parent / Path(str(section.get("base_path") or ".")).expanduser()
        given = [text for name, text in section.items() if name not in ("base_path", "is_default")]
        lines = [line.strip() for text in given if isinstance(text, str) for line in text.splitlines()]
        yield from (base / Path(line).expanduser() for line in lines if line)
