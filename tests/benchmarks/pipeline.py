"""The text-to-image graph against diffusers' own pipeline doing the same work, interleaved in one process.

Both hold their weights; Weft's store is off, so that every node runs. Prints medians and their ratio.

    python tests/benchmarks/pipeline.py [--device cuda] [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from weft.engine import Engine, Graph
from weft.nodes import builtin

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"


def pipeline_run(device: str, graph: Graph) -> Callable[[], Any]:
    """The same picture from diffusers: prompt, seed, steps, sampler and scale as the graph has them."""
    pipelines: Any = StableDiffusionPipeline
    schedulers: Any = DPMSolverMultistepScheduler
    pipe = pipelines.from_pretrained(builtin.path("landscapes"), local_files_only=True).to(device)
    pipe.scheduler = schedulers.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    sampler, guide = graph.nodes["sampler"].inputs, graph.nodes["guide"].inputs
    return lambda: (
        pipe(
            graph.nodes["positive"].inputs["text"],
            negative_prompt=graph.nodes["negative"].inputs["text"],
            width=128,
            height=128,
            num_inference_steps=sampler["steps"],
            guidance_scale=guide["scale"],
            generator=[torch.Generator("cpu").manual_seed(sampler["seed"])],
        ).images
    )


def seconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    graph = Graph.load(GRAPH)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(store=None, device=options.device, precision="float32", output=folder)
        calls = {"weft": lambda: engine.run(graph), "diffusers": pipeline_run(options.device, graph)}
        for call in calls.values():
            call()
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.repeats):
            for name, call in calls.items():
                times[name].append(seconds(call))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    where = torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"device {options.device} ({where}), {options.repeats} runs each")
    for name, median in medians.items():
        print(f"{name:<10} {median * 1000:8.1f} ms a picture")
    print(f"ratio weft / diffusers {medians['weft'] / medians['diffusers']:.3f}")


if __name__ == "__main__":
    main()
