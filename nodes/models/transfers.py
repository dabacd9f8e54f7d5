"""How tensors of the host are copied to a device.

Imports torch in functions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PAGE_LOCKED = frozenset(("cuda", "xpu"))
"""Kinds of devices that read page-locked memory of the host by themselves."""


def sent(tensor: Tensor, device: str) -> Tensor:
    """A tensor of the host on a device, by a copy that the host does not wait for where the device can make one.

    A copy from ordinary memory begins only when all work before it is done, and the host waits for that.
    """
    import torch

    if torch.device(device).type in PAGE_LOCKED:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
