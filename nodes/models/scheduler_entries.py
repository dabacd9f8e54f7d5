"""The entries of a scheduler's configuration that checks before a run compute with, and what they must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.engine import InputError, listed

MOST_TIMESTEPS = 100_000
"""The most timesteps of a training; known models have 1,000 at most."""

COUNTS = {"num_train_timesteps": 1, "original_inference_steps": 1, "steps_offset": 0, "solver_order": 1}
"""Entries that are whole numbers, and the least value of each."""

NUMBERS = frozenset(
    {"shift", "flow_shift", "sigma_data", "sigma_min", "sigma_max", "beta_start", "beta_end", "shift_terminal"}
)
"""Entries that are finite numbers."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "algorithm_type": (
        *("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"),
        *("data_prediction", "noise_prediction"),
    ),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "interpolation_type": ("linear", "log_linear"),
    "sigma_schedule": ("karras", "exponential"),
    "solver_type": ("midpoint", "heun", "bh1", "bh2", "logrho"),
    "time_shift_type": ("exponential", "linear"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "timestep_type": ("discrete", "continuous"),
    "variance_type": (
        *("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
        *("learned", "learned_range"),
    ),
}
"""Entries that are names, and those that diffusers' schedulers know. Each class knows some of them; a configuration
goes to the classes of all samplers, which take their own default in place of a name of another class."""

SHARES = frozenset({"beta_start", "beta_end"})
"""Numbers from 0 to 1."""

MOST_ORDER = 10
"""The highest order of a solver that is taken; the literature stops at 3."""

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
        return f"a whole number from {COUNTS[name]} to {_most(name)}"
    if name in CHOICES:
        return f"one of {listed(CHOICES[name])}"
    if name in SHARES:
        return "a number from 0 to 1"
    return "a finite number" if name in NUMBERS else "a name" if name == "prediction_type" else ""


def _most(name: str) -> int:
    return MOST_ORDER if name == "solver_order" else MOST_TIMESTEPS


def _fits(name: str, found: object) -> bool:
    if found is None:
        return name not in NEEDED
    if isinstance(found, bool):
        return False
    if name in COUNTS:
        return isinstance(found, int) and COUNTS[name] <= found <= _most(name)
    if name in CHOICES:
        return found in CHOICES[name]
    if name in NUMBERS:
        number = isinstance(found, int | float) and abs(found) < 1e300 and math.isfinite(found)
        return number and (name not in SHARES or 0 <= found <= 1)  # type: ignore[operator]  # a number by now
    return isinstance(found, str)
