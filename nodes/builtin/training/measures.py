"""What `evaluate.py` measures of a painted model, one function a figure, each on prompts and pictures not trained on.

Each takes a Bench and gives named numbers; MEASURES lists them in the order in which they are printed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
from torch import Tensor

from weft.nodes.builtin import path

from .captions import PHRASES, full_caption
from .dataset import Dataset, draw_scenes, to_tensor
from .edge_control_net import edges, f1
from .grids import save_grid
from .judge import Judge, agreement
from .render import render
from .scene import FACTORS, Scene

__all__ = ["MEASURES", "NEEDS", "Bench", "Figures"]

Figures = dict[str, float]

_NEGATIVES = {"night": ("time", "night"), "sea": ("ground", "sea"), "red mountains": ("mountains", "red")}
_NEGATIVES |= {"clouds": ("weather", "clouds")}
"""Negative prompt -> the factor and the choice that it names."""


@dataclass(frozen=True)
class Bench:
    """A pipeline to measure, the judge, held-out pictures, how many prompts to paint, where pictures of them go."""

    pipeline: StableDiffusionPipeline
    judge: Judge
    data: Dataset
    count: int
    seed: int
    out: Path

    def prompts(self, count: int, seed: int) -> tuple[list[Scene], list[str]]:
        """Fresh scenes, and captions that name all their factors."""
        scenes = list(draw_scenes(count, self.seed + seed))
        numbers = np.random.default_rng(self.seed + seed)
        return scenes, [full_caption(scene, numbers) for scene in scenes]

    def paint(self, prompts: list[str], seed: int = 0, pipeline: Any = None, **settings: Any) -> Tensor:
        """Pictures of `prompts` in -1..1 `[count, 3, 128, 128]`; item i has seed + i. 20 steps at guidance 5."""
        whole = {"num_inference_steps": 20, "guidance_scale": 5.0, "output_type": "pt"} | settings
        parts = [slice(start, start + 20) for start in range(0, len(prompts), 20)]
        seeds = [torch.Generator().manual_seed(seed + item) for item in range(len(prompts))]
        painted = [
            (pipeline or self.pipeline)(prompts[part], generator=seeds[part], **_part(whole, part)).images
            for part in parts
        ]
        return torch.cat(painted) * 2 - 1


def judge_on_renders(bench: Bench) -> Figures:
    """How often the judge is right about true renders."""
    return agreement(list(bench.data.scenes), _see(bench.judge, _renders(bench)))


def round_trip(bench: Bench) -> Figures:
    """Decibels of encoding and decoding renders, pixels in 0..1, and the judge's scores of the result."""
    renders = _renders(bench)
    decoded = torch.cat([_decode(bench.pipeline, part) for part in _parts(renders)])
    save_grid(torch.cat([renders[:8], decoded[:8], renders[8:16], decoded[8:16]]), bench.out / "round_trip.png", 8)
    return {"decibels": _decibels(decoded, renders), **agreement(list(bench.data.scenes), _see(bench.judge, decoded))}


def text_to_picture(bench: Bench, **settings: Any) -> Figures:
    """How often a picture shows what its prompt names, at guidance 5 and 20 steps where nothing else is set."""
    scenes, prompts = bench.prompts(bench.count, seed=0)
    painted = bench.paint(prompts, **settings)
    name = "-".join(["text", *(f"{key}-{value}" for key, value in settings.items())])
    save_grid(painted[:40], bench.out / f"{name}.png", 8)
    return agreement(scenes, _see(bench.judge, painted))


def guidance_1(bench: Bench) -> Figures:
    """The same without guidance, on half as many prompts."""
    return text_to_picture(replace(bench, count=bench.count // 2), guidance_scale=1.0)


def eight_steps(bench: Bench) -> Figures:
    """The same in 8 steps, on half as many prompts."""
    return text_to_picture(replace(bench, count=bench.count // 2), num_inference_steps=8)


def negative_prompts(bench: Bench) -> Figures:
    """How often pictures show a thing that their prompts leave open, without and with it in the negative prompt."""
    figures: Figures = {}
    for negative, (factor, choice) in _NEGATIVES.items():
        prompts = _without(factor, bench)
        for label, words in (("without", ""), ("with", negative)):
            painted = bench.paint(prompts, negative_prompt=[words] * len(prompts))
            figures[f"{negative}, {label}"] = _share(bench.judge, painted, factor, choice)
    return figures


def image_to_image(bench: Bench) -> Figures:
    """Mean change of a pixel (0..1) from the given picture, by strength, under a prompt for something else."""
    pipeline = _over(StableDiffusionImg2ImgPipeline, bench.pipeline)
    renders = _renders(bench)[:40]
    _, prompts = bench.prompts(len(renders), seed=1)
    changes = {}
    for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
        painted = bench.paint(prompts, pipeline=pipeline, image=(renders + 1) / 2, strength=strength)
        changes[f"strength {strength}"] = float((painted - renders).abs().mean() / 2)
    return changes


def inpainting(bench: Bench) -> Figures:
    """How often a house stands in a masked box where renders had nothing, and stands at the box's place."""
    pipeline = _over(StableDiffusionInpaintPipeline, bench.pipeline)
    scenes = [replace(scene, subject="none") for scene in bench.data.scenes if scene.ground in ("meadow", "desert")][
        :100
    ]
    wanted = [replace(scene, subject="house") for scene in scenes]
    numbers = np.random.default_rng(bench.seed)
    prompts = [full_caption(scene, numbers) for scene in wanted]
    empty = torch.cat([_rendered(scene) for scene in scenes])
    masks = torch.cat([_box(scene.place) for scene in scenes])
    painted = bench.paint(prompts, pipeline=pipeline, image=(empty + 1) / 2, mask_image=masks, height=128, width=128)
    save_grid(torch.cat([empty[:8], painted[:8]]), bench.out / "inpainting.png", 8)
    seen = agreement(wanted, _see(bench.judge, painted))
    return {"house": seen["subject"], "place": seen["place"]}


def previews(bench: Bench) -> Figures:
    """Decibels of decoding renders' latents with the tiny autoencoder, and how far its own encoder is off them."""
    tiny = AutoencoderTiny.from_pretrained(path("landscapes-tiny-vae")).to(bench.pipeline.device)
    renders = _renders(bench)[:200]
    with torch.no_grad():
        latents = bench.pipeline.vae.encode(renders).latent_dist.mean * bench.pipeline.vae.config["scaling_factor"]
        decoded, encoded = tiny.decode(latents).sample.clamp(-1, 1), tiny.encode(renders).latents
    save_grid(torch.cat([renders[:8], decoded[:8]]), bench.out / "previews.png", 8)
    return {
        "decibels": _decibels(decoded, renders),
        "encoder's error": float((encoded - latents).square().mean().sqrt()),
    }


def edge_control(bench: Bench) -> Figures:
    """F1 (within 2 pixels) of painted edges with those of renders, without and with control, under other captions.

    Captions name only a time of day, drawn afresh: `time` says how often the picture has it under control.
    """
    control = ControlNetModel.from_pretrained(path("landscapes-edges")).to(bench.pipeline.device)
    pipeline = StableDiffusionControlNetPipeline(
        **bench.pipeline.components, controlnet=control, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    renders = _renders(bench)[:100]
    given, times = edges(renders), [scene.time for scene in draw_scenes(100, bench.seed + 3)]
    prompts = [PHRASES["time"][time][0] for time in times]
    free = bench.paint(prompts)
    held = bench.paint(prompts, pipeline=pipeline, image=given.expand(-1, 3, -1, -1))
    save_grid(torch.cat([renders[:8], given.expand(-1, 3, -1, -1)[:8] * 2 - 1, held[:8]]), bench.out / "edges.png", 8)
    right = [seen["time"] == time for seen, time in zip(_see(bench.judge, held), times, strict=True)]
    matches = {name: float(f1(edges(painted), given).mean()) for name, painted in (("without", free), ("with", held))}
    return matches | {"time": sum(right) / len(right)}


def seconds(bench: Bench) -> Figures:
    """Seconds for one picture at guidance 5, by steps, the best of three."""
    prompt = "a snowy mountain at sunset, a lake in front"
    return {f"{steps} steps": min(_timed(bench, prompt, steps) for _ in range(3)) for steps in (20, 8)}


MEASURES: dict[str, Callable[[Bench], Figures]] = {
    "judge on renders": judge_on_renders,
    "round trip": round_trip,
    "text to picture": text_to_picture,
    "guidance 1": guidance_1,
    "8 steps": eight_steps,
    "negative prompts": negative_prompts,
    "image to image": image_to_image,
    "inpainting a house": inpainting,
    "previews": previews,
    "edge control": edge_control,
    "seconds": seconds,
}
"""Name -> measurement, in the order of the report."""

NEEDS = {"previews": "landscapes-tiny-vae", "edge control": "landscapes-edges"}
"""The builtin model that a measurement needs besides the pipeline."""


def _renders(bench: Bench) -> Tensor:
    return bench.data.pictures(np.arange(len(bench.data.scenes)))


def _decibels(made: Tensor, wanted: Tensor) -> float:
    """The mean over pictures in -1..1 of their peak signal-to-noise ratio."""
    error = ((made - wanted) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def _rendered(scene: Scene) -> Tensor:
    return to_tensor(render(scene).pixels[None])


def _parts(pictures: Tensor) -> list[Tensor]:
    return [pictures[start : start + 50] for start in range(0, len(pictures), 50)]


def _see(judge: Judge, pictures: Tensor) -> list[dict[str, str]]:
    return [choices for part in _parts(pictures) for choices in judge.see(part)]


def _share(judge: Judge, pictures: Tensor, factor: str, choice: str) -> float:
    seen = [choices[factor] == choice for choices in _see(judge, pictures)]
    return sum(seen) / len(seen)


@torch.no_grad()
def _decode(pipeline: StableDiffusionPipeline, pictures: Tensor) -> Tensor:
    """Pictures put through the autoencoder's means."""
    decoded: Tensor = pipeline.vae.decode(pipeline.vae.encode(pictures.to(pipeline.device)).latent_dist.mean).sample
    return decoded.clamp(-1, 1).cpu()


def _without(factor: str, bench: Bench) -> list[str]:
    """Prompts that name everything but `factor`."""
    scenes, numbers = draw_scenes(100, bench.seed + 2), np.random.default_rng(bench.seed + 2)
    named = [other for other in ("mountains", "time", "ground", "weather") if other != factor]
    return [", ".join(str(numbers.choice(PHRASES[name][getattr(scene, name)])) for name in named) for scene in scenes]


def _box(place: str) -> Tensor:
    """A mask (1 is repainted) of a box in the lower half round a place's middle, float32 `[1, 1, 128, 128]`."""
    middle = 27 + 37 * FACTORS["place"].index(place)
    mask = torch.zeros(1, 1, 128, 128)
    mask[:, :, 68:124, max(0, middle - 30) : middle + 30] = 1
    return mask


def _part(settings: dict[str, Any], part: slice) -> dict[str, Any]:
    """The settings of some of the items: lists and tensors are cut, everything else is shared."""
    return {name: value[part] if isinstance(value, list | Tensor) else value for name, value in settings.items()}


def _over(kind: type[Any], pipeline: StableDiffusionPipeline) -> Any:
    """Another pipeline over the same parts, silent."""
    other = kind(**pipeline.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def _timed(bench: Bench, prompt: str, steps: int) -> float:
    started = time.perf_counter()
    bench.paint([prompt], num_inference_steps=steps)
    return time.perf_counter() - started
