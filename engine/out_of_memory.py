"""What is done where a device, or the machine, has too little memory: how it is known, and how memory is given back."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence

from weft.engine.errors import InputError, described, listed, message_of
from weft.engine.loaded_modules import loaded_module

TEXTS = ("out of memory", "allocate memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")
"""What torch and the libraries under it say where memory is missing, in lower case."""


def is_out_of_memory(fault: BaseException | None) -> bool:
    """Whether an exception says that memory was missing, itself or by its cause; torch says so in its text alone."""
    while fault is not None:
        text = message_of(fault).lower() if isinstance(fault, RuntimeError) else ""
        if isinstance(fault, MemoryError) or any(one in text for one in TEXTS):
            return True
        fault = fault.__cause__
    return False


def clear_frames(fault: BaseException | None) -> None:
    """Forget the local variables of the calls that raised an exception.

    Whoever keeps the exception would keep the tensors of these calls. Its traceback can be printed as before.
    """
    while fault is not None:
        traceback.clear_frames(fault.__traceback__)
        fault = fault.__cause__ or fault.__context__


def release_memory() -> None:
    """Give memory that nothing uses back: cycles of objects, and what torch keeps of devices for later."""
    gc.collect()
    torch = loaded_module("torch")
    for name in ("cuda", "mps", "xpu"):
        device = getattr(torch, name, None)
        if device is not None and device.is_available():
            device.empty_cache()


def missing_memory(fault: BaseException, holds: Sequence[str] = ()) -> InputError:
    """The error of a node for which there is too little memory, also after all that could be evicted was.

    Args:
        holds: what holds memory of the device, and how much.
    """
    line = described(fault).splitlines()[0]
    held = f"; the device holds {listed(holds)}" if holds else ""
    error = InputError(
        f"there is too little memory for it ({line[:200]}){held}",
        "make pictures or batches smaller, decode in tiles (VAEDecode's `tile`), take a lower "
        "--precision, leave more room for work by a lower --weights, send networks to the device in smaller parts "
        "(--offload group or sequential), or take another --device",
        "out-of-memory",
    )
    error.__cause__ = fault
    return error
