"""The UNet and its text encoder, trained together to predict the noise in cached latents."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .captions import Caption, draw_caption
from .loop import channels_last, device, generators
from .scene import FACTORS, Scene
from .vocabulary import TOKENS

__all__ = [
    "SCHEDULER",
    "DenoiserStage",
    "Noisy",
    "alpha_bars",
    "draw_noisy",
    "draw_times",
    "error_weights",
    "new_text_encoder",
    "new_unet",
]

_BETA_START, _BETA_END = 0.00085, 0.012
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": _BETA_START,
    "beta_end": _BETA_END,
    "beta_schedule": "scaled_linear",
}
_WIDTH = 96


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet over 16 x 16 latents, 6.7 million parameters, with attention at 8 x 8 and 4 x 4."""
    unet: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    return unet


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder over the tokenizer's vocabulary, 96 wide and two layers deep."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=4 * _WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config._attn_implementation = "eager"
    return CLIPTextModel(config)


def alpha_bars() -> Tensor:
    """How much of a picture's variance is left at each of the 1000 timesteps of SCHEDULER, float32 `[1000]`."""
    betas = torch.linspace(_BETA_START**0.5, _BETA_END**0.5, 1000, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


@dataclass(frozen=True)
class Noisy:
    """A batch of noisy latents at `times` `[batch]`, the noise in them, and how much each error weighs.

    `weights` are `[batch, 1, 1, 1]`, or `[batch, 1, height, width]` where places differ.
    """

    latents: Tensor
    times: Tensor
    noise: Tensor
    weights: Tensor

    def loss(self, guess: Tensor) -> Tensor:
        """The weighted mean square error of a guess at the noise."""
        return ((guess.float() - self.noise).square() * self.weights).mean()


@dataclass
class DenoiserStage:
    """Noise prediction with more weight on noisy steps, and a linear head that predicts the factors from the last
    token.

    Without the first, the brightness of nights is wrong; without the second, captions are learnt late.
    `latents` holds mean and deviation of each picture's latent, float16 `[count, 2, 4, 16, 16]`, at unit variance.
    """

    scenes: tuple[Scene, ...]
    latents: Tensor
    tokenizer: CLIPTokenizer
    seed: int
    batch: int = 32
    factor_weight: float = 0.05
    compiled: bool = False
    name: str = "denoiser"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.unet = channels_last(new_unet())
        self.unet.set_attn_processor(AttnProcessor())
        self.text_encoder = channels_last(new_text_encoder(self.tokenizer))
        self.heads = nn.ModuleDict({name: nn.Linear(_WIDTH, len(FACTORS[name])) for name in FACTORS}).to(device())
        parts = {"unet": self.unet, "text_encoder": self.text_encoder, "heads": self.heads}
        self.modules = nn.ModuleDict(parts)
        self.predict = torch.compile(self.unet) if self.compiled else self.unet

    def loss(self, step: int) -> Tensor:
        """The weighted error of the noise in one batch, and a little of the heads' errors."""
        numbers, noise = generators(self.seed, step)
        rows = numbers.integers(len(self.scenes), size=self.batch)
        captions = [draw_caption(self.scenes[row], numbers) for row in rows]
        noisy = draw_noisy(self.latents[rows], noise)
        with torch.autocast(device().type, torch.bfloat16):
            words = self.encode([caption.text for caption in captions])
            guess = self.predict(noisy.latents, noisy.times, words.last_hidden_state).sample
            read = {name: head(words.pooler_output) for name, head in self.heads.items()}
        losses = [self._reading_loss(name, scores, captions, rows) for name, scores in read.items()]
        return noisy.loss(guess) + self.factor_weight * torch.stack(losses).sum()

    def encode(self, texts: list[str]) -> BaseModelOutputWithPooling:
        """The text encoder's output for texts padded to 77 tokens."""
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        encoded: BaseModelOutputWithPooling = self.text_encoder(tokens.input_ids.to(device()))
        return encoded

    def _reading_loss(
        self, factor: str, scores: Tensor, captions: list[Caption], rows: npt.NDArray[np.int64]
    ) -> Tensor:
        """Cross entropy of a factor's choices, over the captions that name it."""
        targets = [
            FACTORS[factor].index(getattr(self.scenes[row], factor)) if factor in caption.named else -100
            for row, caption in zip(rows, captions, strict=True)
        ]
        wanted = torch.tensor(targets, device=scores.device)
        return functional.cross_entropy(scores.float(), wanted, reduction="sum") / max(1, int((wanted >= 0).sum()))


def draw_noisy(moments: Tensor, generator: torch.Generator) -> Noisy:
    """Noise latents whose mean and deviation are given, `[batch, 2, 4, 16, 16]`, each to a timestep of its own."""
    mean, deviation = moments.float().unbind(1)
    clean = mean + deviation * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    times = draw_times(len(mean), generator)
    left = alpha_bars()[times].view(-1, 1, 1, 1)
    latents = (left.sqrt() * clean + (1 - left).sqrt() * noise).to(device(), memory_format=torch.channels_last)
    return Noisy(latents, times.to(device()), noise.to(device()), error_weights(left).to(device()))


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Timesteps spread evenly over the batch and drawn towards noise, int64 `[count]` in 0..999."""
    shares = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (shares**0.6 * 1000).long().clamp(max=999)


def error_weights(alpha_bar: Tensor) -> Tensor:
    """Min-SNR-5 for noise prediction (Hang et al. 2023, section 3.4), times 1 / alpha_bar up to 60, over 4."""
    ratio = alpha_bar / (1 - alpha_bar)
    return ratio.clamp(max=5) / ratio * (1 / alpha_bar).clamp(max=60) / 4
