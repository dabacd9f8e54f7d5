"""Models that come with Weft; `training` draws their pictures and trains them.

`path("landscapes")` is the folder that `builtin:landscapes` means, in the layout of a diffusers pipeline. Importing
this package costs nothing; `training.train` and `training.evaluate` are the two commands, `README.md` is the model
card.
"""

from pathlib import Path

__all__ = ["FOLDER", "LICENCE", "LORA", "names", "path"]

FOLDER = Path(__file__).parent

LICENCE = "apache-2.0"

LORA = "pytorch_lora_weights.safetensors"
"""The file of a LoRA's folder, as diffusers names it."""


def names() -> tuple[str, ...]:
    """The names that may follow `builtin:`, in alphabetical order."""
    return tuple(sorted(folder.name for folder in FOLDER.iterdir() if _is_model(folder)))


def path(name: str) -> Path:
    """The folder of the builtin model `name`; a KeyError that lists the names where there is none."""
    if name not in names():
        raise KeyError(f"no builtin model is named {name!r}; there are: {', '.join(names()) or 'none'}")
    return FOLDER / name


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("model_index.json", "config.json", LORA))
