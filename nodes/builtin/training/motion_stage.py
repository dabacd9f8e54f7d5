"""Train `builtin:landscapes-motion`: motion modules over the UNet of `builtin:landscapes`, as AnimateDiff has them.

    python -m weft.nodes.builtin.training.motion_stage [--clips N] [--steps N] [--work DIR] [--out DIR]

The UNet and the text encoder stay as they are, so a clip's frames look like the model's pictures (Guo et al. 2023,
"AnimateDiff", section 4.2). It resumes from its checkpoint in the work folder, and takes two hours of one core.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import MotionAdapter, UNetMotionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from weft.nodes.builtin import FOLDER, path

from .captions import draw_caption
from .group_norm import faster_group_norm
from .loop import Schedule, channels_last, device, generators, train_stage
from .moving_scenes import FRAMES, draw_moving_scenes, encode_clips
from .pipeline_export import export_module
from .recipe import default_work
from .scene import Scene
from .unet_stage import Noisy, alpha_bars, draw_times, error_weights

__all__ = ["MotionStage", "main", "new_motion_adapter"]

CLIPS, CLIPS_SEED = 1_200, 11
ALIKE = 0.5
"""The share of the noise's variance that the frames of a clip have in common."""
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

    `latents` are those of each scene's clip, `[scene, frame, 4, 16, 16]`, at unit variance.
    """

    scenes: Sequence[Scene]
    latents: Tensor
    seed: int
    batch: int = 2
    name: str = "motion"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        folder = path("landscapes")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = channels_last(CLIPTextModel.from_pretrained(folder / "text_encoder")).requires_grad_(False)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self.unet = channels_last(UNetMotionModel.from_unet2d(unet, new_motion_adapter())).requires_grad_(False)
        self.unet.set_attn_processor(AttnProcessor())
        faster_group_norm(self.unet)
        layers = {name: one for name, one in self.unet.named_modules() if name.endswith("motion_modules")}
        self.modules = nn.ModuleDict({name.replace(".", "/"): one for name, one in layers.items()})
        self.modules.requires_grad_(True)

    def loss(self, step: int) -> Tensor:
        """The weighted error of the noise in one batch."""
        numbers, noise = generators(self.seed, step)
        rows = numbers.integers(len(self.scenes), size=self.batch)
        captions = [draw_caption(self.scenes[row], numbers).text for row in rows]
        noisy = _draw_noisy_clips(self.latents[rows].float(), noise)
        tokens = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.autocast(device().type, torch.bfloat16):
            words = self.text_encoder(tokens.to(device())).last_hidden_state.repeat_interleave(FRAMES, 0)
            return noisy.loss(self.unet(noisy.latents, noisy.times, words).sample.transpose(1, 2).flatten(0, 1))

    def adapter(self) -> MotionAdapter:
        """The motion modules as they are now, by themselves."""
        adapter = new_motion_adapter()
        own = self.unet.state_dict()
        adapter.load_state_dict({name: own[name] for name in adapter.state_dict()})
        return adapter


def _draw_noisy_clips(clean: Tensor, generator: torch.Generator) -> Noisy:
    """Clips `[batch, frame, 4, 16, 16]` noised, all frames of one to its timestep.

    Frames have half of their noise in common, as in "Preserve Your Own Correlation" (Ge et al. 2023, section 4.1). With
    noise of its own in each, the frames together show what lies under it at every level, and the model learns to read
    captions no more. The latents are `[batch, 4, frame, 16, 16]`; noise and weights have a row for each frame.
    """
    alike, own = (
        torch.randn(len(clean), frames, *clean.shape[2:], generator=generator) for frames in (1, clean.shape[1])
    )
    noise = ALIKE**0.5 * alike + (1 - ALIKE) ** 0.5 * own
    times = draw_times(len(clean), generator)
    left = alpha_bars()[times].view(-1, 1, 1, 1, 1)
    latents = (left.sqrt() * clean + (1 - left).sqrt() * noise).transpose(1, 2)
    weights = error_weights(left.flatten()).repeat_interleave(clean.shape[1])
    return Noisy(latents.to(device()), times.to(device()), noise.flatten(0, 1).to(device()), weights.to(device()))


def main() -> None:
    """The command: draw clips, encode them, train, write the folder."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    scenes = draw_moving_scenes(options.clips, CLIPS_SEED)
    latents = encode_clips(scenes, options.work / f"clips-{options.clips}-{CLIPS_SEED}.pt")
    stage = MotionStage(scenes, latents, options.seed)
    schedule = Schedule(options.steps, SCHEDULE.rate, SCHEDULE.warmup, SCHEDULE.decay)
    stage.modules.load_state_dict(train_stage(stage, schedule, options.work, save_every=100).state_dict())
    export_module(stage.adapter(), options.out / "landscapes-motion")
    print(f"took {(time.perf_counter() - started) / 60:.1f} minutes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS, help="how many to draw (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=SCHEDULE.steps, help="of two clips each (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=default_work(), help="clips and checkpoint (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and noise (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the folder goes (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
