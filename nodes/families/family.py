"""What a family of models must know: how to recognise its files, and how to build its modules.

A family is one file in this folder and its line in `weft.nodes.families`. Beside building modules it says how they are
used: what a network is called with, what becomes of a text. The scale of latents and the sampler that a checkpoint came
with are in its configurations. Importing a family imports no torch. Read next: `weft.nodes.models.networks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.facts import PromptWidths, TextModelFacts
from weft.nodes.models.vae_formats import FACTOR, VAESpec, vae_facts
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_encoders import Place, TextModel, place_alone

if TYPE_CHECKING:
    import torch

    from weft.engine import Resolved
    from weft.nodes.models.latent_preview import Colours


class Family(ABC):
    """A family of models; its builders read sources that `recognises` or `recognises_control` said yes to."""

    name: str
    """As types have it: `SD1`."""

    denoiser_class: type[Denoiser] = Denoiser
    """The class of its denoisers."""

    colours: Colours
    """What its latents look like, where a checkpoint does not say it of its own."""

    scheduler: Mapping[str, Any] = MappingProxyType({})
    """The configuration of the scheduler, for files that carry none."""

    vae: VAESpec | None = None
    """Its VAEs; None where its models sample pixels."""

    texts: tuple[TextModel, ...] = ()
    """The text models that prompts are read with, in order."""

    prompts: type[PromptEncoder]
    """The class that puts together what the text models make of prompts."""

    @abstractmethod
    def recognises(self, contents: Contents) -> bool:
        """Whether this is a whole checkpoint of the family."""

    def recognises_denoiser(self, contents: Contents) -> bool:
        """Whether this is a denoiser of the family alone: a component's folder, or a file with nothing else in it."""
        return False

    def recognises_control(self, contents: Contents) -> bool:
        """Whether this is a ControlNet of the family."""
        return False

    def scheduler_of(self, contents: Contents) -> Mapping[str, Any]:
        """The configuration of the scheduler that a checkpoint came with."""
        return contents.configs.get("scheduler", self.scheduler)

    def text_models(self, contents: Contents) -> dict[str, TextModelFacts]:
        """The text models that a checkpoint has, by name."""
        found = {text.name: text.facts(contents) for text in self.texts}
        return {name: facts for name, facts in found.items() if facts}

    def seen_beside(self, contents: Contents) -> int:
        """Channels that a checkpoint's network sees beside its latents, as headers tell."""
        return 0

    @abstractmethod
    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The denoiser of a checkpoint."""

    def encoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> PromptEncoder:
        """What reads prompts for a checkpoint: its text models, each with its tokenizer.

        Raises:
            InputError: where one is missing.
        """
        places = {text: place for text in self.texts if (place := text.within(source.root))}
        for text in self.texts:
            if text not in places and not text.optional:
                message = f"`{source.text}` has no {text.name}, which {self.name} reads prompts with"
                raise InputError(message, "get the whole checkpoint")
        contents = Contents.of(source.root)
        config = {"width": self.widths_of(contents).prompt, **self.prompts.settings(source.root)}
        return self._encoder(places, config, variant, dtype, device)

    def encoder_in_parts(
        self,
        sources: Mapping[str, Resolved],
        width: int,
        variant: str,
        dtype: torch.dtype,
        device: str,
        tokenizer: Path | None = None,
    ) -> PromptEncoder:
        """What reads prompts, from text models that come each alone.

        Args:
            sources: by the names of the text models.
            width: channels of the prompts that the denoiser reads.
            tokenizer: the folder or the file of a tokenizer that comes apart from them.
        """
        places = {text: place_alone(sources[text.name]) for text in self.texts if text.name in sources}
        if tokenizer is not None:
            taking = {text: place for text, place in places.items() if text.takes_tokenizer}
            places |= {text: replace(place, tokenizer=tokenizer) for text, place in taking.items()}
        return self._encoder(places, {"width": width}, variant, dtype, device)

    def _encoder(
        self,
        places: Mapping[TextModel, Place],
        config: Mapping[str, Any],
        variant: str,
        dtype: torch.dtype,
        device: str,
    ) -> PromptEncoder:
        readers = [text.reader(place, variant, dtype, device) for text, place in places.items()]
        return self.prompts(readers, config)

    def widths_of(self, contents: Contents) -> PromptWidths:
        """How wide the prompts are that a denoiser reads, as headers tell."""
        return PromptWidths(0)

    def latent_factor(self, contents: Contents) -> int:
        """Pixels to a latent element, along each side, of a checkpoint or a denoiser alone, which comes with no VAE."""
        if self.vae is None:
            return 1
        facts = vae_facts(contents, "vae", self.vae.prefix)
        return facts.factor if facts else FACTOR

    def control_net(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
        """A ControlNet; asked only where `recognises_control` said yes."""
        raise NotImplementedError(self.name)
