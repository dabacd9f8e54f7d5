"""A family of models: data, and the classes that do the work.

A family is one file in this folder and its line in `weft.nodes.families`. The data say how its files are recognised,
with defaults for what files do not say. Its `NetworkFormat` loads networks, its `Denoiser` calls them, its
`PromptEncoder` encodes prompts. Importing a family imports no torch. Read next: `weft.nodes.models.network_format`,
`weft.nodes.models.denoiser`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from weft.engine import InputError, listed
from weft.nodes.models.contents import Contents
from weft.nodes.models.control_networks import ControlNetworkFormat
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.facts import CheckpointFacts, ControlNetFacts, NetworkFacts, TextModelFacts, VAEFacts
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.old_schedulers import NO_CORRECTIONS, SchedulerCorrections
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import PartPrecisions
from weft.nodes.models.vae_formats import VAESpec, check_scale, vae_facts
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.text_encoders import TextModel


def _nothing(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _unchanged(contents: Contents, scheduler: SchedulerConfig) -> SchedulerConfig:
    return scheduler


def _as_it_is(scheduler: SchedulerConfig) -> SchedulerConfig:
    return scheduler


def _none(contents: Contents, network: NetworkFacts) -> SchedulerCorrections:
    return NO_CORRECTIONS


def _anything(contents: Contents) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Family:
    """A family of models.

    Args:
        name: as types have it: `SD1`.
        network: how the networks of its denoisers are found and loaded.
        denoiser: the class of its denoisers.
        prompts: the class that combines the output of its text models.
        latent_rgb_factors: the map from its latents to colours, where a checkpoint has none of its own.
        precisions: that its parts run in where nobody asked for another.
        texts: the text models that prompts are read with, in order.
        vae: its VAEs; None where its models sample pixels.
        scheduler: the configuration of the scheduler, for files that carry none.
        scheduler_changes: the entries of `scheduler` that differ for a network of this configuration.
        trained: the configuration of the scheduler as a file says that it was trained, from that of the family.
        controls: how control networks for its denoisers are found and loaded, one for each kind.
        condition: a further condition on the contents of a whole checkpoint.
        corrections: of the configuration of the scheduler that a folder came with.
        restated: the configuration of a folder's scheduler in terms of the classes that samplers are.
        native_side: of the square pictures that most of its models were trained on, in pixels; 0 where they differ, and
            their configurations say it.
    """

    name: str
    network: NetworkFormat
    denoiser: type[Denoiser]
    prompts: type[PromptEncoder]
    latent_rgb_factors: LatentRGBFactors
    precisions: PartPrecisions
    texts: tuple[TextModel, ...] = ()
    vae: VAESpec | None = None
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    scheduler_changes: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing
    trained: Callable[[Contents, SchedulerConfig], SchedulerConfig] = _unchanged
    controls: tuple[ControlNetworkFormat, ...] = ()
    condition: Callable[[Contents], bool] = _anything
    corrections: Callable[[Contents, NetworkFacts], SchedulerCorrections] = _none
    restated: Callable[[SchedulerConfig], SchedulerConfig] = _as_it_is
    native_side: int = 0

    def whole(self, contents: Contents) -> CheckpointFacts | None:
        """The facts of a whole checkpoint; None where it is not of the family.

        It has a network, a VAE where the family has them, and every text model that is not optional; a folder has a
        scheduler too, and no other text model.

        Raises:
            InputError: where a file has a text model in part.
        """
        network = self.network.whole(contents)
        if network is None:
            return None
        has_all = self._file_has_all(contents) if contents.shapes else self._folder_has_all(contents)
        if not has_all or not self.condition(contents):
            return None
        facts = self._facts(contents, network)
        for text in self.texts:
            text.check(contents, facts.text_models.get(text.name))
        return facts

    def alone(self, contents: Contents) -> CheckpointFacts | None:
        """The facts of a denoiser alone, in a folder or a file; None where it is not of the family.

        It comes without a scheduler, so a family that has none for it takes whole checkpoints only.
        """
        network = self.network.alone(contents) if self.scheduler else None
        return self._facts(contents, network) if network else None

    def control(self, contents: Contents) -> ControlNetFacts | None:
        """The facts of a control network; None where it is not for the family."""
        for format in self.controls:
            network = format.alone(contents)
            if network:
                return ControlNetFacts(self.name, format.class_name, network, contents)
        return None

    def control_format(self, facts: ControlNetFacts) -> ControlNetworkFormat:
        """The format of a control network of the family."""
        return next(format for format in self.controls if format.class_name == facts.class_name)

    def check(self, facts: CheckpointFacts, name: str) -> None:
        """Raise `InputError` where no node can sample with a denoiser of the family.

        Args:
            name: of its folder or file, for messages.
        """
        self._check_inputs(self.network, facts.network, f"the denoiser of `{name}`")

    def check_control(self, facts: ControlNetFacts, name: str) -> None:
        """Raise `InputError` where no node can use a ControlNet of the family.

        Args:
            name: of its folder or file, for messages.
        """
        self._check_inputs(self.control_format(facts), facts.network, f"the ControlNet `{name}`")

    def _check_inputs(self, format: NetworkFormat, facts: NetworkFacts, what: str) -> None:
        reads = format.unsupported(facts.config)
        if reads:
            raise InputError(
                f"{what} is one of {self.name} that reads {reads}, which no node gives it",
                f"use a plain one of {self.name}",
                "unsupported-network",
            )

    def check_prompts(self, facts: CheckpointFacts, name: str) -> None:
        """Raise `InputError` where the text encoders of a whole checkpoint are not those of its denoiser.

        Args:
            name: of its folder or file, for messages.
        """
        widths = {text: found.width for text, found in facts.text_models.items()}
        made = self.prompts.widths(widths).prompt if widths else 0
        if made and facts.widths.prompt and made != facts.widths.prompt:
            lacks = listed(text.name for text in self.texts if text.name not in widths)
            raise InputError(
                f"the text encoders of `{name}` ({listed(widths)}) make prompts {made} channels wide, and its denoiser "
                f"reads {facts.widths.prompt}",
                f"get the whole checkpoint, with {lacks}" if lacks else "use the text encoders of the model",
                "wrong-text-models",
            )

    def lacks(self, facts: CheckpointFacts) -> list[str]:
        """What a whole checkpoint has and this one has not."""
        texts = [f"the text encoder {text.name}" for text in self.texts if text.name not in facts.text_models]
        required = {f"the text encoder {text.name}" for text in self.texts if not text.optional}
        scheduler = [] if facts.contents.shapes or facts.contents.has("scheduler") else ["the scheduler"]
        vae = [] if facts.vae or self.vae is None else ["the VAE"]
        return [*scheduler, *(text for text in texts if text in required), *vae]

    def _file_has_all(self, contents: Contents) -> bool:
        texts = (text.prefix(contents.shapes) for text in self.texts if not text.optional)
        vae = self.vae is not None and self._vae(contents) is not None
        return vae and all(prefix is not None for prefix in texts)

    def _folder_has_all(self, contents: Contents) -> bool:
        wanted = ["scheduler", *(text.folder for text in self.texts if not text.optional)]
        vae = contents.has("vae") == (self.vae is not None)
        others = {name for name in contents.configs if name.startswith("text_encoder")}
        return vae and contents.has(*wanted) and others <= {text.folder for text in self.texts}

    def _vae(self, contents: Contents) -> VAEFacts | None:
        found = vae_facts(contents) if self.vae else None
        stated = self.vae.stated(contents) if found and self.vae else {}
        if not found or not stated:
            return found
        check_scale(stated, found.channels)
        return replace(found, config={**found.config, **stated})

    def _facts(self, contents: Contents, network: NetworkFacts) -> CheckpointFacts:
        config, vae = network.config, self._vae(contents)
        usual = {**self.scheduler, **self.scheduler_changes(config)}
        stated = contents.configs.get("scheduler") or self.trained(contents, usual)
        texts: dict[str, TextModelFacts | None] = {text.name: text.facts(contents) for text in self.texts}
        return CheckpointFacts(
            self.name,
            network,
            self.restated(stated),
            self.network.latent_channels(config),
            vae.factor if vae else self.vae.factor if self.vae else 1,
            self.network.extra_channels(config),
            self.network.prompt_widths(config),
            {name: facts for name, facts in texts.items() if facts},
            vae,
            contents,
            self.corrections(contents, network),
            marked=stated != usual and "scheduler" not in contents.configs,
        )
