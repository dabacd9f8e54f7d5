"""The classic text-to-image graph of ComfyUI, in its API format and in both versions of its editor format."""

from __future__ import annotations

from typing import Any

CHECKPOINT, POSITIVE, NEGATIVE = "SD1.5\\tiny.safetensors", "a red (house:1.3) by the lake", "night"

Tree = dict[str, Any]


def api(checkpoint: str = CHECKPOINT, **sampler: Any) -> Tree:
    """The API format; `sampler` changes the inputs of its KSampler, but for the size and the batch."""
    size = {name: sampler.pop(name, default) for name, default in (("width", 64), ("height", 64), ("batch_size", 2))}
    given = {"seed": 7, "steps": 3, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    return {
        "3": {"class_type": "KSampler", "inputs": {**given, **links, **sampler}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "5": {"class_type": "EmptyLatentImage", "inputs": size},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": POSITIVE, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": NEGATIVE, "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "pictures/ComfyUI", "images": ["8", 0]}},
    }


LINKS = (
    (1, 4, 0, 3, 0, "MODEL"),
    (2, 5, 0, 3, 3, "LATENT"),
    (3, 4, 1, 6, 0, "CLIP"),
    (4, 6, 0, 3, 1, "CONDITIONING"),
    (5, 4, 1, 7, 0, "CLIP"),
    (6, 7, 0, 3, 2, "CONDITIONING"),
    (7, 3, 0, 8, 0, "LATENT"),
    (8, 4, 2, 8, 1, "VAE"),
    (9, 8, 0, 9, 0, "IMAGE"),
)


def node(id: int, type: str, inputs: tuple[str, ...] = (), values: Any = (), **more: Any) -> Tree:
    """A node of an editor file; its inputs and outputs are those of `LINKS`, by the names of its inputs."""
    given = {target_slot: (link, kind) for link, _, _, target, target_slot, kind in LINKS if target == id}
    slots = [{"name": name, "type": given[at][1], "link": given[at][0]} for at, name in enumerate(inputs)]
    outward: dict[int, str] = {slot: kind for _, origin, slot, _, _, kind in LINKS if origin == id}
    outputs = [{"name": kind, "type": kind, "links": []} for _, kind in sorted(outward.items())]
    return {"id": id, "type": type, "mode": 0, "inputs": slots, "outputs": outputs, "widgets_values": values, **more}


def editor(version: float = 0.4) -> Tree:
    """The editor's format, version 0.4 or 1."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [list(one) if version < 1 else dict(zip(keys, one, strict=True)) for one in LINKS]
    return {
        "version": version,
        "last_node_id": 10,
        "nodes": [
            node(3, "KSampler", ("model", "positive", "negative", "latent_image"), SAMPLER),
            node(4, "CheckpointLoaderSimple", (), [CHECKPOINT]),
            node(5, "EmptyLatentImage", (), [64, 64, 2]),
            node(6, "CLIPTextEncode", ("clip",), [POSITIVE]),
            node(7, "CLIPTextEncode", ("clip",), [NEGATIVE]),
            node(8, "VAEDecode", ("samples", "vae")),
            node(9, "SaveImage", ("images",), ["pictures/ComfyUI"]),
            {"id": 10, "type": "MarkdownNote", "widgets_values": ["Paints a house."], "mode": 0},
        ],
        "links": links,
        "extra": {},
    }


SAMPLER = [7, "randomize", 3, 4.0, "euler", "normal", 1.0]
"""The widgets of the KSampler, with what the editor does with the seed after a run."""
