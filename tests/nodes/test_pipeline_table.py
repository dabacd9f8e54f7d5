"""RunPipeline gives what the bare pipelines of diffusers give, bit for bit, on tiny random checkpoints.

`pytest -m "slow or not slow" tests/nodes/test_pipeline_table.py` runs the whole table; the suite runs one case of each
kind.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest
import torch

from tests.nodes.oracle import diffusers
from tests.nodes.whole_pipelines import CASES, CLIP, IMAGE, MASK
from weft.engine import Engine, Graph
from weft.nodes import ImageToMask, LoadImage, LoadPipeline, LoadVideo, RunPipeline, SetPipelineInput

SEED = 11

OURS = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "num_frames": "frames",
    "video_length": "frames",
    "mask_image": "mask",
    **{name: name for name in ("prompt", "negative_prompt", "image", "control_image", "video", "width", "height")},
    "strength": "strength",
}
"""What RunPipeline calls the parameters of diffusers that it has inputs for."""

FIELDS = ("images", "frames", "audios", "rgb")


def clip(folder: Path) -> list[PIL.Image.Image]:
    """Nine frames of the picture that turn to the side, also as a file."""
    picture = PIL.Image.open(folder / "ramp.png").convert("RGB")
    frames = [picture.rotate(90 * (number % 4)) for number in range(9)]
    if not (folder / "turning.webp").exists():
        frames[0].save(folder / "turning.webp", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    return frames


def bare(kind: str, folder: Path, call: dict[str, Any], pictures: Path) -> Any:
    """What diffusers' own pipeline gives."""
    pipeline: Any = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    media = {
        IMAGE: PIL.Image.open(pictures / "ramp.png").convert("RGB"),
        MASK: PIL.Image.open(pictures / "stripes.png").convert("L"),
    }
    given = {name: media.get(value, value) if isinstance(value, str) else value for name, value in call.items()}
    given = {name: clip(pictures) if value == CLIP else value for name, value in given.items()}
    known = inspect.signature(pipeline.__call__).parameters
    generator: Any = torch.Generator()
    options: dict[str, Any] = {"generator": generator.manual_seed(SEED), "output_type": "np"}
    torch.manual_seed(SEED)
    return pipeline(**given, **{name: one for name, one in options.items() if name in known})


def graph_of(source: str, call: dict[str, Any], field: str, pictures: Path) -> Graph:
    clip(pictures)
    with Graph() as graph:
        media: dict[str, Callable[[], Any]] = {
            IMAGE: lambda: LoadImage("ramp.png"),
            MASK: lambda: ImageToMask(LoadImage("stripes.png")),
            CLIP: lambda: LoadVideo("turning.webp"),
        }
        inputs: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        named: Any = None
        for name, value in call.items():
            made = media[value]() if isinstance(value, str) and value in media else value
            if name in OURS:
                inputs[OURS[name]] = made
            elif isinstance(value, str) and value in media:
                named = SetPipelineInput(name, made, named)
            else:
                settings[name] = made
        run = RunPipeline(LoadPipeline(source), inputs=named, seed=SEED, settings=settings or None, **inputs)
        graph.output("made", {"frames": run.video, "audios": run.audio}.get(field, run.image))
    return graph


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if case.slow else kind for kind, case in CASES.items()]
)
def test_a_pipeline_gives_what_the_bare_one_gives(kind: str, pictures: Path, tmp_path: Path) -> None:
    case = CASES[kind]
    torch.manual_seed(0)
    # In half precision, so that both copy the weights: what is mapped from a file may be rounded otherwise.
    case.make().to(torch.float16).save_pretrained(tmp_path / "made")
    returned = bare(kind, tmp_path / "made", dict(case.call), pictures)
    field = next(name for name in FIELDS if name in returned)
    wanted = returned[field]
    with Engine(store=None, device="cpu", precision="float32", models=[tmp_path], inputs=[pictures]) as engine:
        made = engine.run(graph_of("made", dict(case.call), field, pictures)).outputs["made"]
    if field == "frames":
        frames = numpy.stack([*wanted[0]])
        assert numpy.array_equal(made.frames.numpy(), (frames * 255).round().astype("uint8"))
    elif field == "audios":
        sound = torch.as_tensor(wanted)[0].float()
        assert torch.equal(made.samples, sound if sound.ndim == 2 else sound[None])
    else:
        assert numpy.array_equal(made.pixels.numpy(), numpy.stack([*wanted]))
    assert numpy.ptp(numpy.asarray(wanted[0])) > 0


@pytest.mark.slow
def test_the_page_lists_every_pipeline_that_diffusers_exports() -> None:
    page = (Path(__file__).parents[2] / "nodes" / "PIPELINES.md").read_text()
    names = {name for name in dir(diffusers) if name.endswith("Pipeline") and "Modular" not in name}
    exported = {name for name in names if _is_pipeline(getattr(diffusers, name))}
    assert len(exported) > 250 and not [name for name in exported if f"| `{name}` |" not in page]
    assert CASES.keys() <= exported


def _is_pipeline(found: Any) -> bool:
    """Whether this is a class of a pipeline, not the stand-in for one whose packages are not installed."""
    return isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)
