"""VAEs of clips encode and decode in overlapping tiles what they do whole, up to what a tile does not see.

All: `pytest -m "slow or not slow" tests/nodes/families/test_clip_tiles.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nodes.clips import clip
from weft.nodes import LoadCheckpoint, VAEDecodeVideo, VAEEncodeVideo

MODELS = ("wan", "wan-5b", "ltx", "ltx-timed", "cogvideox", "hunyuan-video")

QUICK = [("ltx", 320), ("cogvideox", 256)]

CASES = [
    *QUICK,
    *(pytest.param(*case, marks=pytest.mark.slow) for case in product(MODELS, (256, 320)) if case not in QUICK),
]

LEAST_ALIKE = 0.6
"""Where a tile begins, norms and attention see other pixels than in the whole, the more so with random weights."""


@pytest.mark.parametrize(("model", "tile"), CASES)
def test_tiles_lie_where_they_belong(
    zoo: Callable[[str], str], call: Callable[..., Any], model: str, tile: int
) -> None:
    vae = call(LoadCheckpoint, source=zoo(model)).vae
    colours = clip(9, 704, 32)
    latents = [call(VAEEncodeVideo, vae=vae, video=colours, tile=side) for side in (0, tile)]
    assert alike(*(one.samples for one in latents)) > LEAST_ALIKE
    clips = [call(VAEDecodeVideo, vae=vae, latent=latents[0], tile=side) for side in (0, tile)]
    assert alike(*(one.frames for one in clips)) > LEAST_ALIKE


def alike(whole: Tensor, tiled: Tensor) -> float:
    """How far two of one size go together: 1 where one follows from the other."""
    assert whole.shape == tiled.shape and not torch.equal(whole, tiled)
    return float(torch.corrcoef(torch.stack([whole.flatten().double(), tiled.flatten().double()]))[0, 1])
