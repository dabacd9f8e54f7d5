"""A picture, and sampling alone, against diffusers' own pipeline doing the same work, interleaved in one process.

    python tests/benchmarks/pipeline.py [--device cuda] [--repeats 15]

The graph is graphs/text_to_image.json. Both hold their weights; Weft's store is off, so that every node runs. Sampling
alone is KSampler, the pipeline from encoded prompts to latents, and the calls of the UNet that both make, with nothing
around them. Prints medians, and of each ratio the median over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from weft.engine import INJECTED, Context, Engine, Graph, Link, NodeType, node
from weft.nodes import KSampler, builtin
from weft.nodes.models.denoiser import Denoiser

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"

Calls = dict[str, Callable[[], Any]]

RATIOS = (
    ("picture, weft", "picture, diffusers"),
    ("latents, KSampler", "latents, diffusers"),
    ("latents, KSampler", "latents, bare UNet calls"),
    ("latents, diffusers", "latents, bare UNet calls"),
)


@node
def Lend(*, context: Context = INJECTED) -> Any:
    """The context of its own call."""
    return context


def pipeline_calls(device: str, graph: Graph) -> Calls:
    """The same picture from diffusers: prompt, seed, steps, sampler and scale as the graph has them."""
    pipelines: Any = StableDiffusionPipeline
    schedulers: Any = DPMSolverMultistepScheduler
    pipe = pipelines.from_pretrained(builtin.path("landscapes"), local_files_only=True).to(device)
    pipe.scheduler = schedulers.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    sampler: Mapping[str, Any] = graph.nodes["sampler"].inputs
    guide = graph.nodes["guide"].inputs
    prompts = [graph.nodes[name].inputs["text"] for name in ("positive", "negative")]
    positive, negative = pipe.encode_prompt(prompts[0], device, 1, True, prompts[1])

    def paint(**prompt: Any) -> Any:
        return pipe(
            **prompt,
            width=128,
            height=128,
            num_inference_steps=sampler["steps"],
            guidance_scale=guide["scale"],
            generator=[torch.Generator("cpu").manual_seed(sampler["seed"])],
        ).images

    return {
        "picture, diffusers": lambda: paint(prompt=prompts[0], negative_prompt=prompts[1]),
        "latents, diffusers": lambda: paint(
            prompt_embeds=positive, negative_prompt_embeds=negative, output_type="latent"
        ),
    }


def sampling_calls(engine: Engine, graph: Graph, model: Denoiser, values: Any) -> Calls:
    """KSampler on the values that the graph gives it, and as many calls of its UNet."""
    inputs: Mapping[str, Any] = graph.nodes["sampler"].inputs
    literals = {name: given for name, given in inputs.items() if not isinstance(given, Link)}
    given = {**literals, "guide": values["guide"], "latent": values["latent"]}
    prompts = (*values["guide"].negative.prompts, *values["guide"].positive.prompts)
    embeddings = torch.cat([prompt.embeddings for prompt in prompts]).to(model.network.device)
    latents = torch.randn(2, 4, 16, 16).to(embeddings)
    timesteps = torch.linspace(999, 0, inputs["steps"], device=embeddings.device).long()

    def bare() -> None:
        for timestep in timesteps:
            model.network(latents, timestep, encoder_hidden_states=embeddings, return_dict=False)
        if latents.is_cuda:
            torch.cuda.synchronize()

    return {
        "latents, KSampler": lambda: engine.run_now(cast(NodeType, KSampler), given),
        "latents, bare UNet calls": bare,
    }


def seconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def interleaved(calls: Calls, repeats: int) -> dict[str, list[float]]:
    """The seconds of each call, one after another in every repeat, after each was made once."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def measure(device: str, repeats: int) -> dict[str, list[float]]:
    """All calls over the weights of one engine and one pipeline."""
    graph = Graph.load(GRAPH)
    probe = Graph(nodes=graph.nodes, outputs={name: Link(name) for name in ("guide", "latent")}, types=graph.types)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(store=None, device=device, precision="float32", output=folder)
        values = engine.run(probe).outputs
        context = cast(Context, engine.run_now(cast(NodeType, Lend), {}))
        with context.weights(values["guide"].model) as model:
            sampling = sampling_calls(engine, graph, model, values)
            weft = {"picture, weft": lambda: engine.run(graph)}
            return interleaved({**weft, **pipeline_calls(device, graph), **sampling}, repeats)


def main() -> None:
    """Print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    times = measure(options.device, options.repeats)
    where = torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"device {options.device} ({where}), {options.repeats} runs each")
    for name, taken in times.items():
        print(f"{name:<26} {statistics.median(taken) * 1000:8.1f} ms")
    for one, other in RATIOS:
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times[one], times[other], strict=True))
        print(f"{one} / {other}: {ratio:.3f}")


if __name__ == "__main__":
    main()
