"""The versions of the libraries that a training depends on, without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("weft-engine", "torch", "diffusers", "transformers", "peft", "bitsandbytes")


def library_versions() -> dict[str, str]:
    """By name, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
