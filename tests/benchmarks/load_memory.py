"""How much memory of the host loading one file takes.

    python tests/benchmarks/load_memory.py [--megabytes 400]

A transformer of FLUX.1's structure is written as one file of bfloat16 in the layout of its authors, then loaded in
processes of their own: as it is, in another precision, and to a device that has its own memory (torch's `meta`, which
keeps no numbers). Printed is the most that a process took over what it had before, in multiples of the file (Linux).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES = (("bfloat16", "cpu"), ("float32", "cpu"), ("bfloat16", "meta"), ("float16", "meta"))
"""The precision that weights are loaded in, and where."""

WIDTH = 1024


def write(path: Path, megabytes: int) -> None:
    """Write a file of about this size."""
    import torch
    from safetensors.torch import save_file

    block = 15 * WIDTH**2 + 4 * 128 + 10 * WIDTH
    blocks = max(megabytes * 2**20 // (2 * block), 1)
    shapes: dict[str, tuple[int, ...]] = {
        "img_in.weight": (WIDTH, 64),
        "txt_in.weight": (WIDTH, 64),
        "vector_in.in_layer.weight": (WIDTH, 64),
        "final_layer.linear.weight": (64, WIDTH),
        "final_layer.adaLN_modulation.1.weight": (2 * WIDTH, WIDTH),
        "time_in.in_layer.weight": (WIDTH, 256),
        "time_in.out_layer.weight": (WIDTH, WIDTH),
        "vector_in.out_layer.weight": (WIDTH, WIDTH),
    }
    for part in ("img", "txt"):
        own = f"double_blocks.0.{part}"
        shapes |= {f"{own}_attn.qkv.weight": (3 * WIDTH, WIDTH), f"{own}_attn.proj.weight": (WIDTH, WIDTH)}
        shapes |= {f"{own}_mod.lin.weight": (6 * WIDTH, WIDTH), f"{own}_mlp.0.weight": (4 * WIDTH, WIDTH)}
        shapes |= {f"{own}_mlp.2.weight": (WIDTH, 4 * WIDTH)}
        shapes |= {f"{own}_attn.norm.{one}_norm.scale": (128,) for one in ("query", "key")}
    for number in range(blocks):
        own = f"single_blocks.{number}"
        shapes |= {f"{own}.linear1.weight": (7 * WIDTH, WIDTH), f"{own}.linear2.weight": (WIDTH, 5 * WIDTH)}
        shapes |= {f"{own}.modulation.lin.weight": (3 * WIDTH, WIDTH)}
        shapes |= {f"{own}.norm.{one}_norm.scale": (128,) for one in ("query", "key")}
    biases = {
        name.removesuffix("weight") + "bias": shape[:1] for name, shape in shapes.items() if name.endswith("weight")
    }
    save_file({name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in (shapes | biases).items()}, path)


def load(path: Path, precision: str, device: str) -> None:
    """Load the file and print the bytes that it took at most, and the seconds."""
    from weft.engine import Engine
    from weft.engine.weights.recipes import Loading
    from weft.nodes import LoadDiffusionModel

    engine = Engine(store=None, device="cpu", precision=precision, models=[path.parent], history=False)
    recipe = engine.run_now(LoadDiffusionModel, {"source": path.name})  # type: ignore[arg-type]
    import diffusers
    import torch

    kind: Any = diffusers.FluxTransformer2DModel  # the libraries themselves are no weights
    kind(num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=1, axes_dims_rope=(2, 6, 8))
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    before, start = _most(), time.perf_counter()
    sources = engine._residency.sources
    with torch.no_grad():
        recipe.load(Loading(device, sources))
    print(_most() - before, time.perf_counter() - start)


def _most() -> int:
    """The most memory that the process took, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--load", nargs=3, metavar=("FILE", "PRECISION", "DEVICE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        load(Path(given.load[0]), *given.load[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flux.safetensors")
        write(path, given.megabytes)
        size = path.stat().st_size
        print(f"a file of {size / 2**20:.0f} MiB in bfloat16")
        for precision, device in CASES:
            command = [sys.executable, __file__, "--load", str(path), precision, device]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            taken, seconds = map(float, done.stdout.split())
            print(f"{precision} on {device}: {taken / size:.2f} times the file, {seconds:.1f} s")


if __name__ == "__main__":
    main()
