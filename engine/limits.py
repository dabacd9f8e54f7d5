"""Limits for graphs of strangers; each limit is a setting (`WEFT_MAX_PIXELS=...`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from weft.engine.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Upper bounds that the checker and the engine enforce.

    Args:
        max_pixels: width x height x batch of one image or latent, in pixels.
        max_batch: items in one batch.
        max_nodes: nodes of a graph, subgraphs inlined.
        max_file_bytes: the size of a graph file.
        max_store_bytes: the size of the store on disk; the oldest results are removed above it.
    """

    max_pixels: int = 2**28
    max_batch: int = 4096
    max_nodes: int = 200_000
    max_file_bytes: int = 2**30
    max_store_bytes: int = 20 * 10**9

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits, each overridden by `WEFT_` and its name in capitals.

        Raises:
            InputError: where a variable is no whole number.
        """
        given = {one.name: environment[name] for one in fields(cls) if (name := variable(one.name)) in environment}
        for name, text in given.items():
            if not text.isdecimal():
                raise InputError(f"{variable(name)} is {text!r}, expected a whole number", "fix or unset it")
        return cls(**{name: int(text) for name, text in given.items()})


def variable(name: str) -> str:
    """The environment variable of a limit: `max_pixels` -> `WEFT_MAX_PIXELS`."""
    return f"WEFT_{name.upper()}"
