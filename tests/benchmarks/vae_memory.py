"""Memory and time of a VAE over a large picture, whole and in pieces, and how far apart the results are.

    python tests/benchmarks/vae_memory.py [--side 2048] [--tile 512] [--vae builtin|sd]

`builtin` is the VAE of the model that comes with Weft; `sd` one of the size of Stable Diffusion's with random weights,
which takes about 16 GB at 2048 pixels. The latents are those of a smooth picture. Each decode runs in a process of its
own; memory is its greatest resident size over that before the decode (Linux only). Seams are the greatest difference
to the whole picture, in 1/255.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from weft.nodes import builtin
from weft.nodes.models.autoencoder import Autoencoder, Tiling


def resident(field: str) -> int:
    """Bytes by the name of a line of /proc/self/status: VmRSS is the resident size, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def network(vae: str) -> Any:
    import diffusers

    kind: Any = diffusers.AutoencoderKL
    if vae == "builtin":
        return kind.from_pretrained(builtin.path("landscapes") / "vae", torch_dtype=torch.float32)
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return kind(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, **kinds)


def smooth(side: int) -> torch.Tensor:
    """Latents that change slowly from corner to corner."""
    corners = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(corners, (side // 8, side // 8), mode="bilinear", align_corners=True)


def decode(vae: str, side: int, tile: int, file: str) -> None:
    """Decode once, write the picture, and print what it took."""
    loaded = network(vae).eval().requires_grad_(False)
    autoencoder = Autoencoder(loaded, 4, 8)
    if tile:
        Tiling(tile).enter(autoencoder, None)  # type: ignore[arg-type]
    latents = smooth(side)
    autoencoder.decode(smooth(64))
    Path("/proc/self/clear_refs").write_text("5")
    before, begun = resident("VmRSS"), time.perf_counter()
    picture = autoencoder.decode(latents)
    taken, peak = time.perf_counter() - begun, resident("VmHWM") - before
    torch.save(picture, file)
    print(json.dumps({"bytes": peak, "seconds": taken}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--vae", choices=["builtin", "sd"], default="builtin")
    parser.add_argument("--decode", nargs=2, metavar=("TILE", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.decode:
        decode(given.vae, given.side, int(given.decode[0]), given.decode[1])
        return
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for tile in (0, given.tile):
            file = f"{folder}/{tile}.pt"
            size = ["--vae", given.vae, "--side", str(given.side)]
            command = [sys.executable, __file__, *size, "--decode", str(tile), file]
            found[tile] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            pictures.append(torch.load(file))
    whole, pieces = found[0], found[given.tile]
    for name, one in (("whole", whole), (f"tile {given.tile}", pieces)):
        print(f"{name:<10} {one['bytes'] / 2**20:8.0f} MiB {one['seconds']:8.1f} s")
    apart = float((pictures[0] - pictures[1]).abs().max()) * 255
    print(f"memory {pieces['bytes'] / whole['bytes']:.3f} of the whole one, difference {apart:.4f} / 255")


if __name__ == "__main__":
    main()
