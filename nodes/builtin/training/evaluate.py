"""Measure `builtin:landscapes`: does it paint what a prompt names, and how well does its autoencoder keep a picture?

    python -m weft.nodes.builtin.training.evaluate [--model DIR] [--work DIR] [--only NAME]... [--count N] [--out DIR]

The judge is a classifier trained on true renders; where the work folder has none, it is trained first (five minutes of
one core). Prints each figure, writes them as figures.json and contact sheets as PNG into the output folder.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from weft.nodes.builtin import names, path

from .dataset import draw_dataset
from .judge import trained_judge
from .loop import device
from .measures import MEASURES, NEEDS, Bench, Figures
from .recipe import HELD_OUT, HELD_OUT_SEED, PICTURES, SEED, default_work

__all__ = ["main"]


def main() -> None:
    """The command: take the measurements that are asked for, or all of them."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    print(f"{options.count} prompts of {options.model}; {device()}, {options.threads} threads on {platform.machine()}")
    bench = _bench(options)
    figures = {name: _taken(name, bench) for name in options.only or _possible()}
    (options.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")


def _possible() -> list[str]:
    """The measurements whose models are there."""
    return [name for name in MEASURES if NEEDS.get(name, "landscapes") in names()]


def _taken(name: str, bench: Bench) -> Figures:
    """Take one measurement and print it."""
    started = time.perf_counter()
    figures = MEASURES[name](bench)
    values = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
    print(f"{name} ({time.perf_counter() - started:.0f} s): {values}", flush=True)
    return figures


def _bench(options: argparse.Namespace) -> Bench:
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    pipeline = StableDiffusionPipeline.from_pretrained(options.model).to(device())
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    judge = trained_judge(draw_dataset(options.work, PICTURES, SEED), options.work, SEED)
    held_out = draw_dataset(options.work, HELD_OUT, HELD_OUT_SEED)
    return Bench(pipeline, judge, held_out, options.count, HELD_OUT_SEED, options.out)


def _options() -> argparse.Namespace:
    summary = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m weft.nodes.builtin.training.evaluate", description=summary)
    parser.add_argument(
        "--model", type=Path, default=path("landscapes"), help="a diffusers folder (default: the builtin)"
    )
    parser.add_argument(
        "--work", type=Path, default=default_work(), help="pictures and the judge (default: %(default)s)"
    )
    parser.add_argument("--only", action="append", default=[], choices=list(MEASURES), help="this figure; may repeat")
    parser.add_argument("--count", type=int, default=600, help="of prompts (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), help="figures and sheets (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
