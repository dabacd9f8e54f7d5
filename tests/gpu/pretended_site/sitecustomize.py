"""A process whose PYTHONPATH has this folder pretends a CUDA device from its start, and so do its own processes."""

from __future__ import annotations

from tests.device.pretended import PretendedDevices

PretendedDevices("cuda").__enter__()
