"""The entries of a scheduler's configuration that checks before a run compute with, and what they must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.engine import InputError

MOST_TIMESTEPS = 100_000
"""The most timesteps of a training; known models have 1,000 at most."""

COUNTS = {"num_train_timesteps": 1, "original_inference_steps": 1, "steps_offset": 0}
"""Entries that are whole numbers up to `MOST_TIMESTEPS`, and the least value of each."""

NUMBERS = frozenset(
    {"shift", "flow_shift", "sigma_data", "sigma_min", "sigma_max", "beta_start", "beta_end", "shift_terminal"}
)
"""Entries that are finite numbers."""

TEXTS = frozenset(
    {"prediction_type", "beta_schedule", "timestep_spacing", "algorithm_type", "variance_type", "final_sigmas_type"}
)
"""Entries that are names."""

NEEDED = frozenset(
    {"num_train_timesteps", "steps_offset", "shift", "flow_shift", "sigma_data", "beta_start", "beta_end"}
)
"""Entries that cannot be null: their default holds only where they are missing."""


def check_entries(where: str, config: Mapping[str, Any]) -> None:
    """Raise `InputError` where an entry of a scheduler's configuration is not of its type, or out of range.

    Args:
        where: what messages call the file.
    """
    for name, found in config.items():
        wanted = _wanted(name)
        if wanted and not _fits(name, found):
            raise InputError(
                f"`{where}` says {str(found)[:40]!r} for `{name}`, which is {wanted}",
                "restore the model's own file",
                "damaged-file",
            )


def _wanted(name: str) -> str:
    """What an entry must be, for messages; empty for one that is not checked."""
    if name in COUNTS:
        return f"a whole number from {COUNTS[name]} to {MOST_TIMESTEPS}"
    return "a finite number" if name in NUMBERS else "a name" if name in TEXTS else ""


def _fits(name: str, found: object) -> bool:
    if found is None:
        return name not in NEEDED
    if isinstance(found, bool):
        return False
    if name in COUNTS:
        return isinstance(found, int) and COUNTS[name] <= found <= MOST_TIMESTEPS
    if name in NUMBERS:
        return isinstance(found, int | float) and abs(found) < 1e300 and math.isfinite(found)
    return isinstance(found, str)
