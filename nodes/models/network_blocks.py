"""Numbers for the blocks of a network, as merges and LoRAs are given them.

A UNet's blocks have the names that block-weighted merging gave them: `IN00` to `IN11`, `M00` and `OUT00` to `OUT11`
for SD 1.x and 2.x, `IN00` to `IN08`, `M00` and `OUT00` to `OUT08` for SDXL. These are the numbers of `input_blocks`,
`middle_block` and `output_blocks` in the layout of latent diffusion; the embedding of the timestep counts as `IN00`,
the last normalisation and convolution as the last `OUT`. Any other part of a network is named by what the names of its
modules begin with: `transformer_blocks.3`, `transformer_blocks.0-18`. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.engine import InputError, listed, value

UNET_BLOCK = re.compile(r"(IN|M|MID|OUT)(\d{1,2})?", re.IGNORECASE)

RANGE = re.compile(r"(?P<stem>.*?)(?P<first>\d+)-(?:(?P=stem))?(?P<last>\d+)", re.IGNORECASE)

LAYER = re.compile(r"down_blocks\.(\d+)\.resnets\.(\d+)\.")

MODULE = re.compile(r"\w+(\.\w+)*")

TEXT = ".text_model"
"""What names of a text model's modules have before their own, depending on its class; users may leave it out."""

MOST_IN_RANGE = 1000

GRAMMAR = (
    "write `IN00=0.2, IN01-IN05=0.5, M00=1, OUT=0`, or a number for each block from the first IN to the last OUT (25 "
    "for SD 1, 19 for SDXL); parts of a transformer by their modules: `transformer_blocks.0-18=0.3`"
)


@value
@dataclass(frozen=True)
class BlockNumber:
    """A number for a part of a network.

    Args:
        name: a block of a UNet (`IN04`), one side of it (`IN`), or what the names of modules begin with.
        blocks: how many a UNet must have, where its number is one of a list for all; 0 where it was named.
    """

    name: str
    number: float
    blocks: int = 0


def read_blocks(text: str) -> tuple[BlockNumber, ...]:
    """Numbers for blocks, as text has them; ranges are written out. Where several name a block, the last one counts.

    Raises:
        InputError: for a text of another form.
    """
    items = [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]
    if items and not any("=" in item for item in items):
        return _for_each_block([_number(item) for item in items])
    return tuple(block for item in items for block in _of_item(item))


def _for_each_block(numbers: Sequence[float]) -> tuple[BlockNumber, ...]:
    """A number for each block, from the first IN to the last OUT."""
    side = len(numbers) // 2
    if len(numbers) != 2 * side + 1 or side == 0:
        raise _malformed(f"{len(numbers)} numbers, which are not one for each block")
    names = [*(f"IN{index:02}" for index in range(side)), "M00", *(f"OUT{index:02}" for index in range(side))]
    return tuple(BlockNumber(name, number, len(names)) for name, number in zip(names, numbers, strict=True))


def _of_item(item: str) -> Iterator[BlockNumber]:
    name, equals, number = (part.strip() for part in item.partition("="))
    if not equals or not name:
        raise _malformed(f"`{item}`")
    for one in _written_out(name):
        yield BlockNumber(_block_name(one), _number(number))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _malformed(f"`{text}` in place of a number") from None
    if not -1000 <= number <= 1000:
        raise _malformed(f"the number {text}, which is not between -1000 and 1000")
    return number


def _written_out(name: str) -> Sequence[str]:
    """The names of a range such as `IN01-IN05`; the name itself where it is none."""
    found = RANGE.fullmatch(name)
    if not found:
        return [name]
    first, last = int(found["first"]), int(found["last"])
    if not first <= last < first + MOST_IN_RANGE:
        raise _malformed(f"the range `{name}`")
    return [f"{found['stem']}{index}" for index in range(first, last + 1)]


def _block_name(name: str) -> str:
    """The one spelling of a name."""
    found = UNET_BLOCK.fullmatch(name)
    if not found and not MODULE.fullmatch(name):
        raise _malformed(f"`{name}` in place of a block")
    if not found:
        return name
    side = "M" if found[1].upper() == "MID" else found[1].upper()
    return "M00" if side == "M" else f"{side}{int(found[2]):02}" if found[2] else side


def _malformed(found: str) -> InputError:
    return InputError(f"the numbers of blocks have {found}", GRAMMAR, "malformed-blocks")


def is_unet_block(name: str) -> bool:
    """Whether a name is that of a UNet's block or side, and not of modules."""
    return UNET_BLOCK.fullmatch(name) is not None


def block_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a UNet's blocks, from the first IN to the last OUT; none for another network's configuration."""
    if "down_block_types" not in config:
        return ()
    ins, outs = sum(_inner_blocks(config, 0)), sum(_inner_blocks(config, 1))
    return (*(f"IN{index:02}" for index in range(ins)), "M00", *(f"OUT{index:02}" for index in range(outs)))


def unet_config(weights: Iterable[str]) -> dict[str, Any]:
    """What a UNet's configuration says of its blocks, from diffusers' names of its weights; nothing for others."""
    layers: dict[int, int] = {}
    for name in weights:
        if found := LAYER.match(name):
            level, layer = int(found[1]), int(found[2])
            layers[level] = max(layers.get(level, 0), layer + 1)
    counts = [layers[level] for level in sorted(layers)]
    return {"down_block_types": [""] * len(counts), "layers_per_block": counts} if counts else {}


def _inner_blocks(config: Mapping[str, Any], more: int) -> list[int]:
    """How many numbered blocks each level of a UNet has.

    Args:
        more: 0 for those of the way down, with the first convolution on the first level and a downsampler on all but
            the last; 1 for those of the way up, in the order in which they are passed.
    """
    levels, layers = len(config["down_block_types"]), config.get("layers_per_block", 2)
    own = list(layers) if isinstance(layers, list | tuple) else [layers] * levels
    return [count + 1 for count in (reversed(own) if more else own)]


def unet_block(weight: str, config: Mapping[str, Any]) -> str | None:
    """The block of a UNet that a weight is in, by diffusers' name of the weight; None where it is in none."""
    part, _, rest = weight.partition(".")
    if part in ("conv_in", "time_embedding"):
        return "IN00"
    if part in ("conv_norm_out", "conv_out"):
        return f"OUT{sum(_inner_blocks(config, 1)) - 1:02}"
    if part == "mid_block":
        return "M00"
    if part not in ("down_blocks", "up_blocks"):
        return None
    up = part == "up_blocks"
    level, kind, layer = (*rest.split("."), "", "")[:3]
    counts = _inner_blocks(config, int(up))
    first = sum(counts[: int(level)]) + (0 if up else 1)
    inner = counts[int(level)] - 1 if kind in ("downsamplers", "upsamplers") else int(layer)
    return f"{'OUT' if up else 'IN'}{first + inner:02}"


def number_for(weight: str, blocks: Sequence[BlockNumber], usual: float, config: Mapping[str, Any]) -> float:
    """The number for a weight, by diffusers' name of it.

    Args:
        usual: for what no block names.
        config: of the network.
    """
    own = unet_block(weight, config) if "down_block_types" in config else None
    for block in reversed(blocks):
        if _is_in(weight, own, block.name):
            return block.number
    return usual


def _is_in(weight: str, own: str | None, name: str) -> bool:
    if is_unet_block(name):
        return own is not None and (own == name or own.rstrip("0123456789") == name)
    weight, name = (one.replace(TEXT, "") for one in (weight, name))
    return weight.startswith(f"{name}.") or weight == name


def lies_in(module: str, part: str) -> bool:
    """Whether a module is a part of a network, or lies in it, by names that may leave out what comes first."""
    return f".{part}." in f".{module}."


def check_unet_blocks(blocks: Sequence[BlockNumber], config: Mapping[str, Any]) -> None:
    """Raise `InputError` where a network of this configuration has no block of a name that is a UNet's."""
    known = block_names(config)
    for block in blocks:
        if known and block.blocks not in (0, len(known)):
            message = f"there are {block.blocks} numbers, and the network has {len(known)} blocks"
            raise InputError(message, f"give {len(known)} numbers, {known[0]} to {known[-1]}", "malformed-blocks")
        if is_unet_block(block.name) and not any(one.startswith(block.name) for one in known):
            there = f"its blocks are {known[0]} to {known[-1]}" if known else "it is no UNet"
            hint = "name blocks that it has" if known else GRAMMAR
            raise InputError(f"the network has no block `{block.name}`: {there}", hint, "unknown-layer")


def check_modules(blocks: Sequence[BlockNumber], weights: Sequence[str]) -> None:
    """Raise `InputError` where no weight lies in a part that a block names.

    Args:
        weights: diffusers' names of all weights of the network.
    """
    for block in blocks:
        if not is_unet_block(block.name) and not any(_is_in(name, None, block.name) for name in weights):
            parts = dict.fromkeys(".".join(name.split(".")[:2]) for name in weights)
            raise InputError(
                f"the network has no part `{block.name}`",
                f"name what the names of its modules begin with: {listed([*parts][:20])}",
                "unknown-layer",
            )
