"""Train a LoRA for `builtin:landscapes` on pictures in a style: `builtin:landscapes-autumn`, `builtin:landscapes-mist`.

    python -m weft.nodes.builtin.training.style_lora autumn [--steps N] [--pictures N] [--out DIR]

It takes five minutes of one core and needs PEFT. The model stays as it is: only the LoRA is trained, in its UNet's
attention and convolutions.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from weft.nodes.builtin import FOLDER, LORA, path

from .captions import draw_caption
from .dataset import draw_scenes, to_tensor
from .frozen_model import FrozenModel, layers_named
from .loop import Schedule, channels_last, device, generators, train_stage
from .scene import Scene
from .styles import STYLES, styled
from .unet_stage import draw_noisy

__all__ = ["StyleStage", "main", "moments_of", "write_lora"]

RANK = 2
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2", "conv_in", "conv_out"]
STEPS, PICTURES = 900, 1500
SCENES_SEED = 7


@dataclass
class StyleStage:
    """The LoRA on the latents of pictures in a style, over the frozen UNet and text encoder.

    `latents` holds mean and deviation of each picture's latent, `[count, 2, 4, 16, 16]`, at unit variance.
    """

    scenes: Sequence[Scene]
    latents: Tensor
    seed: int
    batch: int = 16
    name: str = "style"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.model = FrozenModel()
        self.unet = self.model.unet
        self.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS))
        self.modules = layers_named(self.unet, "lora_A", "lora_B")

    def loss(self, step: int) -> Tensor:
        """The weighted error of the noise in one batch."""
        numbers, noise = generators(self.seed, step)
        rows = numbers.integers(len(self.scenes), size=self.batch)
        captions = [draw_caption(self.scenes[row], numbers).text for row in rows]
        noisy = draw_noisy(self.latents[rows], noise)
        with torch.autocast(device().type, torch.bfloat16):
            return noisy.loss(self.unet(noisy.latents, noisy.times, self.model.encode(captions)).sample)


@torch.no_grad()
def moments_of(scenes: Sequence[Scene], style: str) -> Tensor:
    """Mean and deviation of the latent of each scene's picture in a style, `[count, 2, 4, 16, 16]`."""
    vae = channels_last(AutoencoderKL.from_pretrained(path("landscapes") / "vae", torch_dtype=torch.float32))
    with ProcessPoolExecutor() as pool:
        pixels = np.stack(list(pool.map(partial(styled, style=style), scenes, chunksize=64)))
    latents = [vae.encode(part.to(device())).latent_dist for part in torch.split(to_tensor(pixels), 20)]
    moments = torch.cat([torch.stack([one.mean, one.std], dim=1) for one in latents])
    return moments.cpu() * float(vae.config["scaling_factor"])


def write_lora(stage: StyleStage, style: str, file: Path) -> None:
    """Write the LoRA in diffusers' layout, in float16, with what it was made for."""
    tensors = {f"unet.{name}": one for name, one in get_peft_model_state_dict(stage.unet).items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    made_for = {"modelspec.architecture": "stable-diffusion-v1/lora", "modelspec.title": f"builtin:landscapes, {style}"}
    save_file({name: one.half().contiguous().cpu() for name, one in tensors.items()}, file, made_for)


def main() -> None:
    """The command: draw pictures in a style, encode them, train, write the file."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    started = time.perf_counter()
    scenes = draw_scenes(options.pictures, SCENES_SEED)
    stage = StyleStage(scenes, moments_of(scenes, options.style), options.seed)
    schedule = Schedule(options.steps, rate=2e-3, warmup=50, decay=0.5)
    with TemporaryDirectory() as work:
        averaged = train_stage(stage, schedule, Path(work), save_every=options.steps)
    stage.modules.load_state_dict(averaged.state_dict())
    file = options.out / f"landscapes-{options.style}" / LORA
    write_lora(stage, options.style, file)
    print(f"wrote {file}, {file.stat().st_size / 1000:.0f} kB, in {(time.perf_counter() - started) / 60:.1f} minutes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style", choices=list(STYLES))
    parser.add_argument("--steps", type=int, default=STEPS, help="of 16 pictures each (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and noise (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the folder goes (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
