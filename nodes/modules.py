"""The torch modules that recipes become: a denoiser, what reads prompts, and what stands between pixels and latents.

They are the same for every family, which knows how they are used (`weft.nodes.families.base`). Imports torch: only the
bodies of nodes and of families import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.preview import Colours
from weft.nodes.prompts import PLAIN, Reading, Weighted
from weft.nodes.scheduling import settled

if TYPE_CHECKING:
    from weft.nodes.families.base import Family

Conditions = dict[str, Tensor]
"""What a network is called with beside latents and timestep: tensors with one row for all items, or one for each."""

Residuals = tuple[list[Tensor], Tensor]
"""What ControlNets add to a UNet: one tensor for each skip connection, and one for the middle."""


class Denoiser(nn.Module):
    """A network that denoises, with its checkpoint's scheduler configuration.

    Args:
        family: which knows how the network is called.
        scheduler: the configuration of the diffusers scheduler that came with it.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        colours: what its latents look like.
    """

    def __init__(
        self,
        family: Family,
        network: Any,
        scheduler: Mapping[str, Any],
        latent_channels: int,
        latent_factor: int,
        colours: Colours,
    ) -> None:
        super().__init__()
        self.family = family
        self.network = network
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.colours = colours

    @cached_property
    def dtype(self) -> torch.dtype:
        """What it computes in, as it was loaded; a network finds it among all its parameters, which takes a while."""
        return cast(torch.dtype, self.network.dtype)

    def trained(self, said: Mapping[str, str]) -> Denoiser:
        """This denoiser, of whose training something else is said than its configuration does.

        Args:
            said: `prediction_type` and `beta_schedule`, as diffusers' configurations have them.

        Raises:
            InputError: where that is no matter of a setting: for flows, consistency models and EDM's noise.
        """
        if settled(self.scheduler) & said.keys():
            mend = "leave `prediction` and `noise` out"
            raise InputError(f"how a model of {self.family.name} was trained is settled", mend)
        self.scheduler |= said
        if "beta_schedule" in said:
            self.scheduler["trained_betas"] = None
        return self


class Encoded(NamedTuple):
    """Texts as a denoiser reads them: `[text, token, channel]`, and `[text, channel]` where it reads a vector too."""

    embeddings: Tensor
    pooled: Tensor | None = None


class Reader(nn.Module):
    """A text model with its tokenizer.

    Args:
        length: tokens that T5 has a text padded to and cut at; left out for CLIP, whose tokenizer says it (77).
    """

    def __init__(self, text_model: Any, tokenizer: Any, length: int | None = None) -> None:
        super().__init__()
        self.text_model = text_model
        self.tokenizer = tokenizer
        self.is_clip = length is None
        self.length = length or tokenizer.model_max_length

    def read(self, prompts: Sequence[Weighted], layer: int | None = None) -> Encoded:
        """What the model makes of some prompts; each token lies as far from the empty prompt's as it weighs.

        Args:
            layer: which of the model's hidden states is taken, as it stands; its last one, normed, where left out.
        """
        embeddings, pooled = self._encode([prompt.text for prompt in prompts], layer)
        if all(prompt.is_plain for prompt in prompts):
            return Encoded(embeddings, pooled)
        weights = embeddings.new_tensor([self._weights(prompt) for prompt in prompts])
        empty = self._encode([""], layer).embeddings
        return Encoded(torch.lerp(empty, embeddings, weights[..., None]), pooled)

    def _encode(self, texts: Sequence[str], layer: int | None) -> Encoded:
        tokens = self._tokens(texts, return_tensors="pt").to(self.text_model.device)
        masked = getattr(self.text_model.config, "use_attention_mask", False)
        mask = tokens.attention_mask if masked else None
        given = self.text_model(tokens.input_ids, attention_mask=mask, output_hidden_states=layer is not None)
        embeddings = given.last_hidden_state if layer is None else given.hidden_states[layer]
        return Encoded(embeddings, given.get("text_embeds", given.get("pooler_output")))

    def _weights(self, prompt: Weighted) -> list[float]:
        """The weight of each token; those that stand for no characters weigh 1."""
        (spans,) = self._tokens([prompt.text], return_offsets_mapping=True).offset_mapping
        return [prompt.weight(start, end) if end > start else 1.0 for start, end in spans]

    def _tokens(self, texts: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(list(texts), padding="max_length", max_length=self.length, truncation=True, **options)


class Encoder(nn.Module):
    """What reads prompts: the text models of a checkpoint, in the order in which their family has them.

    Args:
        family: which knows what becomes of a text.
        config: what else the checkpoint says of it.
    """

    def __init__(self, family: Family, readers: Sequence[nn.Module], config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.family = family
        self.readers = nn.ModuleList(readers)
        self.config = dict(config or {})

    def read(self, texts: Sequence[str], reading: Reading, layer: int | None = None) -> list[Encoded]:
        """What each text model makes of some texts.

        Args:
            layer: which hidden state of CLIP's models is taken (see `Reader.read`); T5's is always the last one.
        """
        prompts = [reading.of(text) for text in texts]
        readers = [cast(Reader, reader) for reader in self.readers]
        return [reader.read(prompts, layer if reader.is_clip else None) for reader in readers]

    def encode(self, texts: Sequence[str], reading: Reading = PLAIN) -> Encoded:
        """Some texts as the family's denoisers read them, float32, on the CPU."""
        return _at_rest(self.family.encode(self, texts, reading))

    def unprompted(self) -> Encoded:
        """What stands where guidance is given no negative prompt, float32, on the CPU."""
        return _at_rest(self.family.unprompted(self))


def _at_rest(encoded: Encoded) -> Encoded:
    embeddings, pooled = encoded
    return Encoded(embeddings.float().cpu(), None if pooled is None else pooled.float().cpu())


class Autoencoder(nn.Module):
    """A VAE between pixels in -1..1 and latents in the scale that its family's models sample in."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

    @property
    def factor(self) -> int:
        """Pixels to a latent element, along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def decode(self, latents: Tensor, tile: int = 0) -> Tensor:
        """Pictures `[batch, height, width, channel]` in 0..1 from latents, float32, on the CPU.

        Args:
            tile: the side of the tiles in pixels; 0 decodes whole pictures.
        """
        scaled = latents.to(self.vae.device, self.vae.dtype) / self.scale + self.shift
        with self._tiled(tile) if tile else nullcontext():
            pixels = self.vae.decode(scaled, return_dict=False)[0]
        return picture(pixels)

    @contextmanager
    def _tiled(self, tile: int) -> Iterator[None]:
        """The VAE in tiles of this side, and as it was on exit."""
        sides = {"tile_sample_min_size": tile, "tile_latent_min_size": tile // self.factor, "use_tiling": True}
        before = {name: getattr(self.vae, name) for name in sides}
        self.vae.__dict__.update(sides)
        try:
            yield
        finally:
            self.vae.__dict__.update(before)

    def encode(self, pictures: Tensor) -> Tensor:
        """The mean latents of pictures `[batch, height, width, 3]` in 0..1, float32, on the CPU."""
        pixels = signed(pictures).to(self.vae.device, self.vae.dtype)
        mean = self.vae.encode(pixels).latent_dist.mean
        latents: Tensor = ((mean - self.shift) * self.scale).float().cpu()
        return latents


class Pixels(Autoencoder):
    """What stands for a VAE where a model paints pixels themselves: its latents are pixels in -1..1."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.scale, self.shift = 1.0, 0.0

    @property
    def factor(self) -> int:
        return 1

    def decode(self, latents: Tensor, tile: int = 0) -> Tensor:
        return picture(latents)

    def encode(self, pictures: Tensor) -> Tensor:
        return signed(pictures)


def picture(pixels: Tensor) -> Tensor:
    """Pixels `[batch, channel, height, width]` in -1..1 as pictures `[batch, height, width, channel]` in 0..1."""
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().contiguous()


def signed(pictures: Tensor) -> Tensor:
    """Pictures `[batch, height, width, channel]` in 0..1 as pixels `[batch, channel, height, width]` in -1..1."""
    return (2 * pictures - 1).permute(0, 3, 1, 2)
