"""IP-Adapters in files: what their headers say (https://arxiv.org/abs/2308.06721).

An adapter projects what an image encoder makes of a picture to tokens, and has a key and a value for each attention
layer of the denoiser that it was trained for. The plain one projects the vector of the whole picture, the one called
Plus resamples the tokens of its parts, the one for whole faces projects each of these, and the one for SD 3 resamples
them in each step, by the timestep. Files have the names of their authors (`image_proj.`, `ip_adapter.`), or those of
XLabs for FLUX.1. Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from weft.engine import InputError
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser_facts import ImageLayer
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import below

T = TypeVar("T")

PROJECTION, LAYERS = "image_proj.", "ip_adapter."

XLABS_PROJECTION, XLABS_LAYERS = "ip_adapter_proj_model.", "double_blocks."

XLABS_NAME = re.compile(r"(\d+)\.processor\.ip_adapter_double_stream_([kv])_proj\.")


FAMILIES = {768: "SD1", 1024: "SD2", 2048: "SDXL"}
"""The families of UNets, by the channels of their prompts."""


@dataclass(frozen=True)
class IPAdapterFacts:
    """What headers say of an IP-Adapter.

    Args:
        kind: `plain`, `plus`, `full`, `face`, `face plus`, or `timed`, whose tokens depend on the step.
        reads: channels of what it reads of an image encoder: of the vector for a plain one, of tokens for others; 0
            where it reads a face alone.
        width: channels of the tokens that it makes, as many as those of the model's prompts; of a timed one, as many as
            the model's attention layers have.
        layers: channels of each attention layer that it was made for, in the order of its keys.
        joint: whether these are layers of joint attention, as in FLUX.1; their keys then have biases.
        contents: all that its headers say.
        face: numbers of the embedding of a face that it reads (FaceID); 0 where it reads none.
    """

    kind: str
    reads: int
    width: int
    layers: tuple[int, ...]
    joint: bool = False
    contents: Contents = field(default_factory=Contents, repr=False)
    face: int = 0

    @property
    def reads_vectors(self) -> bool:
        """Whether it reads the vector of a whole picture, not the tokens of its parts."""
        return self.kind == "plain"

    @property
    def timed(self) -> bool:
        """Whether its tokens depend on the step, as in SD 3."""
        return self.kind == "timed"

    @property
    def family(self) -> str:
        """The family whose prompts are as wide; empty where that is not known."""
        if self.timed:
            return "SD3"
        return "FLUX" if self.joint else FAMILIES.get(self.width, "")

    def __str__(self) -> str:
        read = "" if self.timed else " and prompts"
        return f"IP-Adapter ({self.kind}), for {len(self.layers)} layers{read} of {self.width} channels"


def ip_adapter_facts(contents: Contents) -> IPAdapterFacts | None:
    """What headers say of an IP-Adapter; None where there is none.

    Raises:
        InputError: for an adapter that reads what no node gives it.
    """
    named = under_own_names(contents.shapes)
    projection, keys = below(PROJECTION, named), numbered_keys(below(LAYERS, named))
    if not projection or not keys:
        return None
    kind, reads, width = _projection(projection)
    layers = tuple(shape[0] for _, shape in keys)
    if {shape[1] for _, shape in keys} != {width}:
        return None
    joint = any(name.endswith(".to_k_ip.bias") for name in named)
    for name, shape in _wanted(kind, projection, width, keys, joint):
        if named.get(name) != shape:
            raise InputError(
                f"the IP-Adapter's `{name}` is {_shape(named.get(name))}, expected {_shape(shape)}",
                "get the file again",
                "damaged-file",
            )
    face = projection["proj.0.weight"][1] if kind in FACES else 0
    return IPAdapterFacts(kind, reads, width, layers, joint, contents, face)


def _wanted(
    kind: str, projection: Shapes, width: int, keys: Sequence[tuple[int, tuple[int, ...]]], joint: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensors that follow from others, with their shapes: values from keys, and the layers of a small projection."""
    for number, shape in keys:
        yield f"{LAYERS}{number}.to_v_ip.weight", shape
        if joint:
            yield from ((f"{LAYERS}{number}.to_{side}_ip.bias", shape[:1]) for side in "kv")
    if kind == "plain":
        tokens = max(projection["proj.weight"][0] // width, 1)
        yield f"{PROJECTION}proj.weight", (tokens * width, projection["proj.weight"][1])
        yield f"{PROJECTION}proj.bias", (tokens * width,)
        yield f"{PROJECTION}norm.bias", (width,)
    if kind == "full":
        inner = projection["proj.0.weight"][0]
        yield f"{PROJECTION}proj.0.bias", (inner,)
        yield f"{PROJECTION}proj.2.weight", (width, inner)
        yield from ((f"{PROJECTION}{name}.bias", (width,)) for name in ("proj.2", "proj.3"))
    if kind in FACES:
        inner = projection["proj.0.weight"][0]
        made = projection["norm.weight"][0]
        tokens = max(projection["proj.2.weight"][0] // made, 1)
        yield f"{PROJECTION}proj.0.bias", (inner,)
        yield f"{PROJECTION}proj.2.weight", (tokens * made, inner)
        yield f"{PROJECTION}proj.2.bias", (tokens * made,)
        yield f"{PROJECTION}norm.bias", (made,)
    if kind == "timed":
        hidden = projection["proj_in.weight"][0]
        for number, _ in keys:
            yield f"{LAYERS}{number}.norm_ip.linear.weight", (2 * width, hidden)
            yield f"{LAYERS}{number}.norm_ip.linear.bias", (2 * width,)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {list(shape)}"


def under_own_names(found: Mapping[str, T]) -> dict[str, T]:
    """What is found by the names of IP-Adapter's authors, where it has those of XLabs."""
    if not any(name.startswith(XLABS_PROJECTION) for name in found):
        return dict(found)
    return {_own_name(name): one for name, one in found.items()}


def _own_name(name: str) -> str:
    if name.startswith(XLABS_PROJECTION):
        return PROJECTION + name.removeprefix(XLABS_PROJECTION)
    if name.startswith(XLABS_LAYERS):
        return LAYERS + XLABS_NAME.sub(r"\1.to_\2_ip.", name.removeprefix(XLABS_LAYERS))
    return name


def numbered_keys(layers: Mapping[str, T]) -> list[tuple[int, T]]:
    """The keys of attention layers with their numbers, in order; UNets' are odd, FLUX.1's follow each other."""
    numbers = [(name.partition(".")[0], one) for name, one in layers.items() if name.endswith(".to_k_ip.weight")]
    return sorted((int(number), one) for number, one in numbers if number.isdecimal())


FACES = ("face", "face plus")
"""The kinds that read the embedding of a face (FaceID), alone or with the tokens of its picture."""

RESAMPLED = "perceiver_resampler.proj_in.weight"
"""The tensor of FaceID Plus that reads the tokens of a picture."""


def _projection(shapes: Shapes) -> tuple[str, int, int]:
    """The kind of a projection, channels of what it reads, and of the tokens that it makes."""
    if "proj.weight" in shapes:
        return "plain", shapes["proj.weight"][1], shapes["norm.weight"][0]
    if RESAMPLED in shapes:
        return FACES[1], shapes[RESAMPLED][1], shapes["perceiver_resampler.proj_out.weight"][0]
    if {"norm.weight", "proj.2.weight"} <= shapes.keys():
        return FACES[0], 0, shapes["norm.weight"][0]
    if "proj.3.weight" in shapes:
        return "full", shapes["proj.0.weight"][1], shapes["proj.3.weight"][0]
    if "time_embedding.linear_1.weight" in shapes:
        return "timed", shapes["proj_in.weight"][1], shapes["proj_out.weight"][0]
    return "plus", shapes["proj_in.weight"][1], shapes["proj_out.weight"][0]


def check_faces(facts: IPAdapterFacts, channels: int, pictured: bool) -> None:
    """Raise `InputError` where an adapter reads no embedding of a face, or one of another size.

    Args:
        channels: numbers of the embedding.
        pictured: whether a picture of the face is given with it.
    """
    if not facts.face:
        message = "the IP-Adapter reads pictures, and no embedding of a face"
        raise InputError(message, "use ApplyIPAdapter", "unsupported-by-model")
    if channels != facts.face:
        message = f"the IP-Adapter reads {facts.face} numbers of a face, and the embedding has {channels}"
        raise InputError(message, "give the `normed_embedding` of InsightFace", "wrong-channels")
    if facts.reads and not pictured:
        message = "the IP-Adapter is a FaceID Plus, which reads the picture of the face too"
        raise InputError(message, "give it as `embedding`, from EncodeImage", "missing-input")
    if pictured and not facts.reads:
        message = "the IP-Adapter reads the embedding of a face alone, and is given a picture too"
        raise InputError(message, "leave `embedding` out", "unsupported-by-model")


def check_layers(facts: IPAdapterFacts, layers: Sequence[ImageLayer], model: str) -> None:
    """Raise `InputError` where an adapter was made for a network of another structure.

    Args:
        layers: of the network.
        model: the model, for the message.
    """
    hint = "use an adapter that was trained for this kind of model"
    if not layers:
        raise InputError(f"no IP-Adapter can act in {model}", "leave ApplyIPAdapter out", "unsupported-by-model")
    if facts.timed != layers[0].timed:
        made = "was" if facts.timed else "was not"
        message = f"the IP-Adapter {made} made for SD 3, whose tokens depend on the step, and does not fit {model}"
        raise InputError(message, hint, "wrong-adapter")
    width = layers[0].width
    if facts.width != width:
        what = "attention layers" if facts.timed else "prompts"
        message = f"the IP-Adapter makes tokens of {facts.width} channels, and the {what} of {model} have {width}"
        raise InputError(message, hint, "wrong-adapter")
    found, wanted = list(facts.layers), [layer.channels for layer in layers]
    if found != wanted:
        message = (
            f"the IP-Adapter was made for {len(found)} attention layers of {_sizes(found)} channels, and {model} "
            f"has {len(wanted)} of {_sizes(wanted)}"
        )
        raise InputError(message, hint, "wrong-adapter")


def _sizes(channels: Sequence[int]) -> str:
    return ", ".join(str(one) for one in sorted({*channels}))


def check_encoder(facts: IPAdapterFacts, width: int, vector: int) -> None:
    """Raise `InputError` where an adapter reads what another image encoder makes.

    Args:
        width: channels of the encoder's tokens.
        vector: channels of its vectors.
    """
    if not facts.reads:
        return
    given, what = (vector, "vectors") if facts.reads_vectors else (width, "tokens")
    if given != facts.reads:
        raise InputError(
            f"the IP-Adapter reads {what} of {facts.reads} channels, and the image encoder makes {what} of {given}",
            f"encode the picture with the image encoder that the adapter was trained with{_known(facts)}",
            "wrong-channels",
        )


ENCODERS = {768: "CLIP ViT-L/14", 1024: "OpenCLIP ViT-H/14", 1280: "OpenCLIP ViT-bigG/14"}
"""The image encoders of published plain adapters, by the channels of their vectors."""

TOKEN_ENCODERS = {
    1024: "CLIP ViT-L/14",
    1280: "OpenCLIP ViT-H/14",
    1152: "SigLIP so400m (384)",
    1664: "OpenCLIP ViT-bigG/14",
}
"""Those of published adapters of other kinds, by the channels of their tokens."""


def _known(facts: IPAdapterFacts) -> str:
    name = (ENCODERS if facts.reads_vectors else TOKEN_ENCODERS).get(facts.reads)
    return f": {name}" if name else ""
