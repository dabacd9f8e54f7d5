"""What the modules of all IP-Adapters share: their facts, and how they get their tensors.

Imports torch: only the bodies of nodes and loaders import this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.ip_adapter_files import IPAdapterFacts
from weft.nodes.models.vision_models import EncodedImages

HEAD = 64
"""Channels of an attention head of the resamplers of IP-Adapters."""

LAYER = re.compile(r"layers\.(\d+)\.")
"""What the names of tensors of a layer of a resampler begin with."""


class ImageProjector(nn.Module):
    """An IP-Adapter.

    Args:
        facts: what its headers say.
    """

    def __init__(self, facts: IPAdapterFacts) -> None:
        super().__init__()
        self.facts = facts

    def fill(self, weights: Mapping[str, Tensor], dtype: torch.dtype, name: str) -> None:
        """Give its modules their tensors.

        Args:
            weights: by the names of the module's parameters.
            name: of its file, for messages.

        Raises:
            InputError: where weights are missing or unknown, or do not fit each other.
        """
        converted = {name: one.to(dtype) for name, one in weights.items()}
        try:
            report = self.load_state_dict(converted, strict=False, assign=True)
        except RuntimeError as fault:
            raise InputError(
                f"the weights of `{name}` do not fit each other ({str(fault)[:200]})", "get it again", "damaged-file"
            ) from fault
        if report.missing_keys or report.unexpected_keys:
            missing, unknown = (", ".join(sorted(names)[:3]) for names in report)
            raise InputError(
                f"`{name}` is no IP-Adapter of a known structure: it lacks {missing or 'nothing'}, and has "
                f"{unknown or 'nothing'} that none has",
                "get the file again",
                "missing-weights" if missing else "damaged-file",
            )

    def project(self, encoded: EncodedImages) -> Tensor:
        """What an ImagePrompt holds of pictures `[picture, token, channel]`, in float32 on the CPU."""
        raise NotImplementedError
