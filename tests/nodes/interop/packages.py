"""A folder of packages for ComfyUI, as its users have them: plain classes, and others that need ComfyUI itself."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

PLAIN = """
import numpy as np
import torch
from .parts.limits import limited

class Brighten:
    @classmethod
    def INPUT_TYPES(cls):
        factor = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 4.0, "step": 0.1, "tooltip": "how much"})
        required = {"image": ("IMAGE",), "factor": factor, "mode": (["times", "plus"],)}
        return {"required": required, "optional": {"mask": ("MASK",)}, "hidden": {"unique_id": "UNIQUE_ID"}}
    RETURN_TYPES = ("IMAGE", "FLOAT", "PIECES")
    RETURN_NAMES = ("image", "mean level", "pieces")
    FUNCTION = "run"
    DESCRIPTION = "Makes pictures brighter."
    def run(self, image, factor, mode, mask=None, unique_id=None):
        image *= factor if mode == "times" else 1
        if mask is not None:
            image = image * mask[..., None]
        image = limited(image)
        return (image, float(image.mean()), {"pixels": np.asarray(image.numpy())[0], "names": ["a", 1]})

class Join:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"pieces": ("PIECES",), "seed": ("INT", {"default": 0, "max": 2**64 - 1})}}
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    def run(self, pieces, seed):
        assert pieces["names"] == ["a", 1]
        return (torch.from_numpy(pieces["pixels"]),)

class Show:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*",)}}
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    def run(self, value):
        return {"ui": {"text": [str(value)]}}

class Fails:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    def run(self, image):
        raise ValueError("no such picture")

class Imports(Fails):
    def run(self, image):
        import comfy.utils
        return (image,)

class TakesModel(Fails):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

class Even(Fails):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 2})}}
    @classmethod
    def VALIDATE_INPUTS(cls, number):
        return True if number % 2 == 0 else "odd"

NODE_CLASS_MAPPINGS = {
    "Brighten (plain)": Brighten, "Join": Join, "Show": Show, "Fails": Fails, "Imports": Imports,
    "TakesModel": TakesModel, "Even": Even,
}
"""

ONE_FILE = """
import os, time

class Read:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"path": ("STRING", {"default": ""})}}
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    @classmethod
    def IS_CHANGED(cls, path):
        return os.path.getsize(path)
    def run(self, path):
        return (open(path).read(),)

class Clock:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}
    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    @classmethod
    def IS_CHANGED(cls):
        return float("nan")
    def run(self):
        return (time.time_ns(),)

class Split:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "a,b"})}}
    RETURN_TYPES = ("STRING",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    def run(self, text):
        return (text.split(","),)

class Glue:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"texts": ("STRING", {"forceInput": True}), "between": ("STRING", {"default": "-"})}}
    RETURN_TYPES = ("STRING",)
    INPUT_IS_LIST = True
    FUNCTION = "run"
    def run(self, texts, between):
        return (between[0].join(texts),)

NODE_CLASS_MAPPINGS = {"Read": Read, "Clock": Clock, "Split": Split, "Glue": Glue}
"""

FILES = {
    "plain-pack/__init__.py": 'print("hello")\nfrom .classes import NODE_CLASS_MAPPINGS as NODE_CLASS_MAPPINGS\n',
    "plain-pack/classes.py": PLAIN,
    "plain-pack/parts/limits.py": "def limited(image):\n    return image.clamp(0, 1)\n",
    "needs_folders/__init__.py": 'import folder_paths\nNODE_CLASS_MAPPINGS = {"Folders": object}\n',
    "one_file.py": ONE_FILE,
    "off.disabled/__init__.py": "raise SystemExit\n",
}


def packages(folder: Path) -> Path:
    """The folder, as `custom_nodes` is."""
    for name, text in FILES.items():
        path = folder / "custom_nodes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder / "custom_nodes"
