"""Vision models: the image encoders of CLIP and SigLIP, recognised by headers and loaded.

One lies in a folder of transformers (`MODEL/image_encoder`, or a whole CLIP model, of which the part for pictures is
read), or in a single file under the names of transformers or OpenCLIP, which carries no configuration. Importing this
module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component_variant, read_config, weights
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.open_clip_vision import OPEN_ENTRIES, OPEN_PREFIXES, transformers_names
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import below, count, tensors

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from torch import Tensor

FOLDER = "image_encoder"
"""Its component in a diffusers folder."""

PROCESSORS = ("feature_extractor", "image_processor")
"""The components of a diffusers folder that may say how pictures are prepared for it."""

CONFIGS = {"clip_vision_model": "clip", "siglip_vision_model": "siglip"}
"""The kinds of vision models, by `model_type`."""

WHOLES = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}
"""The `model_type` of models that have a part for text too, and that of their part for pictures."""

PREFIXES = ("vision_model.", f"{FOLDER}.vision_model.", "")
"""What the names of a vision model's tensors begin with in a single file."""

PROJECTION = "visual_projection.weight"

POSITIONS, PATCHES = "embeddings.position_embedding.weight", "embeddings.patch_embedding.weight"

FROM_OPEN_CLIP = 1024
"""Channels above which a CLIP vision model is one of OpenCLIP's (ViT-H, ViT-bigG), with 16 heads and plain GELU."""


@dataclass(frozen=True)
class VisionFacts:
    """What headers say of a vision model.

    Args:
        kind: `clip` or `siglip`.
        width: channels of its tokens.
        vector: channels of the vector of a whole picture.
        layers: how many it has.
        config: as transformers' class takes it.
        folder: its component in the folder `Resolved.root`; empty where the root is the component itself, or a file.
        prefix: what the names of its tensors begin with in a file.
        opened: whether a file has OpenCLIP's layout.
        contents: all that the headers of the source say.
    """

    kind: str
    width: int
    vector: int
    layers: int
    config: Mapping[str, Any] = field(repr=False)
    folder: str = ""
    prefix: str = ""
    opened: bool = False
    contents: Contents = field(default_factory=Contents, repr=False)

    def __str__(self) -> str:
        name = {"clip": "CLIP", "siglip": "SigLIP"}[self.kind]
        return f"{name}, {self.layers} layers of {self.width} channels, pictures as {self.vector}"


def vision_facts(contents: Contents) -> VisionFacts | None:
    """What headers say of a vision model, alone or in a pipeline's folder; None where there is none."""
    if contents.shapes:
        found = next(_in_file(contents.shapes), None)
    else:
        folder = "" if contents.has("") else FOLDER
        found = _of_config(contents.configs.get(folder, {}))
        found = found and replace(found, folder=folder)
    return found and replace(found, contents=contents)


def _of_config(config: Mapping[str, Any]) -> VisionFacts | None:
    kind = str(config.get("model_type"))
    if kind in WHOLES:
        outer = {"projection_dim": config["projection_dim"]} if "projection_dim" in config else {}
        config = {**config.get("vision_config", {}), **outer}
        kind = WHOLES[kind]
    if kind not in CONFIGS:
        return None
    # Entries that a configuration leaves out have the defaults of transformers' class: those of ViT-B.
    width = config.get("hidden_size", 768)
    bare = CONFIGS[kind] != "clip" or config.get("architectures") == ["CLIPVisionModel"]
    vector = width if bare else config.get("projection_dim") or 512
    layers = config.get("num_hidden_layers", 12)
    return VisionFacts(CONFIGS[kind], width, vector, layers, config)


def _in_file(shapes: Shapes) -> Iterator[VisionFacts]:
    """The vision models of a file in any layout."""
    yield from filter(None, (_of_shapes(shapes, prefix) for prefix in PREFIXES))
    yield from filter(None, (_of_open_shapes(shapes, prefix) for prefix in OPEN_PREFIXES))


def _of_open_shapes(shapes: Shapes, prefix: str) -> VisionFacts | None:
    own = below(prefix, shapes)
    if not own.keys() >= {*OPEN_ENTRIES, "proj"}:
        return None
    layers = count(own, "transformer.resblocks.{}.mlp.c_fc.weight")
    inner = own["transformer.resblocks.0.mlp.c_fc.weight"][0]
    config = _config(own["positional_embedding"], own["conv1.weight"], inner, layers, own["proj"][1], clip=True)
    config["hidden_act"] = "gelu"
    return VisionFacts("clip", config["hidden_size"], own["proj"][1], layers, config, prefix=prefix, opened=True)


def _of_shapes(shapes: Shapes, prefix: str) -> VisionFacts | None:
    own = below(prefix, shapes)
    if POSITIONS not in own or PATCHES not in own:
        return None
    clip = "embeddings.class_embedding" in own
    width = own[POSITIONS][1]
    projection = shapes.get(prefix.removesuffix("vision_model.") + PROJECTION, (width,))[0]
    layers, inner = count(own, "encoder.layers.{}.mlp.fc1.weight"), own["encoder.layers.0.mlp.fc1.weight"][0]
    config = _config(own[POSITIONS], own[PATCHES], inner, layers, projection, clip)
    if clip:
        config["hidden_act"] = "gelu" if width > FROM_OPEN_CLIP else "quick_gelu"
    return VisionFacts("clip" if clip else "siglip", width, projection, layers, config, prefix=prefix)


def _config(
    table: Sequence[int], patches: Sequence[int], inner: int, layers: int, projection: int, clip: bool
) -> dict[str, Any]:
    """The configuration that shapes give.

    Args:
        table: the shape of the table of positions; CLIP has one more than there are patches.
        patches: the shape of the convolution that makes tokens of patches.
    """
    positions, width = table
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 16 if width > FROM_OPEN_CLIP else max(1, width // 64),
        "image_size": math.isqrt(positions - clip) * patches[-1],
        "patch_size": patches[-1],
        "projection_dim": projection,
    }


class EncodedImages(NamedTuple):
    """What a vision model makes of pictures; see `ImageEmbedding`."""

    tokens: Tensor
    last: Tensor
    vectors: Tensor


class ImageReader:
    """A vision model, with what prepares pictures for it.

    Args:
        network: transformers' model, on its device.
        processor: transformers' image processor.
    """

    def __init__(self, network: Any, processor: Any) -> None:
        self.network = network
        self.processor = processor

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    def read(self, pictures: Sequence[PIL.Image.Image], whole: bool = False) -> EncodedImages:
        """Encode RGB pictures of any size, each by itself.

        Args:
            whole: whether each side is scaled to that of the network, in place of what its processor does.
        """
        import torch

        prepare = self._whole if whole else self._prepared
        encoded = [self._encoded(prepare(picture)) for picture in pictures]
        return EncodedImages(*(torch.cat(parts) for parts in zip(*encoded, strict=True)))

    def _prepared(self, picture: PIL.Image.Image) -> Tensor:
        """The levels of a picture as the network reads them `[1, 3, height, width]`."""
        with network_call("what prepares pictures for an image encoder", {}):
            levels: Tensor = self.processor([picture], return_tensors="pt").pixel_values
        return levels

    def _whole(self, picture: PIL.Image.Image) -> Tensor:
        """A picture smoothed and scaled as a whole, as the authors of Stable Video Diffusion do."""
        import numpy
        import torch
        from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion

        side = self.network.config.image_size
        levels = torch.from_numpy(numpy.asarray(picture, dtype=numpy.float32) / 255).movedim(-1, 0)[None]
        resize: Any = pipeline_stable_video_diffusion._resize_with_antialiasing
        scaled: Tensor = (resize(levels * 2 - 1, (side, side)) + 1) / 2
        mean, deviation = (
            torch.tensor(one)[:, None, None] for one in (self.processor.image_mean, self.processor.image_std)
        )
        return (scaled - mean) / deviation

    def blank(self) -> EncodedImages:
        """What the network makes of a picture whose prepared levels are 0: the average colour of its training."""
        import torch

        side = self.network.config.image_size
        return self._encoded(torch.zeros(1, 3, side, side, dtype=torch.float32))

    def black(self) -> EncodedImages:
        """What the network makes of a black picture."""
        import PIL.Image

        side = self.network.config.image_size
        return self.read([PIL.Image.new("RGB", (side, side))])

    def _encoded(self, levels: Tensor) -> EncodedImages:
        levels = levels.to(self.network.device, self.network.dtype)
        with network_call("an image encoder", {"picture": levels}):
            output = self.network(levels, output_hidden_states=True)
        vectors = output.get("image_embeds", output.get("pooler_output"))
        found = (output.hidden_states[-2], output.last_hidden_state, vectors)
        return EncodedImages(*(one.float().cpu() for one in found))


def load_image_reader(facts: VisionFacts, root: Path, variant: str, dtype: torch.dtype, device: str) -> ImageReader:
    """The vision model of a source.

    Raises:
        InputError: where files are damaged, or weights are missing.
    """
    import transformers

    from weft.nodes.models.loading import assembled_text, own_config, ready

    clip = facts.kind == "clip"
    config_class: Any = transformers.CLIPVisionConfig if clip else transformers.SiglipVisionConfig
    config = config_class.from_dict(own_config(facts.config))
    found = dict(_tensors(facts, root, variant, dtype))
    # Image encoders of Wan have no projection to the vectors of texts.
    projecting = transformers.CLIPVisionModelWithProjection if PROJECTION in found else transformers.CLIPVisionModel
    network_class: Any = projecting if clip else transformers.SiglipVisionModel
    network = assembled_text(network_class, config, found, dtype, root.name)
    return ImageReader(ready(network, device), _processor(facts, root, network.config.image_size))


def _tensors(facts: VisionFacts, root: Path, variant: str, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the part for pictures, under transformers' names; those of a part for text are not read."""
    if root.is_dir():
        folder = root / facts.folder
        paths = weights(folder)[component_variant(folder, variant) or ""]
    else:
        paths = [root]
    if facts.opened:
        yield from transformers_names(below(facts.prefix, tensors(root, facts.prefix, dtype)))
        return
    outer = facts.prefix.removesuffix("vision_model.")
    for path in paths:
        for name, tensor in tensors(path, outer, dtype).items():
            if not name.startswith(("text_model.", "text_projection", "logit_")):
                yield name.removeprefix(outer), tensor


def _processor(facts: VisionFacts, root: Path, side: int) -> Any:
    """What prepares pictures: as the folder says it, else as CLIP or SigLIP do; for the size that the network reads.

    CLIP's shorter side is scaled, and the middle cut out; SigLIP's sides are scaled each by itself.
    """
    import transformers

    folders = [*(root / name for name in PROCESSORS), root] if facts.folder else [root]
    files = [folder / "preprocessor_config.json" for folder in folders]
    given = next((read_config(file) for file in files if file.is_file()), {})
    stated = {name: given[name] for name in ("image_mean", "image_std", "resample") if name in given}
    name = "CLIPImageProcessor" if facts.kind == "clip" else "SiglipImageProcessor"
    # The name alone is the class that works with torchvision where that is installed, and rounds otherwise.
    kind: Any = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    if facts.kind == "clip":
        return kind(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **stated)
    return kind(size={"height": side, "width": side}, **stated)
