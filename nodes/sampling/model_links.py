"""What links lead to: the loader of a node's model, the guides and prompts behind a sampler, and what headers say.

Where links lead to no loader (a branch that is chosen while a graph runs), nothing is known before the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from weft.engine import Upstream
from weft.nodes.families import Family, family
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.models.parametrisation import ZERO_SNR, SchedulerConfig, retrained, training_options
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import Conditioning, Guide, Model

TRAINING = {"prediction": "prediction_type", "noise": "beta_schedule", "terminal_snr": ZERO_SNR}
"""The inputs of a loader that say how a model was trained, and the options of a scheduler that they set."""


@dataclass(frozen=True)
class Loaded:
    """The model of a checkpoint, as its loader and its headers tell.

    Args:
        node: the id of the loader.
        scheduler: the configuration of the scheduler that it came with.
        extra_channels: channels that it reads in addition to its latents.
        facts: what its headers say.
    """

    node: str
    family: Family
    scheduler: dict[str, Any]
    extra_channels: int
    facts: CheckpointFacts

    def scheduler_config(self, own_class: bool) -> SchedulerConfig:
        """The configuration that a scheduler is made of, where no ControlNets act."""
        return self.facts.corrections.applied(self.scheduler, own_class)

    def __str__(self) -> str:
        return f"`{self.node}` is of family {self.family.name}"


def loaded(loader: Upstream) -> Loaded | None:
    """What a loader names; None for a node that is none, and where its files are not here."""
    facts, prediction = checkpoint_facts(loader), loader.literals.get("prediction")
    if facts is None or prediction is None:
        return None
    given = {name: loader.literals.get(name, "checkpoint") for name in TRAINING}
    stated = {name: "" if one == "checkpoint" else one for name, one in given.items()}
    scheduler = retrained(facts.scheduler, training_options(stated["prediction"], "", stated["terminal_snr"]))
    return Loaded(loader.call.id, family(facts.family), scheduler, facts.extra_channels, facts)


def checkpoint_facts(loader: Upstream) -> CheckpointFacts | None:
    """What the headers say of the checkpoint or denoiser that a loader names; None for other nodes and files."""
    source = loader.source("source")
    return source.facts if source and isinstance(source.facts, CheckpointFacts) else None


def model_loader_of(loader: Upstream) -> Upstream | None:
    """The loader that a loader's model comes from."""
    return loader_above(loader, Model)


def loader_above(node: Upstream, value: type) -> Upstream | None:
    """The loader that a value comes from, behind nodes that pass it on changed (LoadEmbedding, MergeModels)."""
    above = node.above_by_type(value)
    while above and (next_above := above.above_by_type(value)):
        above = next_above
    return above


def model_behind(node: Upstream) -> Loaded | None:
    """The model that a sampler's or a guide's own guide uses; None where links do not lead to its loader."""
    above = model_loader_behind(node)
    found = loaded(above) if above else None
    return replace(found, extra_channels=_channels_read(node, found)) if found else None


def model_of_guide(guide: Upstream) -> Loaded | None:
    """The model of a node that gives a guide; None where links do not lead to its loader."""
    if guide.above_by_type(Guide):
        return model_behind(guide)
    loader = loader_above(guide, Model)
    return loaded(loader) if loader else None


def _channels_read(node: Upstream, model: Loaded) -> int:
    """The channels that the model of a sampler or a guide reads in addition to its latents: more by a Control LoRA."""
    denoiser, config = model.family.denoiser, model.facts.network.config
    read, above = model.extra_channels, node.above_by_type(Guide)
    if not denoiser.widened_module:
        return read
    from weft.nodes.lora_values import LoRA
    from weft.nodes.models.lora_binding import read_columns
    from weft.nodes.models.lora_facts import LoRAFacts
    from weft.nodes.models.lora_file import DENOISER

    while above:
        lora = above.above_by_type(LoRA)
        source = lora.source("source") if lora and above.literals.get("strength", 1.0) else None
        if source and isinstance(source.facts, LoRAFacts):
            module = denoiser.widened_module
            columns = read_columns(source.facts.of_part(DENOISER), module, denoiser.original_modules({module}))
            read = max(read, denoiser.added_channels(columns, config))
        above = above.above_by_type(Guide) or above.above_by_type(Model)
    return read


def model_loader_behind(node: Upstream) -> Upstream | None:
    """The node at which the links from a sampler's or a guide's own guide end: the loader of its model."""
    above = node.above_by_type(Guide)
    while above and (next_above := above.above_by_type(Guide) or above.above_by_type(Model)):
        above = next_above
    return above


def guides_of(sampler: Upstream) -> Iterator[Upstream]:
    """The guides behind a sampler, the last one first."""
    guide = sampler.above_by_type(Guide)
    while guide:
        yield guide
        guide = guide.above_by_type(Guide)


def prompt_nodes(sampler: Upstream) -> Iterator[Upstream]:
    """The nodes that a sampler's prompts come from, through its guides, each once."""
    seen, waiting = set[str](), [sampler]
    while waiting:
        node = waiting.pop()
        for above in (*node.all_by_type(Guide), *node.all_by_type(Conditioning)):
            if above.call.id not in seen:
                seen.add(above.call.id)
                waiting.append(above)
                yield above


def motion_behind(node: Upstream) -> Iterator[int]:
    """The frames of the longest clip that each motion adapter behind a guide takes; 0 where that is not known."""
    above = node.above_by_type(Guide)
    while above:
        traits = above.call.type.trait(ModelTraits)
        if traits and traits.longest_clip:
            yield traits.longest_clip(above) or 0
        above = above.above_by_type(Guide) or above.above_by_type(Model)
