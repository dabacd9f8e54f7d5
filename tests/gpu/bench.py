"""A step of a network of full size: alone, by KSampler, by diffusers' own pipeline, compiled, captured in a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.gpu.card import Place
from tests.gpu.figures import Figure, Measurement
from tests.gpu.networks import PRECISIONS, checkpoint, side_of
from tests.nodes.oracle import diffusers
from weft.engine import INJECTED, Context, Engine, Graph, NodeType, node
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, Optimize, TextEncode

SCALE = 3.5

AGAINST_DIFFUSERS = 1.02
"""Times that of diffusers' own pipeline that a step may take."""

SAMPLERS = {
    "sd15": ("dpmpp_2m", "euler_ancestral", "unipc"),
    "sdxl": ("dpmpp_2m", "euler_ancestral", "unipc"),
    "flux": ("dpmpp_2m",),
}

PIPELINES = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline", "flux": "FluxPipeline"}


CAPTURED = {"capture": True}
"""Options of Optimize that change no bit."""


@node
def Lend(*, context: Context = INJECTED) -> Any:
    """The context of its own call."""
    return context


@dataclass
class Bench:
    """A checkpoint and its network on the device, loaded when it is asked for.

    Args:
        name: of the checkpoint.
        aim: times the floor that a compiled or captured step may take.
    """

    place: Place
    name: str
    aim: float
    _floor: float = 0.0
    _engine: Engine | None = None
    _values: Mapping[str, Any] = field(default_factory=dict)

    def measurements(self) -> Iterator[Measurement]:
        """All of it."""
        rows: dict[str, Callable[[], Iterator[Figure]]] = {
            "network": self._network,
            "KSampler and diffusers": self._against_diffusers,
        }
        compiles = self.place.card.pretended is None
        if self.place.card.is_gpu:
            rows["captured"] = partial(self._optimised, **CAPTURED)
        if compiles:
            rows["compiled"] = partial(self._optimised, compile=True)
        if self.name != "flux":
            rows["channels last"] = partial(self._optimised, channels_last=True)
        if self.name != "flux" and compiles:
            rows["compiled, channels last"] = partial(self._optimised, compile=True, channels_last=True)
        if self.place.card.is_gpu:
            rows["compiled, captured"] = partial(self._optimised, compile=True, capture=True)
        rows |= {f"KSampler {sampler}": partial(self._sampler, sampler) for sampler in SAMPLERS[self.name]}
        for item, call in rows.items():
            yield Measurement(f"{self.name}, {item}", call)
        self.close()

    def close(self) -> None:
        """Give the device back."""
        if self._engine is not None:
            self._engine.close()
        self._engine, self._values = None, {}
        self.place.card.reset()

    @property
    def engine(self) -> Engine:
        """An engine that holds the checkpoint."""
        if self._engine is None:
            checkpoint(self.place, self.name)
            self._engine = Engine(
                store=None,
                device=self.place.card.device,
                precision="float32" if self.place.card.device == "cpu" else PRECISIONS[self.name],
                models=[self.place.folder],
                output=self.place.folder,
            )
        return self._engine

    @property
    def values(self) -> Mapping[str, Any]:
        """What KSampler is given."""
        if not self._values:
            side = side_of(self.place, self.name)
            with Graph() as graph:
                loaded = LoadCheckpoint(self.name)
                prompts = [TextEncode(loaded.text_encoder, text) for text in ("a red fox in fresh snow", "")]
                # One of FLUX.1's is guided by a number that the network reads.
                prompts = prompts[: 1 if self.name == "flux" else 2]
                graph.output("guide", CFGGuide(loaded.model, *prompts, scale=SCALE))
                graph.output("latent", EmptyLatent(side, side))
            self._values = self.engine.run(graph).outputs
        return self._values

    @contextmanager
    def network(self) -> Iterator[Any]:
        """The network on the device."""
        context = cast(Context, self.engine.run_now(cast(NodeType, Lend), {}))
        with context.weights(self.values["guide"].model) as denoiser:
            yield denoiser.network

    def sampled(self, steps: int, **settings: Any) -> Any:
        """Sample with KSampler."""
        given = {**self.values, "sampler": "euler", "steps": steps, "seed": 1, **settings}
        return self.engine.run_now(cast(NodeType, KSampler), given)

    @contextmanager
    def calls(self) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """The network, and what KSampler calls it with at a step."""
        found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        with self.network() as network:
            hook = network.register_forward_pre_hook(
                lambda module, args, kwargs: found.append((args, kwargs)), with_kwargs=True
            )
            self.sampled(2)
            hook.remove()
            args, kwargs = found[0]
            yield partial(network, *args), kwargs

    def _network(self) -> Iterator[Figure]:
        card = self.place.card
        card.reset()
        with self.calls() as (network, given), torch.inference_mode():
            with FlopCounterMode(display=False) as flops:
                network(**given)
            sizes = 8192 if card.is_gpu else 256
            one = torch.randn(sizes, sizes).to(card.device, torch.bfloat16)
            rate = 2 * sizes**3 / card.milliseconds(lambda: one @ one, 20, 3) * 1e3
            self._floor = flops.get_total_flops() / rate * 1e3
            yield Figure("products", flops.get_total_flops() / 1e12, "TFLOP")
            yield Figure("floor by products", self._floor, "ms")
            yield from self._step("called alone", card.milliseconds(lambda: network(**given), self._repeats, 2))
            yield Figure("weights and work at most", card.peak, "GiB")
            if card.is_gpu:
                yield from self._step("captured in a graph", self._captured(partial(network, **given)), self.aim)

    @property
    def _repeats(self) -> int:
        return 2 if self.place.tiny else 10

    def _captured(self, call: Callable[[], Any]) -> float:
        """Milliseconds of a call that was captured as a CUDA graph."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return self.place.card.milliseconds(graph.replay, 20)

    def _step(self, name: str, value: float, most: float | None = None) -> Iterator[Figure]:
        """A step's time, and how often the floor goes into it."""
        yield Figure(name, value, "ms a step")
        if self._floor:
            yield Figure(f"{name}, of the floor", value / self._floor, "", most if self.place.card.is_gpu else None)

    def _a_step(self, *calls: Callable[[int], object]) -> list[float]:
        """Milliseconds of a step of each, by runs of two lengths, one after the other in each round."""
        few, many = (2, 4) if self.place.tiny else (3, 15)
        found: list[list[float]] = [[] for _ in calls]
        for turn in range(2 if self.place.tiny else 5):
            for call, times in zip(calls, found, strict=True):
                short, long = (self.place.card.seconds(partial(call, steps)) for steps in (few, many))
                if turn:  # the first warms up
                    times.append((long - short) / (many - few) * 1e3)
        return [median(times) for times in found]

    def _against_diffusers(self) -> Iterator[Figure]:
        self.place.card.reset()
        with self.network() as network, ExitStack() as held:
            if self.place.card.is_gpu:
                held.enter_context(torch.cuda.device(self.place.card.device))
            pipeline = self._pipeline(network)
            ours, theirs = self._a_step(self.sampled, pipeline)
            want, got = pipeline(4), self.sampled(4).samples
        yield from self._step("KSampler", ours)
        yield from self._step("diffusers' pipeline", theirs)
        if self.name != "flux":  # whose pipeline gives latents in another form
            apart = float((got - want.to(got)).abs().max() / want.abs().max())
            yield Figure("latents off those of diffusers, of their largest", apart, "", 0.02)
        yield Figure("KSampler / diffusers", ours / theirs, "", AGAINST_DIFFUSERS if self.place.card.is_gpu else None)

    def _pipeline(self, network: Any) -> Callable[[int], Any]:
        """Diffusers' own pipeline over the same network, from encoded prompts to latents."""
        kind: Any = getattr(diffusers, PIPELINES[self.name])
        part = "transformer" if self.name == "flux" else "unet"
        texts = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
        without: dict[str, Any] = dict.fromkeys((*texts[: 2 if self.name == "sd15" else 4], "vae"))
        if self.name == "sd15":
            without["safety_checker"] = without["feature_extractor"] = None
        pipeline = kind.from_pretrained(self.place.folder / self.name, **{part: network}, **without)
        scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler if part == "transformer" else None
        pipeline.scheduler = (scheduler or diffusers.EulerDiscreteScheduler).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        side = side_of(self.place, self.name)
        given: dict[str, Any] = {"height": side, "width": side, "output_type": "latent", "guidance_scale": SCALE}
        dtype, device = next(network.parameters()).dtype, self.place.card.device
        guide = self.values["guide"]
        for name, prompts in (("", guide.positive), ("negative_", guide.negative)):
            if prompts is None:
                continue
            (prompt,) = prompts.prompts
            given[f"{name}prompt_embeds"] = prompt.embeddings.to(device, dtype)
            if prompt.pooled is not None:
                given[f"{name}pooled_prompt_embeds"] = prompt.pooled.to(device, dtype)

        def sample(steps: int) -> Any:
            generator = [torch.Generator("cpu").manual_seed(1)]
            return pipeline(num_inference_steps=steps, generator=generator, **given).images

        return sample

    def _optimised(self, **options: Any) -> Iterator[Figure]:
        guide = self.values["guide"]
        optimised = self.engine.run_now(cast(NodeType, Optimize), {"model": guide.model, **options})
        faster = CFGGuide.function(optimised, guide.positive, guide.negative, scale=SCALE)  # type: ignore[attr-defined]
        call = partial(self.sampled, guide=faster)
        first = self.place.card.seconds(lambda: call(2))
        yield Figure("first two steps", first, "s")
        (step,) = self._a_step(call)
        yield from self._step("KSampler", step, self.aim if options.keys() & {"compile", "capture"} else None)
        want, got = (one(4).samples for one in (self.sampled, call))
        apart = float((got - want).abs().max() / want.abs().max())
        yield Figure("latents off those of before, of their largest", apart, "", 0.0 if options == CAPTURED else None)

    def _sampler(self, sampler: str) -> Iterator[Figure]:
        (step,) = self._a_step(partial(self.sampled, sampler=sampler))
        yield from self._step("KSampler", step)


def vae_measurements(place: Place, name: str, precision: str) -> Iterator[Figure]:
    """The time and the memory of decoding a picture."""
    card, side = place.card, side_of(place, name)
    kind: Any = diffusers.AutoencoderKL
    dtype = getattr(torch, precision)
    vae = kind.from_pretrained(place.folder / checkpoint(place, name) / "vae", torch_dtype=dtype).to(card.device).eval()
    latents = torch.randn(1, 4, side // 8, side // 8).to(card.device, dtype)
    for way in ("", ", channels last"):
        if way:
            vae.to(memory_format=torch.channels_last)
        card.reset()
        with torch.inference_mode():
            took = card.milliseconds(lambda: vae.decode(latents, return_dict=False), 1 if place.tiny else 3)
        yield Figure(f"decode{way}", took, "ms")
        yield Figure(f"at most{way}", card.peak, "GiB")
