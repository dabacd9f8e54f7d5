"""How `builtin:landscapes` is trained: how many pictures, how many steps at which rate, from which seed."""

from pathlib import Path

import platformdirs

from .loop import Schedule

__all__ = ["CROPPED_STEPS", "HELD_OUT", "HELD_OUT_SEED", "PICTURES", "SCHEDULES", "SEED", "default_work"]

PICTURES = 18_000
SEED = 1
HELD_OUT = 600
HELD_OUT_SEED = 1_000_003
"""Pictures and prompts that no stage of training sees."""

CROPPED_STEPS = 2_500
SCHEDULES = {
    "autoencoder": Schedule(steps=10_000, rate=1.5e-3, warmup=300, decay=0.35),
    "denoiser": Schedule(steps=22_000, rate=1.5e-3, warmup=300, decay=0.35),
    "long_captions": Schedule(steps=10_500, rate=1.5e-3, warmup=100, decay=0.6),
    "decoder": Schedule(steps=5_000, rate=1e-3, warmup=200, decay=0.5),
    "preview": Schedule(steps=4_000, rate=2e-3, warmup=200, decay=0.5),
    "edges": Schedule(steps=4_000, rate=1e-3, warmup=100, decay=0.4),
    "judge": Schedule(steps=3_000, rate=2e-3),
}


def default_work() -> Path:
    """The folder for pictures and checkpoints, in the user's cache."""
    return Path(platformdirs.user_cache_dir("weft")) / "landscapes"
