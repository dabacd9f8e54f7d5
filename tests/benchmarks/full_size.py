"""What a model of full size costs: Stable Diffusion 1.5 with random weights, 1.07 billion parameters in one fp16 file.

    python tests/benchmarks/full_size.py [--folder DIR] [--rounds 3]

Makes the file once (2.1 GB, in the folder), then, each in a process of its own: the peak resident size of a run in
float32 (128 x 128, 2 steps), the seconds to load its modules over those to read the file and cast it, and the seconds
of KSampler over those of a bare loop that asks the same modules.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from weft.engine import INJECTED, Context, Engine, Graph, NodeType, node
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

sys.path.insert(0, str(Path(__file__).parents[2]))  # for `tests`, where this file is run by its path

NAME = "full_size.safetensors"
STEPS, SIDE = 2, 128
UNET: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
}
TEXT: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}


@node
def Lend(*, context: Context = INJECTED) -> Any:
    """The context of its own call."""
    return context


def make(path: Path) -> None:
    """Write the file, under the names of the original layout."""
    import diffusers
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests.nodes.layouts import VAE as VAE_NAMES
    from tests.nodes.layouts import renamed

    torch.set_default_dtype(torch.float16)
    text = CLIPTextModel(CLIPTextConfig(**TEXT, vocab_size=49408, projection_dim=768))
    plain = {name.removeprefix("text_model."): one for name, one in text.state_dict().items()}
    tensors = {f"cond_stage_model.transformer.text_model.{name}": one for name, one in plain.items()}
    tensors |= renamed(state_of(diffusers.UNet2DConditionModel, UNET), tuple(unet_names()), "model.diffusion_model.")
    tensors |= renamed(state_of(diffusers.AutoencoderKL, VAE), VAE_NAMES, "first_stage_model.")
    save_file({name: one.half() for name, one in tensors.items() if "position_ids" not in name}, path)


def state_of(module_class: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The random weights of one of diffusers' modules, which have no type hints."""
    return dict(module_class(**settings).state_dict())


def unet_names() -> Iterator[tuple[str, str]]:
    """What diffusers' names become for a UNet of four levels with two layers each."""
    from tests.nodes.layouts import ENDS, RESNET

    for level in range(4):
        for layer in range(3):
            into, out = 3 * level + layer, rf"output_blocks.{3 * level + layer}."
            yield rf"^down_blocks\.{level}\.resnets\.{layer}\.", f"input_blocks.{into + 1}.0."
            yield rf"^down_blocks\.{level}\.attentions\.{layer}\.", f"input_blocks.{into + 1}.1."
            yield rf"^up_blocks\.{level}\.resnets\.{layer}\.", f"{out}0."
            yield rf"^up_blocks\.{level}\.attentions\.{layer}\.", f"{out}1."
        yield rf"^down_blocks\.{level}\.downsamplers\.0\.conv\.", f"input_blocks.{3 * level + 3}.0.op."
        yield rf"^up_blocks\.{level}\.upsamplers\.0\.", f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}."
    yield from (rule for rule in ENDS if "blocks" not in rule[0] or "mid_block" in rule[0])
    yield from RESNET


def graph_of(folder: Path) -> Graph:
    """Text to picture."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(NAME)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"), scale=1.0)
        latent = KSampler(guide, EmptyLatent(width=SIDE, height=SIDE), steps=STEPS, sampler="ddim")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def peak(folder: Path) -> float:
    """GB of a whole run."""
    with tempfile.TemporaryDirectory() as out, Engine(store=None, device="cpu", models=[folder], output=out) as engine:
        engine.run(graph_of(folder))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def recipes_of(engine: Engine) -> Any:
    """What a checkpoint's nodes get: names of modules, and the context that loads them."""
    import diffusers  # noqa: F401  # imported before a clock runs
    import transformers  # noqa: F401

    with Graph() as graph:
        checkpoint = LoadCheckpoint(NAME)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"), scale=1.0)
        for name, link in (("text", checkpoint.text_encoder), ("model", checkpoint.model), ("vae", checkpoint.vae)):
            graph.output(name, link)
        graph.output("guide", guide)
    return {**engine.run(graph).outputs, "context": engine.run_now(cast(NodeType, Lend), {})}


def loading(folder: Path) -> float:
    """Seconds to build the modules, over those to read the file and cast it."""
    import torch
    from safetensors.torch import load_file

    with Engine(store=None, device="cpu", models=[folder]) as engine:
        made = recipes_of(engine)
        engine.close()
        started = time.perf_counter()
        cast = [one.to(torch.float32) for one in load_file(folder / NAME).values()]
        read = time.perf_counter() - started
        del cast
        started = time.perf_counter()
        for name in ("text", "model", "vae"):
            with made["context"].weights(made[name]):
                continue
        return (time.perf_counter() - started) / read


def sampling(folder: Path) -> float:
    """Seconds of KSampler, over those of a bare loop over the same modules: the least of three of each."""
    import diffusers
    import torch

    scheduler_class: Any = diffusers.DDIMScheduler
    with Engine(store=None, device="cpu", models=[folder]) as engine:
        made = recipes_of(engine)
        latent = EmptyLatent(width=SIDE, height=SIDE)
        with made["context"].weights(made["model"]) as model, torch.no_grad():
            scheduler = scheduler_class.from_config(model.scheduler)
            prompt = made["guide"].positive.prompts[0].embeddings

            def bare() -> None:
                scheduler.set_timesteps(STEPS)
                x = torch.randn(1, 4, SIDE // 8, SIDE // 8)
                for timestep in scheduler.timesteps:
                    guess = model.network(x, timestep, encoder_hidden_states=prompt, return_dict=False)[0]
                    x = scheduler.step(guess, timestep, x, return_dict=False)[0]

            def ours() -> None:
                sample = KSampler.function  # type: ignore[attr-defined]
                sample(made["guide"], latent, steps=STEPS, sampler="ddim", context=made["context"])

            pairs = [(_seconds(ours), _seconds(bare)) for _ in range(4)][1:]
        return min(one for one, _ in pairs) / min(other for _, other in pairs)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Make the file and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "weft-full-size")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / NAME).exists():
        _alone(make, options.folder / NAME)
    print(f"peak resident size of a run  {_alone(peak, options.folder):.2f} GiB")
    for name, measure in (("load / read and cast", loading), ("KSampler / bare loop", sampling)):
        found = [_alone(measure, options.folder) for _ in range(options.rounds)]
        print(f"{name:<28} {statistics.median(found):.2f}  (of {', '.join(f'{one:.2f}' for one in found)})")


def _alone(work: Callable[[Path], Any], path: Path) -> Any:
    """What `work` gives in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (path,))


if __name__ == "__main__":
    main()
