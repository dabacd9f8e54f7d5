"""Every sampler runs on CUDA devices and on MPS in every precision, and paints there what it paints on the host.

The whole table: `pytest -m "slow or not slow" -s tests/device/test_samplers.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.device_pictures import EMBEDDED, check_everywhere, folders_of, graph_of
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

FLOWS = ("sd3", "flux-dev")
"""Heun's class in diffusers has no shift by the size of a picture, which FLUX.1 needs."""

CASES = [
    *((EMBEDDED, sampler, False) for sampler in SAMPLERS),
    *((EMBEDDED, sampler, True) for sampler in SIGMA_SAMPLERS),
    *(("sd3", name, False) for name, one in SAMPLERS.items() if "flow" in one.solvers),
    *(("flux-dev", name, False) for name, one in SAMPLERS.items() if "flow" in one.solvers and name != "heun"),
    *((model, sampler, True) for model in FLOWS for sampler in SIGMA_SAMPLERS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "sampler", "sigmas"), CASES)
def test_a_sampler(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, sampler: SamplerName, sigmas: bool
) -> None:
    folders, _ = folders_of(request.getfixturevalue, model)
    graph = graph_of(model, side=32, sampler=sampler, sigmas=sigmas)
    check_everywhere(graph, f"{model} {sampler}{' over sigmas' if sigmas else ''}", output=tmp_path, **folders)
