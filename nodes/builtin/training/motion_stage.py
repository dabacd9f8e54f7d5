"""Train `builtin:landscapes-motion`: motion modules over the UNet of `builtin:landscapes`, as AnimateDiff has them.

    python -m weft.nodes.builtin.training.motion_stage [--clips N] [--steps N] [--start DIR] [--work DIR] [--out DIR]

The UNet and the text encoder stay as they are, so a clip's frames look like the model's pictures (Guo et al. 2023,
"AnimateDiff", section 4.2). It resumes from its checkpoint in the work folder, and takes about a second of a core a
step. What ships is of two runs, the second with a work folder of its own:

    motion_stage --work FIRST --out FIRST
    motion_stage --work SECOND --start FIRST/landscapes-motion --steps 2100 --rate 6e-4 --seed 2
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_motion_model import MotionAdapter, UNetMotionModel
from torch import Tensor
from torch.nn import functional

from weft.nodes.builtin import FOLDER

from .captions import draw_caption
from .frozen_model import FrozenModel, layers_named
from .group_norm import faster_group_norm
from .loop import Schedule, channels_last, device, generators, train_stage
from .moving_scenes import FRAMES, draw_moving_scenes, encode_clips
from .pipeline_export import export_module
from .recipe import default_work
from .scene import Scene
from .unet_stage import Noisy, alpha_bars, draw_times, error_weights

__all__ = ["MotionStage", "main", "new_motion_adapter"]

CLIPS, CLIPS_SEED = 1_600, 11
ALIKE = 0.5
"""The share of the noise's variance that the frames of a clip have in common."""
FROM_STILL, LOWEST = 0.6, 700
"""The share of clips that are denoised from one of their frames, and the lowest timestep at which that begins."""
SKY = 8
"""How many of a latent's rows show the sky."""
MOVING = 1.5
"""How much more an error weighs where the clip changes as much as it does on average."""
SCHEDULE = Schedule(steps=6_000, rate=1e-3, warmup=100, decay=0.5)


def new_motion_adapter() -> MotionAdapter:
    """Untrained motion modules for the embedded UNet, 2.8 million parameters, for clips of at most 32 frames."""
    adapter: MotionAdapter = MotionAdapter(
        block_out_channels=(64, 128, 128),
        motion_layers_per_block=1,
        motion_num_attention_heads=4,
        motion_norm_num_groups=16,
        motion_max_seq_length=32,
    )
    return adapter


@dataclass
class MotionStage:
    """Noise prediction in clips, over the frozen UNet and text encoder.

    `latents` are those of each scene's clip, `[scene, frame, 4, 16, 16]`, at unit variance; `start` is the folder of
    the adapter that it goes on from, if it does not begin with an untrained one.
    """

    scenes: Sequence[Scene]
    latents: Tensor
    seed: int
    start: Path | None = None
    batch: int = 2
    name: str = "motion"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.model = FrozenModel()
        adapter = new_motion_adapter() if self.start is None else MotionAdapter.from_pretrained(self.start)
        self.unet = channels_last(UNetMotionModel.from_unet2d(self.model.unet, adapter)).requires_grad_(False)
        self.unet.set_attn_processor(AttnProcessor())
        faster_group_norm(self.unet)
        self.modules = layers_named(self.unet, "motion_modules").requires_grad_(True)

    def loss(self, step: int) -> Tensor:
        """The weighted error of the noise in one batch."""
        numbers, noise = generators(self.seed, step)
        rows = numbers.integers(len(self.scenes), size=self.batch)
        captions = [draw_caption(self.scenes[row], numbers).text for row in rows]
        noisy = draw_noisy_clips(self.latents[rows].float(), noise)
        with torch.autocast(device().type, torch.bfloat16):
            words = self.model.encode(captions).repeat_interleave(FRAMES, 0)
            return noisy.loss(self.unet(noisy.latents, noisy.times, words).sample.transpose(1, 2).flatten(0, 1))

    def adapter(self) -> MotionAdapter:
        """The motion modules as they are now, by themselves."""
        adapter = new_motion_adapter()
        own = self.unet.state_dict()
        adapter.load_state_dict({name: own[name] for name in adapter.state_dict()})
        return adapter


def draw_noisy_clips(clean: Tensor, generator: torch.Generator) -> Noisy:
    """Clips `[batch, frame, 4, 16, 16]` noised, all frames of one to its timestep.

    Frames have half of their noise in common, as in "Preserve Your Own Correlation" (Ge et al. 2023, section 4.1). With
    noise of its own in each, the frames together show what lies under it at every level, and the model learns to read
    captions no more.

    Some clips are noised as a sampler has them that began with a frame of theirs in place of all: from timestep T down,
    what was left of the still frame at T goes with the noise, `noise + sqrt(alpha_bar_T / (1 - alpha_bar_T)) * (still -
    clean)`, and the model is to take it away as it takes away noise. In half of these frames a part of the sky is
    empty, so that a clip has a sun or moon where the picture that it begins with has none.

    The latents are `[batch, 4, frame, 16, 16]`; noise and weights have a row for each frame. Errors weigh more where a
    clip changes: sun and boat cover little of it.
    """
    count, frames = clean.shape[:2]
    alike, own = (torch.randn(count, each, *clean.shape[2:], generator=generator) for each in (1, frames))
    noise = ALIKE**0.5 * alike + (1 - ALIKE) ** 0.5 * own
    times = draw_times(count, generator)
    noise = noise + _still_left(times, generator) * (_stills(clean, generator)[:, None] - clean)
    left = alpha_bars()[times].view(-1, 1, 1, 1, 1)
    latents = (left.sqrt() * clean + (1 - left).sqrt() * noise).transpose(1, 2)
    weights = (error_weights(left) * moving_weights(clean)).expand(-1, frames, -1, -1, -1)
    parts = (latents, times, noise.flatten(0, 1), weights.flatten(0, 1))
    return Noisy(*(part.to(device()) for part in parts))


def _still_left(times: Tensor, generator: torch.Generator) -> Tensor:
    """How much of a still frame goes with the noise, `[batch, 1, 1, 1, 1]`: none in clips that begin as noise."""
    chance, at = torch.rand(2, len(times), generator=generator)
    lowest = times.clamp(min=LOWEST)
    left = alpha_bars()[lowest + (at * (1000 - lowest)).long()]
    share = torch.where(chance < FROM_STILL, (left / (1 - left)).sqrt(), 0.0)
    return share.view(-1, 1, 1, 1, 1)


def _stills(clean: Tensor, generator: torch.Generator) -> Tensor:
    """The middle frame of each clip, `[batch, 4, 16, 16]`, in half of them with 4 to 12 columns of the sky empty."""
    stills = clean[:, clean.shape[1] // 2].clone()
    for still in stills:
        emptied, wide, at = torch.rand(3, generator=generator).tolist()
        width = 4 + int(9 * wide)
        left = int((still.shape[-1] - width + 1) * at)
        if emptied < 0.5:
            still[:, :SKY, left : left + width] = still[:, :SKY].median(-1, keepdim=True).values
    return stills


def moving_weights(clean: Tensor) -> Tensor:
    """How much errors weigh by where clips `[batch, frame, 4, 16, 16]` change, `[batch, 1, 1, 16, 16]`, mean 1."""
    changes = clean.var(1).mean(1)
    around = functional.avg_pool2d(changes, 3, stride=1, padding=1)
    weights = 1 + MOVING * (around / around.mean((1, 2), keepdim=True).clamp(min=1e-6)).clamp(max=6)
    return (weights / weights.mean((1, 2), keepdim=True))[:, None, None]


def main() -> None:
    """The command: draw clips, encode them, train, write the folder."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    scenes = draw_moving_scenes(options.clips, CLIPS_SEED)
    latents = encode_clips(scenes, options.work / f"clips-{options.clips}-{CLIPS_SEED}.pt")
    stage = MotionStage(scenes, latents, options.seed, options.start)
    schedule = Schedule(options.steps, options.rate, SCHEDULE.warmup, SCHEDULE.decay)
    stage.modules.load_state_dict(train_stage(stage, schedule, options.work, save_every=100).state_dict())
    export_module(stage.adapter(), options.out / "landscapes-motion")
    print(f"took {(time.perf_counter() - started) / 60:.1f} minutes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS, help="how many to draw (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=SCHEDULE.steps, help="of two clips each (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=SCHEDULE.rate, help="of learning (default: %(default)s)")
    parser.add_argument("--start", type=Path, metavar="DIR", help="an adapter to go on from (default: untrained)")
    parser.add_argument("--work", type=Path, default=default_work(), help="clips and checkpoint (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and noise (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the folder goes (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
