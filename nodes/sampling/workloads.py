"""How much samplers and VAEs have to do, and what decides how much memory they need. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

from weft.engine import MemoryUse, Upstream, Workload, all_but
from weft.nodes.models.facts import CheckpointFacts, VAEFacts
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.sampling.samplers import TWO_PREDICTIONS
from weft.nodes.sizes import batch_above, size_above
from weft.nodes.values import Conditioning, Guide, Model


def sampling_work(sampler: Upstream) -> Workload:
    """The pixels and the calls of the network of all predictions, for a network under a kind of guidance.

    At scale 1 most guides leave a prompt out; how many prompts others take in how many calls is their own.
    """
    given, model = sampler.literals, model_behind(sampler)
    network = f"{model.facts.family} {_mark(model.facts.network.config)}" if model else "unknown"
    predictions = _steps(given) * (2 if given.get("sampler") in TWO_PREDICTIONS else 1)
    guidance = [*map(_guidance, _chain(sampler))]
    return _over_pixels(sampler, "latent", predictions, " ".join([network, *guidance]))


def decoding_work(decoder: Upstream) -> Workload:
    """The pixels of the pictures that a VAE decodes, for one kind of VAE in tiles or whole."""
    return _over_pixels(decoder, "latent", 1, _vae(decoder))


def encoding_work(encoder: Upstream) -> Workload:
    """The pixels of the pictures that a VAE encodes, for one kind of VAE in tiles or whole."""
    return _over_pixels(encoder, "image", 1, _vae(encoder))


def picture_work(node: Upstream) -> Workload:
    """The pixels of the pictures at the input `image`."""
    return _over_pixels(node, "image", 1, "")


def _over_pixels(node: Upstream, input: str, times: float, kind: str) -> Workload:
    size, batch = size_above(node, input), batch_above(node, input)
    if size is None or batch is None:
        return Workload((times, times), f"{kind} of unknown size")
    return Workload((times * batch * size.width * size.height, times), kind)


def _steps(given: dict[str, Any]) -> float:
    """Steps that are run, of those of the whole schedule."""
    steps = given.get("steps") or 1
    end = min(given.get("end_step") or steps, steps)
    return max(end - (given.get("start_step") or 0), 0) * float(given.get("denoise") or 1)


def _chain(sampler: Upstream) -> Iterator[Upstream]:
    """The guides and models above a sampler, down to the loader, and what changed their prompts."""
    above = sampler.above_by_type(Guide)
    while above:
        yield above
        for prompt in above.all_by_type(Conditioning):
            while changed := prompt.above_by_type(Conditioning):
                yield prompt
                prompt = changed
        above = above.above_by_type(Guide) or above.above_by_type(Model)


def _guidance(node: Upstream) -> str:
    return f"{node.call.type.name}{' off' if node.literals.get('scale') == 1 else ''}"


def _vae(node: Upstream) -> str:
    loader = node.above("vae")
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    vae = facts.vae if isinstance(facts, CheckpointFacts) else facts
    kind = _mark(vae.config) if isinstance(vae, VAEFacts) else "unknown"
    return f"{kind}{' in tiles' if node.literals.get('tile') else ''}"


def _mark(config: object) -> str:
    """A short mark of a configuration: equal ones take equal times."""
    return f"{crc32(repr(config).encode()):08x}"


COUNTED_STEPS = 3
"""Steps of a run whose memory is counted: as many as samplers remember predictions of."""


def guidance_memory(literals: Mapping[str, Any]) -> dict[str, Any]:
    """The literals of a guide that count: not how strong it is, but whether prompts are computed besides the first."""
    scales = {name: literals[name] > 1 for name in ("scale", "true_scale") if name in literals}
    below = 0 <= literals.get("scale", 1) < 1 and not literals.get("off_below_1")
    return {
        **all_but("scale", "true_scale", "rescale", "start", "end", "off_below_1")(literals),
        **scales,
        "low": below,
    }


def short_run(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a sampler by which it makes a few steps alone."""
    sigmas = inputs.get("sigmas")
    if sigmas is not None:
        return {"sigmas": replace(sigmas, levels=sigmas.levels[: COUNTED_STEPS + 1])}
    few = {"steps": min(inputs["steps"], COUNTED_STEPS), "start_step": 0, "end_step": None, "denoise": 1.0}
    return {name: given for name, given in few.items() if name in inputs}


SAMPLING_MEMORY = MemoryUse(
    all_but("seed", "steps", "schedule", "denoise", "eta", "start_step", "end_step", "add_noise", "keep_noise"),
    short_run,
)
"""What decides how much memory a sampler needs."""
