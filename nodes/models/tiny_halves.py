"""Tiny autoencoders as their authors publish them: the encoder and the decoder in a file each.

TAESD, TAESDXL, TAESD3 and TAEF1 (https://github.com/madebyollin/taesd): `taesd_encoder.safetensors` and
`taesd_decoder.safetensors`, whose tensors are numbered as the layers of a sequence. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from weft.engine import InputError
from weft.nodes.models.safetensors_header import Shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")

Half = Literal["encoder", "decoder"]

OTHER: Mapping[Half, Half] = {"encoder": "decoder", "decoder": "encoder"}

CLAMP = 1
"""The layers of a decoder that diffusers does not count: the first one bounds the latents."""


def half_of(shapes: Shapes) -> Half | None:
    """Which half of a tiny autoencoder a file has; None where it is no such file."""
    if "1.weight" in shapes and "3.conv.0.weight" in shapes and "0.weight" not in shapes:
        return "decoder"
    return "encoder" if "0.weight" in shapes and "1.conv.0.weight" in shapes else None


def other_half(path: Path, half: Half) -> Path:
    """The file with the other half, next to the one with this half.

    Raises:
        InputError: where it is not there.
    """
    wanted = OTHER[half]
    other = path.with_name(path.name.replace(half, wanted))
    if other == path or not other.is_file():
        expected = other.name if other != path else f"one named as this, with `{wanted}`"
        raise InputError(
            f"`{path.name}` is the {half} of a tiny autoencoder, and its {wanted} is not next to it",
            f"put the file with the {wanted} there: {expected}",
            "missing-file",
        )
    return other


def named(half: Half, found: Mapping[str, T]) -> dict[str, T]:
    """What a file has by name, under the names that an AutoencoderTiny of diffusers has."""
    before = CLAMP if half == "decoder" else 0
    return {f"{half}.layers.{_shifted(name, before)}": one for name, one in found.items()}


def _shifted(name: str, layers: int) -> str:
    number, dot, rest = name.partition(".")
    return f"{int(number) - layers}{dot}{rest}" if number.isdecimal() else name


def halves_in(paths: tuple[Path, ...], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of both files, under diffusers' names."""
    from weft.nodes.models.safetensors_header import read_header
    from weft.nodes.models.single_file import tensors

    joined: dict[str, Tensor] = {}
    for path in paths:
        half = half_of(read_header(path).shapes)
        assert half, "the files were recognised by their headers"
        joined |= named(half, tensors(path, "", dtype))
    return joined


def decoder_in(path: Path) -> Callable[[Tensor], Tensor]:
    """The network of a file with a decoder, in float32 on the CPU: latents to pixels in -1..1."""
    import torch
    from diffusers.models.autoencoders.vae import DecoderTiny

    from weft.nodes.models.safetensors_header import read_header
    from weft.nodes.models.single_file import tiny_levels

    shapes = named("decoder", read_header(path).shapes)
    levels = tiny_levels(shapes, "decoder")
    network = DecoderTiny(
        in_channels=shapes["decoder.layers.0.weight"][1],
        out_channels=3,
        num_blocks=tuple(blocks for _, blocks in levels),
        block_out_channels=tuple(width for width, _ in levels),
        upsampling_scaling_factor=2,
        act_fn="relu",
        upsample_fn="nearest",
    )
    weights = halves_in((path,), torch.float32)
    network.load_state_dict({name.removeprefix("decoder."): one.float() for name, one in weights.items()})
    decode: Callable[[Tensor], Tensor] = network.eval()
    return decode
