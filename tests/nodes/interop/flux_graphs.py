"""A graph of FLUX.1 in ComfyUI's API format, whose prompt has a picture that the model reads."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]


def flux(**nodes: tuple[str, Tree]) -> Tree:
    """A graph of FLUX.1 with a picture at `picture`, whose sampler takes `cond` and the latents of `latent`."""
    given: dict[str, tuple[str, Tree]] = {
        "unet": ("UNETLoader", {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}),
        "clip": (
            "DualCLIPLoader",
            {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl.safetensors", "type": "flux"},
        ),
        "vae": ("VAELoader", {"vae_name": "ae.safetensors"}),
        "picture": ("LoadImage", {"image": "photo.png"}),
        "text": ("CLIPTextEncode", {"text": "a house", "clip": ["clip", 0]}),
        "latent": ("VAEEncode", {"pixels": ["picture", 0], "vae": ["vae", 0]}),
        **nodes,
    }
    keep = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    model = ["changed", 0] if "changed" in given else ["unet", 0]
    latent = ["cond", 2] if given["cond"][0] in ("InpaintModelConditioning", "InstructPixToPixConditioning") else None
    links = {"model": model, "positive": ["cond", 0], "negative": ["text", 0], "latent_image": latent or ["latent", 0]}
    tree = {id: {"class_type": kind, "inputs": inputs} for id, (kind, inputs) in given.items()}
    tree["sampler"] = {"class_type": "KSampler", "inputs": {**keep, **links}}
    tree["decode"] = {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["vae", 0]}}
    tree["save"] = {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "made"}}
    return tree
