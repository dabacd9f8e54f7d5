"""Train the builtin models from scratch: draw the pictures, train autoencoder, denoiser, decoder and the rest, export.

    python -m weft.nodes.builtin.training.train [--work DIR] [--stage NAME]... [--steps N] [--threads N] [--out DIR]

Every stage first runs those that it builds on, and resumes from its checkpoint in the work folder.
nodes/builtin/README.md says how long each takes, and on which machine.
"""

import argparse
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor
from transformers import CLIPTextModel

from .autoencoder_stage import AutoencoderStage, DecoderStage
from .dataset import Dataset, draw_dataset
from .edge_control_net import EdgesStage
from .judge import trained_judge
from .latents import encode_dataset
from .long_captions import LongCaptionsStage
from .loop import Schedule, device, train_stage
from .pipeline_export import export_module, export_pipeline
from .preview_colours import write_colours
from .recipe import CROPPED_STEPS, PICTURES, SCHEDULES, SEED, default_work
from .tiny_vae import PreviewStage
from .unet_stage import DenoiserStage
from .vocabulary import new_tokenizer

__all__ = ["main"]


@dataclass(frozen=True)
class Workshop:
    """What the stages share: the pictures, the work folder, each stage's schedule, where the models go."""

    work: Path
    data: Dataset
    seed: int
    schedules: dict[str, Schedule]
    out: Path
    compiled: bool

    def autoencoder(self) -> AutoencoderKL:
        """Train encoder and decoder."""
        stage = AutoencoderStage(self.data, self.seed, CROPPED_STEPS)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["autoencoder"], self.work).state_dict())
        return stage.model

    def latents(self) -> tuple[AutoencoderKL, Tensor]:
        """The autoencoder with its scaling factor, and all pictures' latents at unit variance."""
        vae = self.autoencoder()
        return vae, encode_dataset(vae, self.data, self.work / "latents.pt")

    def denoiser(self) -> DenoiserStage:
        """Train UNet and text encoder; gives the stage with its averaged weights."""
        tokenizer = new_tokenizer(self.work / "tokenizer")
        stage = DenoiserStage(self.data.scenes, self.latents()[1], tokenizer, self.seed, compiled=self.compiled)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["denoiser"], self.work).state_dict())
        return stage

    def long_captions(self) -> CLIPTextModel:
        """Train the text encoder further, on long captions; gives its averaged weights."""
        stage = LongCaptionsStage(self.denoiser(), self.seed)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["long_captions"], self.work).state_dict())
        return stage.text_encoder

    def decoder(self) -> AutoencoderKL:
        """Train the decoder further, its encoder frozen; gives the autoencoder with its averaged weights."""
        vae, latents = self.latents()
        stage = DecoderStage(self.data, latents[:, 0].float(), vae, self.seed)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["decoder"], self.work).state_dict())
        return vae

    def preview(self) -> AutoencoderTiny:
        """Train the tiny autoencoder; gives its averaged weights."""
        stage = PreviewStage(self.data, self.latents()[1], self.seed)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["preview"], self.work).state_dict())
        return stage.tiny

    def edges(self) -> ControlNetModel:
        """Train the ControlNet over the finished denoiser; gives its averaged weights."""
        stage = EdgesStage(self.data, self.latents()[1], self.denoiser(), self.seed, compiled=self.compiled)
        stage.modules.load_state_dict(train_stage(stage, self.schedules["edges"], self.work).state_dict())
        controlnet: ControlNetModel = stage.controlnet
        return controlnet

    def judge(self) -> None:
        """Train the classifier that `evaluate.py` measures with."""
        trained_judge(self.data, self.work, self.seed, self.schedules["judge"])

    def export(self) -> None:
        """Write the three models, and what the first one's latents look like."""
        export_pipeline(self.decoder(), self.denoiser().unet, self.long_captions(), self.out / "landscapes")
        export_module(self.preview(), self.out / "landscapes-tiny-vae")
        export_module(self.edges(), self.out / "landscapes-edges")
        write_colours(self.out / "landscapes")


def main() -> None:
    """The command: train the stages that are asked for, or all of them and export."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.work.mkdir(parents=True, exist_ok=True)
    print(f"work folder {options.work}; {device()}, {options.threads} threads on {platform.machine()}")
    started = time.perf_counter()
    schedules = SCHEDULES | {
        name: replace(SCHEDULES[name], steps=options.steps) for name in options.stage if options.steps
    }
    data = draw_dataset(options.work, options.pictures, options.seed)
    shop = Workshop(options.work, data, options.seed, schedules, options.out, options.compile)
    for name in options.stage or ("export",):
        getattr(shop, name)()
    print(f"took {(time.perf_counter() - started) / 60:.1f} minutes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m weft.nodes.builtin.training.train", description=(__doc__ or "").split("\n")[0]
    )
    stages = [*SCHEDULES, "export"]
    parser.add_argument(
        "--work", type=Path, default=default_work(), help="pictures and checkpoints (default: %(default)s)"
    )
    parser.add_argument("--stage", action="append", default=[], choices=stages, help="this stage only; may repeat")
    parser.add_argument("--steps", type=int, help="as many steps in place of the recipe's, for the stages given")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of pictures, weights and noise (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1], help="where the models go (default: %(default)s)"
    )
    parser.add_argument("--compile", action="store_true", help="compile what paints: a quarter faster")
    return parser.parse_args()


if __name__ == "__main__":
    main()
