"""How fast: SD 1.5 and SDXL of full size with random weights, a step by each way of asking the network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.gpu.bench import Bench, vae_measurements
from tests.gpu.card import Place
from tests.gpu.figures import Measurement

FLOOR_AIM = 1.5
"""Times the floor that a step of SD 1.5 and SDXL may take, compiled or captured."""


def measurements(place: Place) -> Iterator[Measurement]:
    """What is measured, the most important first."""
    for name in ("sd15", "sdxl"):
        yield from Bench(place, name, FLOOR_AIM).measurements()
    for name in ("sd15", "sdxl"):
        for precision in ("float32", "float16", "bfloat16"):
            yield Measurement(f"VAE of {name}, {precision}", partial(vae_measurements, place, name, precision))
