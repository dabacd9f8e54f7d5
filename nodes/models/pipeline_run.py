"""One call of a pipeline: what its parameters are given, its progress, and what it gives as values.

Imports torch and diffusers: only bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.media_values import Audio, Video
from weft.nodes.models.network_calls import RAISED, library_errors
from weft.nodes.models.pipeline_facts import OUTPUTS
from weft.nodes.models.pipeline_source import CallParameter
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.picture_files import to_levels, to_pil
from weft.nodes.pipeline_values import PipelineInputs
from weft.nodes.values import Image, Latent, Mask

Preview = Callable[[Tensor], bytes]
"""Draws latents."""


class StepBar:
    """In place of a pipeline's progress bar: counts steps for the engine, and ends them where the run is cancelled."""

    def __init__(
        self, context: Context, total: int, iterable: Iterable[Any] | None, preview: Callable[[], bytes] | None
    ) -> None:
        self.context = context
        self.total = total
        self.iterable = iterable
        self.preview = preview
        self.done = 0

    def __enter__(self) -> StepBar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        for one in () if self.iterable is None else self.iterable:
            yield one
            self.update()

    def update(self, count: int = 1) -> None:
        """Steps that are done."""
        self.done += count
        self.context.progress(min(self.done, self.total), self.total, self.preview)

    def set_description(self, *_: object, **__: object) -> None:
        """Nothing is written."""

    set_postfix = set_description
    close = set_description


class PipelineRun:
    """A pipeline that is called once.

    Args:
        pipeline: with schedulers of its own.
        preview: draws its latents; None where nobody knows how.
    """

    def __init__(self, pipeline: Any, context: Context, preview: Preview | None = None) -> None:
        self.pipeline = pipeline
        self.context = context
        self.draw = preview
        self.latents: Tensor | None = None
        for one in (pipeline, *(part for part in vars(pipeline).values() if isinstance(part, DiffusionPipeline))):
            one.__dict__["progress_bar"] = self._bar

    def _bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> StepBar:
        steps = total if total is not None else len(iterable) if isinstance(iterable, Sequence | Tensor) else 1
        return StepBar(self.context, max(1, steps), iterable, self._picture if self.draw else None)

    def _picture(self) -> bytes:
        assert self.draw is not None
        return self.draw(self.latents) if self.latents is not None else b""

    def _seen(self, pipeline: Any, step: int, timestep: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Diffusers' callback: latents for previews."""
        self.latents = tensors.get("latents")
        return tensors

    def call(
        self, given: Mapping[str, Any], seeds: Sequence[int], known: Mapping[str, CallParameter], latent: bool
    ) -> Any:
        """What the pipeline returns.

        Args:
            given: parameters by name.
            seeds: of its items, each of which has a generator where the class takes a list of them.
            known: the parameters of its call.
            latent: whether latents are wanted in place of pictures.
        """
        options: dict[str, Any] = {"return_dict": True}
        if "generator" in known:
            options["generator"] = generators(seeds, known["generator"])
        if "output_type" in known:
            options["output_type"] = "latent" if latent else "np"
        if "callback_on_step_end" in known and self.draw:
            options["callback_on_step_end"] = self._seen
        name = type(self.pipeline).__name__

        def refusal(line: str) -> InputError:
            if line.startswith(("ImportError", "ModuleNotFoundError", "NameError")):
                # Where a package is missing, modules of diffusers do not import it, and fail at its name.
                message = f"{name} needs a package that is not installed ({line})"
                return InputError(message, "install the package of this name", "missing-package")
            return InputError(
                f"{name} cannot be called with what it was given ({line})",
                f"`weft nodes RunPipeline` and diffusers' page on {name} say what it takes",
                "network-failed",
            )

        with library_errors(refusal, (*RAISED, ImportError, NameError)), torch.no_grad(), quietly(), seeded(seeds[0]):
            return self.pipeline(**given, **{one: value for one, value in options.items() if one in known})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's own generator with a seed, for what pipelines draw without one; as it was, when the block ends."""
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def generators(seeds: Sequence[int], parameter: CallParameter) -> Any:
    """A generator on the CPU for each item; one alone where there is one item, or the class takes no list."""
    made = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    return made[0] if len(made) == 1 or "ist[" not in parameter.type else made


def argument(value: Any, parameter: CallParameter, device: str) -> Any:
    """A value that crossed links as a pipeline takes it: Pillow pictures, tensors on its device.

    Where a class takes pictures as tensors alone, these are `[batch, channel, height, width]` in 0..1.
    """
    if isinstance(value, Image | Mask | Video):
        if "Tensor" in parameter.type and "Image" not in parameter.type:
            return _planes(value).to(device)
        pictures = _pictures(value)
        return pictures[0] if len(pictures) == 1 and not isinstance(value, Video) else pictures
    if isinstance(value, list | tuple):
        if value and all(isinstance(one, Image | Mask) for one in value):
            return [picture for one in value for picture in _pictures(one)]
        return [argument(one, parameter, device) for one in value]
    if isinstance(value, Audio):
        return value.samples.numpy() if "ndarray" in parameter.type else value.samples.to(device)
    if isinstance(value, Latent):
        value = value.samples
    return value.to(device) if isinstance(value, Tensor) else value


def _planes(value: Image | Mask | Video) -> Tensor:
    if isinstance(value, Mask):
        return value.coverage[:, None]
    pixels = value.pixels if isinstance(value, Image) else value.frames.float() / 255
    return pixels.permute(0, 3, 1, 2).contiguous()


def _pictures(value: Image | Mask | Video) -> list[Any]:
    import PIL.Image

    if isinstance(value, Image):
        return [*to_pil(value.pixels)]
    levels = to_levels(value.coverage) if isinstance(value, Mask) else value.frames.numpy()
    return [PIL.Image.fromarray(one) for one in levels]


def outputs_of(returned: Any, pipeline: Any, rate: float) -> dict[str, Any]:
    """What a pipeline returned, by the outputs of RunPipeline; None for those that it does not give.

    Args:
        rate: frames a second of clips.
    """
    found: dict[str, Any] = dict.fromkeys(("image", "video", "audio", "map"))
    tensors: list[tuple[str, Any]] = []
    for name, value in returned.items():
        output = OUTPUTS.get(name)
        if value is None or isinstance(value, bool | str):
            continue
        if isinstance(value, Tensor) and (output != "audio" or "latent" in name):
            tensors.append(("latents" if output else name, _kept(value)))
        elif output == "audio":
            found["audio"] = Audio(_samples(value), _sample_rate(pipeline))
        elif output == "video":
            found["video"] = Video(_frames(value), rate)
        elif output:
            found[output] = Image(_pixels(value, output == "map"))
        elif isinstance(value, numpy.ndarray):
            tensors.append((name, _kept(torch.from_numpy(value))))
    if found["video"] is not None and found["audio"] is not None:
        found["video"] = Video(found["video"].frames, rate, found["audio"])
    return {**found, "tensors": PipelineInputs(tuple(tensors)) if tensors else None}


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().contiguous() if tensor.is_floating_point() else tensor.detach().cpu()


def _pixels(value: Any, centred: bool) -> Tensor:
    """Pictures `[batch, height, width, 3 or 4]`; maps of three channels go from -1 to 1."""
    pixels = torch.from_numpy(numpy.stack([*value])).float()
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels.flatten(0, -4) if pixels.ndim > 4 else pixels
    if pixels.shape[-1] == 1:
        return pixels.expand(*pixels.shape[:-1], 3).contiguous()
    return (pixels + 1) / 2 if centred else pixels.contiguous()


def _frames(value: Any) -> Tensor:
    """The frames `[frame, height, width, 3]` of the first clip, as bytes."""
    first = torch.from_numpy(numpy.stack([*value[0]]))
    return (first.clamp_(0, 1) * 255).round_().byte()


def _samples(value: Any) -> Tensor:
    """The samples `[channel, sample]` of the first sound."""
    first = torch.as_tensor(value)[0].detach().float().cpu()
    return first[None] if first.ndim == 1 else first.contiguous()


RATES = (
    ("vocoder", "sampling_rate"),
    ("vocoder", "output_sampling_rate"),
    ("vae", "sampling_rate"),
    ("vae", "sample_rate"),
    ("audio_vae", "sampling_rate"),
    ("audio_vae", "sample_rate"),
    ("unet", "sample_rate"),
)
"""The components whose configuration has the rate of the sound, and its entry."""


def _sample_rate(pipeline: Any) -> int:
    for component, entry in RATES:
        config = getattr(getattr(pipeline, component, None), "config", None)
        rate = getattr(config, entry, None)
        if isinstance(rate, int):
            return rate
    message = f"the components of {type(pipeline).__name__} do not say how many samples a second they make"
    raise InputError(message, "this pipeline is not run; open an issue", "unsupported-network")
