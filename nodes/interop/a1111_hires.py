"""The second pass of A1111's web UI ("hires. fix"): what was sampled is enlarged, and sampled again in part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weft.engine.graph.graph import Link
from weft.nodes.interop.writing import ForeignDraft, Made
from weft.nodes.sizes import Size

AMONG_LATENTS: Mapping[str, str] = {
    "latent": "bilinear_aliased",
    "latent (antialiased)": "bilinear",
    "latent (bicubic)": "bicubic_aliased",
    "latent (bicubic antialiased)": "bicubic",
    "latent (nearest)": "nearest",
    "latent (nearest-exact)": "nearest",
}
"""How latents are enlarged, by the names of upscalers that leave them latents."""

FILTERS: Mapping[str, str] = {"none": "lanczos", "lanczos": "lanczos", "nearest": "nearest"}
"""Filters, by the names of upscalers that are no network."""

FILES: Mapping[str, str] = {
    "r-esrgan 4x+": "RealESRGAN_x4plus",
    "r-esrgan 4x+ anime6b": "RealESRGAN_x4plus_anime_6B",
    "r-esrgan 2x+": "RealESRGAN_x2plus",
}
"""Files of networks that are shown by another name. The others are shown by the name of their file."""

SECOND_SIZE = ("Hires upscale", "Hires resize")
"""The settings of which one says that there is a second pass, and of what size."""

READ = frozenset(
    {"Hires upscale", "Hires resize", "Hires upscaler", "Hires steps", "Hires sampler", "Hires schedule type"}
    | {"Hires prompt", "Hires negative prompt", "Hires CFG Scale", "Denoising strength"}
)
"""The settings that a second pass reads."""

UNIT = 8
"""Pixels to an element of latents."""

MOST_PAINTED = 0.999
"""The largest share of the noise that it adds."""


@dataclass(frozen=True)
class FirstPass:
    """What the second pass begins with.

    Args:
        size: of what was sampled, in pixels.
        vae: decodes it, where pixels are enlarged.
    """

    size: Size
    sampled: Made
    vae: Link


def second_size(settings: Mapping[str, str], size: Size) -> Size | None:
    """The size of the second pass, in whole elements of latents; None where the picture would be cut, or is no size."""
    if "Hires resize" in settings:
        found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", settings["Hires resize"].strip())
        width, height = (int(one) for one in found.groups()) if found else (0, 0)
        if width and height and width * size.height // size.width != height:
            return None
        width, height = width or height * size.width // size.height, height or width * size.height // size.width
    else:
        found = re.fullmatch(r"\d{1,3}(\.\d{0,9})?", settings.get("Hires upscale", "").strip())
        factor = float(found[0]) if found else 0.0
        width, height = int(size.width * factor), int(size.height * factor)
    made = Size(width // UNIT * UNIT, height // UNIT * UNIT)
    return made if min(made) else None


def enlarged(settings: Mapping[str, str], first: FirstPass, size: Size, draft: ForeignDraft) -> Made | str:
    """The latents of the first pass in the size of the second one; or why they cannot be."""
    upscaler = settings.get("Hires upscaler", "Latent")
    sides = {"width": size.width, "height": size.height}
    if method := AMONG_LATENTS.get(upscaler.lower()):
        if upscaler.lower() == "latent (nearest)" and (
            size.width % first.size.width or size.height % first.size.height
        ):
            return f"the upscaler `{upscaler}` takes other elements here where it enlarges by no whole number"
        return draft.add("larger", "ScaleLatent", {"latent": first.sampled, "method": method, **sides})
    picture = draft.add("decode_first", "VAEDecode", {"vae": first.vae, "latent": first.sampled}).link
    filter = FILTERS.get(upscaler.lower())
    if filter is None:
        file = FILES.get(upscaler.lower(), upscaler)
        source = file if file.endswith(".safetensors") else f"{file.removesuffix('.pth')}.safetensors"
        network = draft.add("upscaler", "LoadUpscaler", {"source": source})
        picture = draft.add("upscale", "UpscaleImage", {"upscaler": network, "image": picture}).link
    scaled = draft.add("larger", "ScaleImage", {"image": picture, "filter": filter or "lanczos", **sides})
    return draft.add("encode", "VAEEncode", {"vae": first.vae, "image": scaled})


def painted_share(settings: Mapping[str, str]) -> float:
    """How much of the larger latents is painted again, 0 to 1."""
    found = re.fullmatch(r"\d{1,3}(\.\d{0,9})?", settings.get("Denoising strength", "0.7").strip())
    return min(float(found[0]) if found else 0.7, MOST_PAINTED)
