"""Upscalers loaded by spandrel, an extra of this package, which knows some forty architectures. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.silence_libraries import quietly


class UpscalerNetwork:
    """An upscaler on its device.

    Args:
        descriptor: spandrel's `ImageModelDescriptor`.
    """

    def __init__(self, descriptor: Any) -> None:
        self.descriptor = descriptor

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The modules whose weights the residency counts."""
        return (self.descriptor.model,)

    @property
    def scale(self) -> int:
        """By which sides grow."""
        return int(self.descriptor.scale)

    @property
    def is_global(self) -> bool:
        """Whether it must see a whole picture, or cuts it into tiles by itself."""
        return str(self.descriptor.tiling.name) == "INTERNAL"

    def tile(self, wanted: int) -> int:
        """The least side of tiles from a wanted one on that the network takes without filling them up."""
        needs = self.descriptor.size_requirements
        multiple = int(needs.multiple_of)
        return -(-max(wanted, int(needs.minimum)) // multiple) * multiple

    def enlarge(self, colours: Tensor) -> Tensor:
        """A picture or a tile `[1, 3, height, width]` in 0..1, enlarged, on the CPU in float32."""
        taken, given = self.descriptor.input_channels, self.descriptor.output_channels
        with network_call("the upscaler", {"picture": colours}):
            if taken == 1:
                parts = [self._run(colours[:, channel : channel + 1]) for channel in range(3)]
                return torch.cat([part[:, :1] for part in parts], 1)
            opaque = torch.ones_like(colours[:, : taken - 3])
            made = self._run(torch.cat([colours, opaque], 1) if taken > 3 else colours)
            return made[:, :3] if given >= 3 else made[:, :1].expand(-1, 3, -1, -1).clone()

    def _run(self, colours: Tensor) -> Tensor:
        made: Tensor = self.descriptor(colours.to(self.descriptor.device, self.descriptor.dtype))
        return made.float().cpu()


def load_upscaler(name: str, file: Path, dtype: torch.dtype, device: str) -> UpscalerNetwork:
    """The upscaler in a safetensors file, in half precision only where its architecture has it.

    Args:
        name: of the source, for messages.

    Raises:
        InputError: where spandrel knows no such architecture, or the network takes more than a picture.
    """
    spandrel = _spandrel()
    try:
        with quietly():
            descriptor = spandrel.ModelLoader(device="cpu").load_from_file(file)
    except spandrel.UnsupportedModelError:
        raise InputError(
            f"`{name}` is no upscaler that spandrel knows",
            "give one of the architectures that spandrel lists, such as ESRGAN, Compact, SwinIR or DAT",
            "unsupported-network",
        ) from None
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise InputError(
            f"`{name}` paints under a mask, expected a network from picture to picture",
            "give an upscaler",
            "unsupported-network",
        )
    supported = {torch.float16: descriptor.supports_half, torch.bfloat16: descriptor.supports_bfloat16}
    descriptor.to(torch.device(device), dtype if supported.get(dtype, True) else torch.float32).eval()
    return UpscalerNetwork(descriptor)


def _spandrel() -> Any:
    try:
        import spandrel
    except (ImportError, RuntimeError, OSError) as fault:
        # torchvision, which spandrel imports, raises these where it was built for another torch
        raise InputError(
            f"upscalers need the packages spandrel and torchvision, which cannot be imported ({fault})",
            "pip install 'weft-engine[upscale]', with a torchvision that is built for the installed torch",
            "missing-package",
        ) from fault
    return spandrel
