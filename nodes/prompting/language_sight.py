"""The part of a vision-language model that reads pictures, loaded by itself: prompts without pictures do not need it.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.engine import InputError
from weft.engine.weights.streaming import device_of
from weft.nodes.models import diffusers_folder
from weft.nodes.models import single_file as original
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.prompting.text_encoders import TextModelFiles

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image
    import torch
    from torch import Tensor

SIGHT = ("model.visual.", "visual.")
"""What the names of its tensors begin with, by the version of transformers that wrote them."""

HEAD_CHANNELS = 80
"""Of an attention head in Qwen2.5-VL, which shapes do not say."""

LEAST, MOST = 56 * 56, 12_845_056
"""Pixels that a picture is scaled to at least and at most, as Qwen2.5-VL is published."""


class PictureTokens(NamedTuple):
    """A picture as a language model reads it.

    Args:
        tokens: `[row x column, channel]`.
    """

    tokens: Tensor
    rows: int
    columns: int


class SightReader:
    """The part of Qwen2.5-VL that reads pictures."""

    def __init__(self, network: Any) -> None:
        import transformers

        config = network.config
        # The name alone is the class that works with torchvision where that is installed, and rounds otherwise.
        kind: Any = getattr(transformers, "Qwen2VLImageProcessorPil", None) or transformers.Qwen2VLImageProcessor
        sizes = {"patch_size": config.patch_size, "temporal_patch_size": config.temporal_patch_size}
        size = {"shortest_edge": LEAST, "longest_edge": MOST}
        self.network = network
        self.processor = kind(size=size, merge_size=config.spatial_merge_size, **sizes)

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    @property
    def merged(self) -> int:
        """Patches along each side that become one token."""
        return int(self.network.config.spatial_merge_size)

    def read(self, pictures: Sequence[PIL.Image.Image]) -> list[PictureTokens]:
        """RGB pictures of any size, each by itself; sides are scaled to multiples of 28 pixels."""
        return [self._read(picture) for picture in pictures]

    def _read(self, picture: PIL.Image.Image) -> PictureTokens:
        with network_call("what prepares pictures for a language model", {}):
            prepared = self.processor([picture], return_tensors="pt")
        grid = prepared.image_grid_thw
        levels = prepared.pixel_values.to(device_of(self.network), self.network.dtype)
        with network_call("the part of a language model that reads pictures", {"picture": levels}):
            found = self.network(levels, grid_thw=grid.to(levels.device)).pooler_output
        _, rows, columns = grid[0].tolist()
        return PictureTokens(found.float().cpu(), rows // self.merged, columns // self.merged)


def places_of_tokens(pictured: Sequence[bool], grids: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The place of each token in time, rows and columns (https://arxiv.org/abs/2409.12191, section 2.1).

    Words follow each other in all three. A picture has one time, and the words after it go on behind its longer side.

    Args:
        pictured: whether each token is one of a picture.
        grids: rows and columns of each picture.
    """
    places: list[tuple[int, int, int]] = []
    start, waiting, at = 0, iter(grids), 0
    while at < len(pictured):
        if not pictured[at]:
            places.append((start, start, start))
            start, at = start + 1, at + 1
            continue
        rows, columns = next(waiting)
        places += [(start, start + row, start + column) for row in range(rows) for column in range(columns)]
        start, at = start + max(rows, columns), at + rows * columns
    return places


def load_sight(files: TextModelFiles, variant: str, dtype: torch.dtype, device: str) -> SightReader:
    """The part for pictures of a vision-language model.

    Raises:
        InputError: where its files have none.
    """
    import transformers

    from weft.nodes.models.loading import assembled_text, own_config, ready
    from weft.nodes.models.weights_file import file_weights

    paths = _files(files.root, variant)
    shapes = {name: shape for path in paths for name, shape in read_shapes(path).items()}
    prefix = files.facts.prefix + next((one for one in SIGHT if any(name.startswith(one) for name in shapes)), "")
    if not prefix:
        raise InputError(
            f"`{files.root.name}` has no part that reads pictures",
            "give the whole Qwen2.5-VL, with the tensors `visual.*`",
            "wrong-text-models",
        )
    found: dict[str, Any] = {name: one for path in paths for name, one in file_weights(path, prefix).items()}
    if files.root.is_dir():
        given = own_config(diffusers_folder.read_config(files.root / "config.json"))
        config: Any = transformers.Qwen2_5_VLConfig.from_dict(given).vision_config
    else:
        config = transformers.Qwen2_5_VLConfig(vision_config=sight_config(original.below(prefix, shapes))).vision_config
    kind: Any = transformers.models.qwen2_5_vl.modeling_qwen2_5_vl.Qwen2_5_VisionTransformerPretrainedModel
    return SightReader(ready(assembled_text(kind, config, found, dtype, files.root.name), device))


def sight_config(shapes: Shapes) -> dict[str, Any]:
    """The configuration of the part for pictures, from the shapes below its prefix."""
    width, channels, frames, patch, _ = shapes["patch_embed.proj.weight"]
    return {
        "depth": original.count(shapes, "blocks.{}.mlp.gate_proj.weight"),
        "hidden_size": width,
        "intermediate_size": shapes["blocks.0.mlp.gate_proj.weight"][0],
        "num_heads": max(width // HEAD_CHANNELS, 1),
        "in_channels": channels,
        "patch_size": patch,
        "temporal_patch_size": frames,
        "out_hidden_size": shapes["merger.mlp.2.weight"][0],
    }


def _files(root: Path, variant: str) -> list[Path]:
    """The files of a variant of the weights."""
    if root.is_dir():
        return [*diffusers_folder.weights(root)[diffusers_folder.component_variant(root, variant) or ""]]
    return [root]
