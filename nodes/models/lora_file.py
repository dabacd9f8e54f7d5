"""LoRA files: which tensors belong together, and which part of a model they change, by their names alone.

Trainers name the same numbers in many ways: kohya's scripts write `lora_unet_mid_block_..._to_q.lora_down.weight`,
diffusers `unet.mid_block....to_q.lora_A.weight` or, earlier, `....attn1.processor.to_q_lora.down.weight`, PEFT
`base_model.model....lora_A.weight`, ai-toolkit and ComfyUI `diffusion_model....`. Here a name becomes the part of a
model, the module in it as the file calls it, and the role of the tensor. `weft.nodes.models.lora_binding` finds the
module of a network. Imports no torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.engine import InputError, listed
from weft.nodes.models.lora_sizes import WeightSize, weight_size
from weft.nodes.models.safetensors_header import Shapes

DENOISER = "denoiser"

PARTS: Mapping[str, str] = {
    "lora_unet_": DENOISER,
    "lora_transformer_": DENOISER,
    "lycoris_": DENOISER,
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": "text_encoder_3",
    "model.diffusion_model.": DENOISER,
    "diffusion_model.": DENOISER,
    "unet.": DENOISER,
    "transformer.": DENOISER,
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder_3.": "text_encoder_3",
    "text_encoders.clip_l.transformer.": "clip_l",
    "text_encoders.clip_g.transformer.": "clip_g",
    "text_encoders.t5xxl.transformer.": "t5xxl",
    "text_model.": "text_encoder",
}
"""What names begin with, and the part of the model that they mean; a name with none of these is of the denoiser."""

TEXT_MODELS: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("clip_l", "clip_h"),
    "text_encoder_2": ("clip_g", "t5xxl"),
    "text_encoder_3": ("t5xxl",),
}
"""The text models that a part may be, by Weft's names; the first that a model has."""


def parts_of(text_model: str, present: Sequence[str]) -> tuple[str, ...]:
    """What files call a text model.

    Args:
        present: the names of all text models of the model.
    """
    named = {part: next((one for one in known if one in present), "") for part, known in TEXT_MODELS.items()}
    if not named["text_encoder"] and len(present) == 1 and not named["text_encoder_2"]:
        named["text_encoder"] = text_model
    return (text_model, *(part for part, one in named.items() if one == text_model))


def read_parts(text_models: Sequence[str]) -> frozenset[str]:
    """The parts of LoRAs that a model with these text models reads."""
    texts = (part for name in text_models for part in parts_of(name, text_models))
    return frozenset({DENOISER, *texts})


WRAPPED = "base_model.model."
"""What PEFT puts in front of the names of a model that it wraps."""

ROLES: Mapping[str, str] = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_B.bias": "up_bias",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "alpha": "alpha",
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    **{role: role for role in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{f"lokr_{role}": f"lokr_{role}" for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    "diff": "diff",
    "diff_b": "diff_b",
    "w_norm": "diff",
    "b_norm": "diff_b",
    "norm_scale": "norm_scale",
}
"""What names end with, and what the tensor is; the last three are LyCORIS' differences of normalisations, and those of
Control LoRAs, which stand in the place of the model's own.
"""

MAY_COME = frozenset({"alpha", "dora_scale", "diff_b"})

FORMS: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset({"down", "up"}), MAY_COME | {"mid", "magnitude", "up_bias"}),
    *(
        (frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", *cores}), MAY_COME)
        for cores in ((), ("hada_t1", "hada_t2"))
    ),
    *(
        (frozenset({*first, *second}), MAY_COME)
        for first in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for second in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"), ("lokr_w2_a", "lokr_w2_b", "lokr_t2"))
    ),
    (frozenset({"diff"}), frozenset({"diff_b", "alpha"})),
    (frozenset({"diff_b"}), frozenset({"alpha"})),
    (frozenset({"norm_scale"}), frozenset()),
)
"""The tensors of one module that make a change together, and those that may come with them."""

SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\.(lora_[AB]|lora_magnitude_vector)\.(?!weight$|bias$)\w+(?=\.|$)", r".\1"),
        (r"(double_blocks\.\d+)\.processor\.(qkv|proj)_lora1\.", r"\1.img_attn.\2.lora."),
        (r"(double_blocks\.\d+)\.processor\.(qkv|proj)_lora2\.", r"\1.txt_attn.\2.lora."),
        (r"(single_blocks\.\d+)\.processor\.qkv_lora\.", r"\1.linear1.lora."),
        (r"(single_blocks\.\d+)\.processor\.proj_lora\.", r"\1.linear2.lora."),
        (r"\.processor\.(to_[qkv])_lora\.", r".\1.lora."),
        (r"\.processor\.to_out_lora\.", ".to_out.0.lora."),
        (r"^(ip_adapter\.\d+\.to_(?:q|k|v|out))_lora\.", r"\1.lora."),
        (r"\.self_attn\.to_([qkv]|out)_lora\.", r".self_attn.\1_proj.lora."),
        (r"\.norm\.(key|query)_norm\.scale$", r".norm.\1_norm.norm_scale"),
        (r"\.(norm_(?:added_)?[qk])\.weight$", r".\1.norm_scale"),
    )
)
"""Older and other ways to write the same: the name of an adapter within PEFT's, processors of attention, norms."""


@dataclass(frozen=True)
class LoRALayer:
    """The tensors of a file that change one module.

    Args:
        name: what their names begin with.
        part: of the model: `denoiser`, `text_encoder`, `clip_l`.
        module: the rest of the name; kohya's have underscores in place of dots.
        tensors: their names, by their roles.
        shapes: by their roles.
    """

    name: str
    part: str
    module: str
    tensors: Mapping[str, str] = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    @property
    def form(self) -> str:
        """How the tensors make the change of a weight: `lora`, `loha`, `lokr`, `diff`, or `norm` for one in its place;
        empty for a bias alone.
        """
        roles = {"down": "lora", "hada_w1_a": "loha", "lokr_w1": "lokr", "lokr_w1_a": "lokr"}
        roles |= {"diff": "diff", "norm_scale": "norm"}
        return next((form for role, form in roles.items() if role in self.shapes), "")

    @property
    def rank(self) -> int:
        """The rank of the change; 0 where it has none of its own."""
        for role, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0)):
            if role in self.shapes:
                return self.shapes[role][axis]
        return 0

    @property
    def weight(self) -> WeightSize:
        """The size of the weight that it changes; zeros for a bias alone, and where tensors do not fit each other."""
        return (weight_size(self.form, self.shapes) if self.form else None) or WeightSize(0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """The rows of the weight that it changes, and the elements of a row; zeros for a bias alone."""
        return self.weight.rows, self.weight.columns

    @property
    def scales_channels(self) -> bool:
        """Whether a DoRA has a magnitude for each channel that the weight reads, as LyCORIS and OneTrainer write them.

        Their tensors have one row. diffusers writes those of PEFT, one for each row of the weight, under the same name.
        """
        shape, weight = self.shapes.get("dora_scale", ()), self.weight
        count = math.prod(shape)
        fits = count == weight.channels or (not weight.kernel and count > 0 and weight.channels % count == 0)
        return len(shape) > 1 and shape[0] == 1 and fits

    @property
    def fits(self) -> bool:
        """Whether the tensors fit each other."""
        of_rows = {"magnitude", "up_bias", "diff_b"} | (set() if self.scales_channels else {"dora_scale"})
        sizes = {"alpha": 1, **dict.fromkeys(of_rows, self.weight.rows)}
        whole = all(math.prod(self.shapes[role]) == size for role, size in sizes.items() if role in self.shapes)
        return not self.form or (self.weight.rows > 0 and whole)


FACE_LORA = re.compile(r"ip_adapter\.\d+\.to_(q|k|v|out)_lora\.")
"""The tensors of the LoRA in a file of IP-Adapter FaceID, by the number of an attention layer of a UNet."""


def layers_of(shapes: Shapes) -> tuple[LoRALayer, ...]:
    """The layers of a LoRA file; none where it is none. Of an IP-Adapter with a LoRA, those of the LoRA.

    Raises:
        InputError: where some tensors are not read, with their names.
    """
    found: dict[str, dict[str, str]] = {}
    unread: list[str] = []
    of_face = [name for name in shapes if FACE_LORA.match(name)]
    for name in of_face or shapes:
        module, role = _parted(name)
        if not role or role in found.setdefault(module, {}):
            unread.append(name)
        else:
            found[module][role] = name
    known = {module: roles for module, roles in found.items() if roles}
    if not any(roles.keys() - {"alpha", "diff", "diff_b", "norm_scale"} for roles in known.values()):
        return ()
    whole = {module: roles for module, roles in known.items() if _is_whole(roles)}
    unread += [tensor for module in known.keys() - whole.keys() for tensor in known[module].values()]
    if unread:
        raise InputError(
            f"a LoRA with {len(unread)} tensors that are not read: {listed(sorted(unread)[:MOST_NAMES])}",
            next((hint for pattern, hint in HINTS if any(pattern.search(name) for name in unread)), USUAL_HINT),
            "unsupported-weights",
        )
    layers = tuple(_layer(module, roles, shapes) for module, roles in whole.items())
    if unfit := [layer.name for layer in layers if not layer.fits]:
        raise InputError(
            f"the tensors of {len(unfit)} modules of the LoRA do not fit each other: {listed(unfit[:MOST_NAMES])}",
            "download it again",
            "damaged-file",
        )
    return layers


USUAL_HINT = "use one that changes weights by LoRA, LoHa, LoKr or DoRA, or by differences"

HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^bundle_emb\."), "save it without its embeddings; LoadEmbedding reads them from files of their own"),
)
"""What to do about tensors that are not read, by patterns of their names."""

MOST_NAMES = 5
"""How many names a message gives."""


def _parted(name: str) -> tuple[str, str]:
    """The name of a module and the role of its tensor; no role where the name ends in none."""
    for pattern, replacement in SPELLINGS:
        name = pattern.sub(replacement, name)
    at = name.find(".") if name.startswith(tuple(one for one in PARTS if one.endswith("_"))) else -1
    ends = [at] if at >= 0 else [index for index, letter in enumerate(name) if letter == "."]
    return next(((name[:end], ROLES[name[end + 1 :]]) for end in ends if name[end + 1 :] in ROLES), (name, ""))


def _is_whole(roles: Iterable[str]) -> bool:
    given = frozenset(roles)
    return any(needed <= given <= needed | others for needed, others in FORMS)


def _layer(name: str, roles: Mapping[str, str], shapes: Shapes) -> LoRALayer:
    below = name.removeprefix(WRAPPED)
    prefix = max((one for one in PARTS if below.startswith(one)), key=len, default="")
    module = below if prefix == "text_model." else below.removeprefix(prefix)
    return LoRALayer(name, PARTS.get(prefix, DENOISER), module, roles, {one: shapes[roles[one]] for one in roles})
