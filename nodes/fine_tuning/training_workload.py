"""How much a training has to do, as far as that is known before a run. Imports no torch."""

from __future__ import annotations

import math

from weft.engine import Upstream, Workload
from weft.nodes.families import family
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.sampling.model_links import checkpoint_facts, loader_above
from weft.nodes.sizes import Size, size_above
from weft.nodes.values import Model


def training_work(trainer: Upstream) -> Workload:
    """The pixels of all batches, and the steps, of one kind of model."""
    given = trainer.literals
    loader = loader_above(trainer, Model)
    facts = checkpoint_facts(loader) if loader else None
    side = int(given.get("resolution") or 0)
    size = Size(side, side) if side else size_above(trainer, "pictures")
    pictures = math.prod(float(given.get(name) or 1) for name in ("steps", "batch_size", "accumulation"))
    kind = " ".join(map(str, (_name(facts), given.get("layers"), given.get("precision"), size is None)))
    return Workload((pictures * (size.width * size.height if size else 1), pictures), kind)


def _name(facts: CheckpointFacts | None) -> str:
    return family(facts.family).name if facts else "unknown"
