"""What `weft models merge` is asked for; the node library that knows the weights does it (`Resource.merge`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Share = tuple[str, float]
"""A source by its name, with the number that goes with it."""


@dataclass(frozen=True)
class MergeRequest:
    """Weights to be merged, by names of sources, in the order in which the parts are listed here.

    Args:
        first: the source to start from, whose layout the result has.
        mixed: sources with their shares: (1 - share) x what there is + share x source.
        added: sources with their factors: what there is + factor x (source - minus).
        minus: the source that is subtracted from each that is added; empty subtracts nothing.
        adapters: low-rank changes (LoRAs) with their strengths.
        blocks: numbers for single blocks, in place of shares and factors.
        everything: whether autoencoders are merged too, and not the denoiser and its text encoders alone.
        precision: that weights are written in; empty keeps that of the first source.
        out: the file or folder that is written.
        replace: whether what has that name is replaced.
    """

    first: str
    out: Path
    mixed: tuple[Share, ...] = ()
    added: tuple[Share, ...] = ()
    minus: str = ""
    adapters: tuple[Share, ...] = ()
    blocks: str = ""
    everything: bool = False
    precision: str = ""
    replace: bool = False
