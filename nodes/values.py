"""The values that nodes of this library pass over links. Every value is frozen, small and on the CPU.

Tensors are float32. `Model`, `TextEncoder`, `VAE` and `ControlNet` are recipes: they name weights by the content digest
of their source and hold none; a node gets what they name by `with context.weights(vae, Autoencoder) as autoencoder:`.

`F` is the family of models that a value belongs to: `Latent[F]` and `Guide[F]` in one signature must agree, and the
checker follows this through a graph. A type checker cannot read headers, so it accepts an unknown family as any. Read
next: `weft.nodes.library.recipe_loaders`, which loads what recipes name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from weft.engine import ADDED_LATER, Limits, Loading, Patch, Recipe, check_pixels, value
from weft.nodes import picture_files, value_display
from weft.nodes.image_prompt_values import Grounding, ImagePrompt
from weft.nodes.value_checks import check_mask_size, check_size, check_tensor

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor
    from typing_extensions import TypeVar as VariableWithDefault

    F = VariableWithDefault("F", default=Any)
else:
    F = TypeVar("F")


@value
@dataclass(frozen=True, eq=False)
class NoiseMask:
    """Which part of latents a sampler repaints; the rest stays as it is.

    Args:
        coverage: how much is repainted `[batch, height, width]` in pixels, in 0..1; a batch of 1 serves every item.
        differential: whether an element of coverage c is repainted in the last c of the steps, instead of by c in each.
        source: the latents that are kept, where they are not those that the mask is set on: of a run that goes on.
        noise: that they are kept under, where a run goes on that began with it.
    """

    coverage: Tensor
    differential: bool = False
    source: Tensor | None = field(default=None, repr=False)
    noise: Tensor | None = field(default=None, repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for a mask of another shape or type, and for one that is not finite."""
        check_tensor("the coverage of a NoiseMask", self.coverage, ("batch", "height", "width"))

    def __repr__(self) -> str:
        kind = ", differential" if self.differential else ""
        return f"NoiseMask({100 * float(self.coverage.mean()):.0f} % covered{kind})"


@value
@dataclass(frozen=True, eq=False)
class Latent(Generic[F]):
    """Latents of pictures or clips, or only a size (from EmptyLatent), whose channels and factor depend on the family.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        batch_size: items in the batch.
        samples: `[batch, channel, height / factor, width / factor]`, or for clips `[batch, channel, frame,
            height / factor, width / factor]`, scaled as the model samples them; None for a size.
        mask: which part a sampler repaints; None is all of it. A node that changes the size changes it too.
        deviation: the standard deviation of each element, `[batch or 1, ...]`, where the samples are the mean of a
            VAE's distribution that a sampler is to draw from; None takes them as they are.
        length: pictures of each clip; None for pictures.
        rate: frames a second, for models that read it; None where nothing says it.
    """

    width: int
    height: int
    batch_size: int
    samples: Tensor | None = None
    mask: NoiseMask | None = field(default=None, metadata=ADDED_LATER)
    deviation: Tensor | None = field(default=None, metadata=ADDED_LATER)
    length: int | None = field(default=None, metadata=ADDED_LATER)
    rate: float | None = field(default=None, metadata=ADDED_LATER)

    def check_value(self) -> None:
        """Raise `InputError` for samples or a size that nothing can use."""
        length = {} if self.length is None else {"length": self.length}
        check_size("a Latent", width=self.width, height=self.height, batch_size=self.batch_size, **length)
        if self.samples is not None:
            batch, rest = self.batch_size, ("height", "width")
            clips = (batch, "channel", "frame", *rest)
            hint = "run in float32 or bfloat16, with another sampler, more steps or less guidance"
            check_tensor("the samples of a Latent", self.samples, (batch, "channel", *rest), clips, not_finite=hint)
        if self.mask is not None:
            check_mask_size(self.mask.coverage, self.width, self.height, self.batch_size)
        if self.deviation is not None and self.samples is not None:
            shape = tuple(self.samples.shape[1:])
            check_tensor("the deviation of a Latent", self.deviation, (self.batch_size, *shape), (1, *shape))

    def check_limits(self, limits: Limits) -> None:
        """Raise `InputError` for more pixels, or items of the batch, than the limits allow."""
        check_pixels(self.width, self.height * (self.length or 1), self.batch_size, limits)

    @property
    def factor(self) -> int | None:
        """Pixels to an element along each side; None where there are no samples."""
        return self.width // self.samples.shape[-1] if self.samples is not None else None

    @property
    def frames(self) -> int | None:
        """Latent frames of each clip; None for pictures, and where there are no samples."""
        return self.samples.shape[2] if self.samples is not None and self.samples.ndim == 5 else None

    @property
    def is_clip(self) -> bool:
        """Whether items are clips; latents of one frame may be pictures."""
        return self.length is not None or (self.frames or 1) > 1

    def __repr__(self) -> str:
        size = value_display.sized(self.batch_size, self.width, self.height)
        size += "" if self.length is None else f", clips of {self.length}"
        shape = "no samples yet" if self.samples is None else f"samples {' x '.join(map(str, self.samples.shape))}"
        return f"Latent({', '.join([size, shape, *([repr(self.mask)] if self.mask else [])])})"


@value
@dataclass(frozen=True, eq=False)
class Image:
    """Pictures `[batch, height, width, channel]` in 0..1; three channels, or four where the last is alpha.

    Levels may leave 0..1 on the way; they are clamped where a picture is written or shown.
    """

    pixels: Tensor

    def check_value(self) -> None:
        """Raise `InputError` for pixels of another shape or type, and for those that are not finite."""
        check_tensor("the pixels of an Image", self.pixels, *(("batch", "height", "width", count) for count in (3, 4)))

    def check_limits(self, limits: Limits) -> None:
        """Raise `InputError` for more pixels, or items of the batch, than the limits allow."""
        batch, height, width, _ = self.pixels.shape
        check_pixels(width, height, batch, limits)

    def __repr__(self) -> str:
        batch, height, width, channels = self.pixels.shape
        return f"Image({value_display.sized(batch, width, height)}{', with alpha' if channels == 4 else ''})"

    @classmethod
    def from_pil(cls, *pictures: PIL.Image.Image) -> Image:
        """A batch of Pillow pictures, all of one size.

        Raises:
            InputError: if their sizes differ.
        """
        return cls(picture_files.from_pil(pictures))

    def to_pil(self) -> list[PIL.Image.Image]:
        """A Pillow picture, RGB or RGBA, for each item of the batch."""
        return picture_files.to_pil(self.pixels)

    def save(self, path: str | Path) -> list[Path]:
        """Write the pictures as PNG, WebP or JPEG, by the ending of the path; gives the paths.

        Several of a batch are numbered, `NAME_1.png`. Files that exist are replaced. In a graph use SaveImage.

        Raises:
            InputError: if the ending is none of these, or the file cannot be written.
        """
        return picture_files.save(self.pixels, Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return value_display.sheet(self.pixels)


@value
@dataclass(frozen=True, eq=False)
class Mask:
    """Masks `[batch, height, width]` in 0..1. What lies beyond is clamped where a mask is used."""

    coverage: Tensor

    def check_value(self) -> None:
        """Raise `InputError` for a mask of another shape or type, and for one that is not finite."""
        check_tensor("the coverage of a Mask", self.coverage, ("batch", "height", "width"))

    def check_limits(self, limits: Limits) -> None:
        """Raise `InputError` for more pixels, or items of the batch, than the limits allow."""
        batch, height, width = self.coverage.shape
        check_pixels(width, height, batch, limits)

    def __repr__(self) -> str:
        batch, height, width = self.coverage.shape
        covered = f"{100 * float(self.coverage.mean()):.0f} % covered"
        return f"Mask({value_display.sized(batch, width, height)}, {covered})"


Change = Callable[[str, "Tensor"], "Tensor"]
"""Gives another weight in place of one of this name, both in float32."""


class WeightPatch(Patch[Any]):
    """A patch that changes weights alone, each by itself, so that a changed model can be merged into another."""

    @abstractmethod
    def opened(self, module: Any, loading: Loading) -> AbstractContextManager[Change]:
        """What it makes of the weights of a module, which stays as it is, while the block runs.

        Weights have the names that `weft.nodes.models.stored_weights.weights_of` gives them.

        Raises:
            InputError: where it does not fit the module.
        """


P = TypeVar("P", Image, Mask)
"""Pictures or masks: what a node that takes either gives back."""


@dataclass(frozen=True)
class Weights(Recipe[Any]):
    """Names the weights of one component.

    Args:
        source: the content digest of the files that they are in.
        family: the name of the family of models.
        variant: the variant of the weights, such as `fp16`; empty takes the plain ones, or the only ones.
        dtype: the precision that they are loaded in: `float32`, `float16` or `bfloat16`.
        changes: to the weights of these files, in the order in which they are made: merged weights, LoRAs.
        storage: that weights are kept in: `fp8`, `int8`, `int8_dynamic` or `nf4`; empty keeps them in `dtype`, or as
            small as the files.
    """

    moves: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    source: str
    family: str
    variant: str
    dtype: str
    changes: tuple[Patch[Any], ...] = field(default=(), kw_only=True, metadata=ADDED_LATER)
    storage: str = field(default="", kw_only=True, metadata=ADDED_LATER)

    @property
    def sources(self) -> tuple[str, ...]:
        """The content digests of all files that it is loaded from, changes aside."""
        return (self.source,)

    @property
    def base(self) -> Self:
        return replace(self, changes=()) if self.changes else self

    @property
    def patches(self) -> tuple[Patch[Any], ...]:
        return self.changes

    def __repr__(self) -> str:
        variant = f", {self.variant}" if self.variant else ""
        changed = f", {len(self.changes)} changes" if self.changes else ""
        stored = f" in {self.storage}" if self.storage else ""
        return f"{type(self).__name__}({self.family}, {self.dtype}{stored}{variant}, {self.source[:12]}{changed})"


@value
@dataclass(frozen=True)
class Forecast:
    """Predictions that are extrapolated from those of earlier steps instead of computed (TaylorSeer).

    Args:
        interval: from one computed step to the next.
        warm_up: the first steps, which are all computed.
        order: of the Taylor series, in 0..4.
    """

    interval: int
    warm_up: int
    order: int


@value
@dataclass(frozen=True)
class MotionAdapter:
    """The motion modules that a denoiser makes clips by, between its own layers (AnimateDiff).

    Args:
        source: the content digest of the files that they are in.
        variant: of the weights, such as `fp16`; empty takes the plain ones, or the only ones.
    """

    source: str
    variant: str = ""


@value
@dataclass(frozen=True, repr=False)
class Model(Weights, Generic[F]):
    """The denoiser, with the checkpoint's scheduler configuration.

    Args:
        prediction: overrides what the network predicts; empty takes it from the configuration.
        noise: overrides the noise schedule of the training, by diffusers' name; empty takes it from the configuration.
        terminal_snr: overrides whether the noise schedule of the training ends in noise alone: `zero` or `nonzero`;
            empty takes it from the configuration.
        beta_start: overrides the first beta of that schedule; None takes it from the configuration.
        beta_end: overrides the last one.
        forecast: which predictions are extrapolated; None computes all.
        separate: whether each prompt takes a call of the network by itself, where they would share one.
        motion: makes clips of it; None makes pictures.
    """

    prediction: str = ""
    noise: str = ""
    terminal_snr: str = field(default="", metadata=ADDED_LATER)
    beta_start: float | None = field(default=None, metadata=ADDED_LATER)
    beta_end: float | None = field(default=None, metadata=ADDED_LATER)
    forecast: Forecast | None = field(default=None, metadata=ADDED_LATER)
    separate: bool = field(default=False, metadata=ADDED_LATER)
    motion: MotionAdapter | None = field(default=None, metadata=ADDED_LATER)

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, *([self.motion.source] if self.motion else []))

    @property
    def base(self) -> Self:
        return replace(super().base, forecast=None, separate=False)


@value
@dataclass(frozen=True)
class Embedding(Recipe[Any]):
    """Vectors that replace a word of prompts: textual inversion.

    Args:
        source: the content digest of the file that they are in.
        word: as it is written in prompts.
        file: the whole safetensors file, of an embedding that a node has made; empty for one that lies in a folder.
    """

    source: str
    word: str
    file: bytes = field(default=b"", repr=False, metadata=ADDED_LATER)


@value
@dataclass(frozen=True)
class TextualInversion(Patch[Any]):
    """Lets a prompt encoder read a word as the vectors of an embedding."""

    embedding: Embedding

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        with loading.weights(self.embedding) as vectors:
            undo: Callable[[], None] = module.learn(self.embedding.word, vectors)
        return undo


@value
@dataclass(frozen=True, repr=False)
class TextEncoder(Weights, Generic[F]):
    """The text encoders of a model, with their tokenizers.

    Args:
        embeddings: those that replace words of prompts (textual inversion).
        files: the name of each text model with the content digest of its own source, for standalone ones; `source`
            is the first of these then.
        width: channels of the prompts that the denoiser reads, where text encoders are standalone.
        tokenizer: the content digest of a tokenizer separate from the text encoders; empty where there is none.
    """

    embeddings: tuple[Embedding, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    width: int = 0
    tokenizer: str = field(default="", metadata=ADDED_LATER)

    @property
    def sources(self) -> tuple[str, ...]:
        tokenizer = (self.tokenizer,) if self.tokenizer else ()
        return tuple(dict.fromkeys((self.source, *(digest for _, digest in self.files), *tokenizer)))

    @property
    def base(self) -> Self:
        return replace(self, changes=(), embeddings=())

    @property
    def patches(self) -> tuple[Patch[Any], ...]:
        return (*self.changes, *map(TextualInversion, self.embeddings))

    @property
    def without_words(self) -> Self:
        """The same without embeddings, for prompts that have none of their words."""
        return replace(self, embeddings=())


@value
@dataclass(frozen=True, repr=False)
class LanguageSight(Weights, Generic[F]):
    """The part of a vision-language model that reads pictures, for prompts that have some."""


@value
@dataclass(frozen=True, repr=False)
class VAE(Weights, Generic[F]):
    """The network between pixels and latents."""

    streams: ClassVar[bool] = False  # strips read the weights of its layers themselves


@value
@dataclass(frozen=True, repr=False)
class ControlNet(Weights, Generic[F]):
    """A ControlNet.

    Args:
        file: the whole safetensors file, of one that a node has made; empty for one that lies in a folder.
    """

    file: bytes = field(default=b"", repr=False, metadata=ADDED_LATER)


@value
@dataclass(frozen=True, eq=False)
class Control(Generic[F]):
    """A ControlNet applied to a conditioning.

    Args:
        image: the picture that it reads `[batch, height, width, 3]` in 0..1.
        strength: the factor of its output.
        start: the fraction of the run at which it begins.
        end: the fraction of the run at which it ends.
        vae: encodes the picture, for ControlNets that read latents.
        kind: of the picture, for ControlNets that distinguish several.
        mask: `[batch, height, width]` in 0..1, 1 where the picture is to be replaced, for ControlNets that inpaint.
        source: `[batch, height, width, 3]` in 0..1, what is replaced under the mask, for ControlNets that read it next
            to the picture that they follow.
    """

    control_net: ControlNet[F]
    image: Tensor = field(repr=False)
    strength: float
    start: float
    end: float
    vae: VAE[F] | None = field(default=None, metadata=ADDED_LATER, repr=False)
    kind: str | None = field(default=None, metadata=ADDED_LATER, repr=False)
    mask: Tensor | None = field(default=None, metadata=ADDED_LATER, repr=False)
    source: Tensor | None = field(default=None, metadata=ADDED_LATER, repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for a picture or a mask of another shape or type."""
        check_tensor("the picture of a ControlNet", self.image, ("batch", "height", "width", 3))
        if self.source is not None:
            check_tensor("the source of a ControlNet", self.source, ("batch", "height", "width", 3))
        if self.mask is not None:
            check_tensor("the mask of a ControlNet", self.mask, ("batch", "height", "width"))


@value
@dataclass(frozen=True, eq=False)
class Prompt(Generic[F]):
    """One encoded prompt, and where and when it acts.

    Args:
        embeddings: `[batch, token, channel]`; a batch of 1 serves every item.
        encoder: the text encoder that made them; it also encodes the empty prompt where no negative one is given.
        controls: the ControlNets that act with it, in the order in which their outputs are added.
        pooled: the pooled vector of the prompt `[batch, channel]`, for families whose denoisers take one.
        framing: SDXL's size conditioning: height and width of the original, top and left of its crop, in pixels.
        strength: its weight among the prompts that act together.
        area: where it acts: left, top, width and height in shares of the picture; None acts everywhere.
        mask: how much it acts, `[batch, height, width]` in 0..1, stretched over the picture; None is 1 everywhere.
        window: what the denoiser sees of the picture with it, and where it acts: left, top, width and height; None is
            the whole picture.
        window_in_shares: whether the window is in shares of the picture, 0..1, rather than in pixels.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
        attention_mask: which tokens the denoiser reads, 1 or 0, `[batch, token]`; None is all of them.
        images: the pictures that act with it, through IP-Adapters whose outputs are added.
        image_vector: the vector of a picture with noise, joined to the embedding of its level `[item, channel]`, for
            denoisers that read one (unCLIP).
        grounding: objects at places of the picture, for denoisers that read them (GLIGEN).
    """

    embeddings: Tensor
    encoder: TextEncoder[F]
    controls: tuple[Control[F], ...] = ()
    pooled: Tensor | None = None
    framing: tuple[int, int, int, int] | None = None
    strength: float = 1.0
    area: tuple[float, float, float, float] | None = None
    mask: Tensor | None = None
    start: float = 0.0
    end: float = 1.0
    attention_mask: Tensor | None = field(default=None, metadata=ADDED_LATER)
    images: tuple[ImagePrompt, ...] = field(default=(), metadata=ADDED_LATER)
    image_vector: Tensor | None = field(default=None, metadata=ADDED_LATER)
    grounding: Grounding | None = field(default=None, metadata=ADDED_LATER)
    window: tuple[float, float, float, float] | None = field(default=None, metadata=ADDED_LATER)
    window_in_shares: bool = field(default=False, metadata=ADDED_LATER)

    def check_value(self) -> None:
        """Raise `InputError` for embeddings, a pooled vector or a mask of another shape or type."""
        # A model that reads no prompt (DDPM) has one of no tokens.
        check_tensor("the embeddings of a Prompt", self.embeddings, ("batch", "token", "channel"), may_be_empty=True)
        if self.pooled is not None:
            check_tensor("the pooled vector of a Prompt", self.pooled, ("batch", "channel"))
        if self.image_vector is not None:
            check_tensor("the vector of a picture of a Prompt", self.image_vector, ("item", "channel"))
        if self.mask is not None:
            check_tensor("the mask of a Prompt", self.mask, ("batch", "height", "width"))

    def __repr__(self) -> str:
        _, tokens, channels = self.embeddings.shape
        where = ["in a window"] * (self.window is not None)
        where += ["in an area"] * (self.area is not None) + ["under a mask"] * (self.mask is not None)
        when = [f"from {self.start:g} to {self.end:g}"] * ((self.start, self.end) != (0, 1))
        under = (
            [f"under {', '.join(map(repr, (*self.controls, *self.images)))}"] if self.controls or self.images else []
        )
        return f"Prompt({', '.join([f'{tokens} tokens of {channels}', *where, *when, *under])})"


@value
@dataclass(frozen=True, eq=False)
class Conditioning(Generic[F]):
    """The prompts that condition a model together.

    Where several act at once, predictions are averaged by their strengths, areas and masks.
    """

    prompts: tuple[Prompt[F], ...]

    def __repr__(self) -> str:
        return f"Conditioning({', '.join(map(repr, self.prompts))})"


@value
@dataclass(frozen=True)
class Perturbation:
    """Perturbed-attention guidance: guided + scale x (positive - perturbed).

    Args:
        layers: the blocks whose self-attention is perturbed; the middle block if there are none.
    """

    scale: float
    layers: tuple[str, ...] = ()


@value
@dataclass(frozen=True)
class Projection:
    """Adaptive projected guidance.

    Args:
        eta: the factor of the part of guidance parallel to the positive prediction, in 0..1.
        norm_threshold: the greatest norm of the guidance difference; 0 sets no limit.
        momentum: the weight of the running sum of earlier differences.
    """

    eta: float
    norm_threshold: float
    momentum: float


@value
@dataclass(frozen=True, eq=False)
class Guide(Generic[F]):
    """A model with its prompts and guidance settings: what a sampler calls for predictions.

    Args:
        negative: None where only the positive prompt is used.
        scale: negative + scale x (positive - negative); a model that was distilled with guidance gets it as an input.
        beside: what the network sees beside its latents `[batch, channel, height / factor, width / factor]`: a mask and
            the latents of a masked picture, or the latents of a picture to edit; for clips `[batch, channel, frame,
            height / factor, width / factor]`.
        image_scale: the guidance scale of a picture to edit; None without one.
        picture_deviation: the standard deviation of the latents in `beside`, `[batch, channel, height, width]`, where
            these are the mean of a VAE's distribution that a sampler is to draw from; None takes them as they are.
        rescale: how far the standard deviation of a guided prediction is moved to that of the positive one, in 0..1.
        start: the fraction of the steps at which guidance begins; before it only the positive prompt is used.
        end: the fraction of the steps at which guidance ends.
        perturbation: perturbed-attention guidance; None turns it off.
        projection: adaptive projected guidance; None turns it off.
        true_scale: for a model that was distilled with guidance and reads `scale`, the scale of guidance away from the
            negative prompt in addition; 1 turns it off.
        reference: latents of a picture to refer to `[batch, channel, height, width]`, of any size.
        more_references: those of further pictures, each of a size of its own.
        clean_references: whether the network reads pictures to refer to with the timestep 0.
        diagonal_references: whether the places of pictures to refer to go on behind those of the picture, along its
            diagonal.
        normalised: whether guided predictions are brought back to the length of the positive one, in families whose
            pipelines do so.
        middle: a prompt that guidance passes on its way from the negative to the positive one; None has none.
        middle_scale: how far it goes from the negative prompt to that one; `scale` is then from there to the positive.
        first_frames: the latents that a clip begins with `[batch, channel, frame, height, width]`, which take the place
            of its own in each step; None where nothing is given.
        first_deviation: the standard deviation of the latents of given first frames `[batch, channel, frame, height,
            width]`, where these are the mean of a VAE's distribution that a sampler is to draw from before the noise;
            None takes them as they are.
        picture_tokens: what an image encoder makes of the pictures that a clip begins and ends with
            `[batch, token, channel]`, for networks that read it.
        clip_numbers: what a network reads of a clip besides pictures: its frames a second less one, how much it moves,
            and the share of noise in its picture; none for networks that read none.
        first_scale: the scale for the first frame of a clip, from which that of the others rises to `scale`; None has
            one for all frames.
        withheld: whether the negative prompt goes without the pictures that clips begin with.
        later: the guide that takes over at lower noise levels; None goes on to the end.
        boundary: the timestep at which it does, as a share of those of the training.
        recorded: whether the attention of its prompts is recorded as it predicts.
    """

    model: Model[F]
    positive: Conditioning[F]
    negative: Conditioning[F] | None
    scale: float
    beside: Tensor | None = field(default=None, repr=False)
    image_scale: float | None = None
    rescale: float = 0.0
    start: float = 0.0
    end: float = 1.0
    perturbation: Perturbation | None = None
    projection: Projection | None = None
    true_scale: float = field(default=1.0, metadata=ADDED_LATER)
    reference: Tensor | None = field(default=None, repr=False, metadata=ADDED_LATER)
    picture_deviation: Tensor | None = field(default=None, repr=False, metadata=ADDED_LATER)
    recorded: bool = field(default=False, repr=False, metadata=ADDED_LATER)
    more_references: tuple[Tensor, ...] = field(default=(), repr=False, metadata=ADDED_LATER)
    clean_references: bool = field(default=False, metadata=ADDED_LATER)
    normalised: bool = field(default=True, metadata=ADDED_LATER)
    diagonal_references: bool = field(default=False, metadata=ADDED_LATER)
    middle: Conditioning[F] | None = field(default=None, metadata=ADDED_LATER)
    middle_scale: float = field(default=1.0, metadata=ADDED_LATER)
    first_frames: Tensor | None = field(default=None, repr=False, metadata=ADDED_LATER)
    picture_tokens: Tensor | None = field(default=None, repr=False, metadata=ADDED_LATER)
    first_deviation: Tensor | None = field(default=None, repr=False, metadata=ADDED_LATER)
    clip_numbers: tuple[float, ...] = field(default=(), metadata=ADDED_LATER)
    first_scale: float | None = field(default=None, metadata=ADDED_LATER)
    withheld: bool = field(default=False, metadata=ADDED_LATER)
    later: Guide[F] | None = field(default=None, metadata=ADDED_LATER)
    boundary: float = field(default=0.0, metadata=ADDED_LATER)

    @property
    def references(self) -> tuple[Tensor, ...]:
        """The latents of all pictures to refer to, in order."""
        return () if self.reference is None else (self.reference, *self.more_references)

    def referring(self, latents: Tensor, clean: bool = False, diagonal: bool = False) -> Guide[F]:
        """The guide with one more picture to refer to, after those that it has."""
        first, *others = (*self.references, latents)
        clean = clean or self.clean_references
        changed = replace(self, reference=first, more_references=tuple(others))
        return replace(changed, clean_references=clean, diagonal_references=diagonal)

    def beginning(
        self,
        extra: Tensor | None,
        first_frames: Tensor | None,
        tokens: Tensor | None,
        deviation: Tensor | None = None,
    ) -> Guide[F]:
        """The guide with what its network reads of the pictures that a clip begins and ends with.

        Args:
            extra: channels next to its latents.
            first_frames: latents in place of the first ones.
            tokens: of an image encoder.
            deviation: of the latents of the first frames.
        """
        later = self.later and self.later.beginning(extra, first_frames, tokens, deviation)
        given = replace(self, beside=extra, first_frames=first_frames, picture_tokens=tokens, later=later)
        return replace(given, first_deviation=deviation)

    def begun(self, noise: Tensor) -> Guide[F]:
        """The guide with the latents of its first frames drawn, where they are a distribution.

        Args:
            noise: of unit variance, as many as the deviation has.
        """
        if self.first_deviation is None:
            return self
        drawn = self.first_deviation * noise
        first = None if self.first_frames is None else self.first_frames + drawn
        extra = self.beside
        if extra is not None:
            extra = extra.expand(max(len(extra), len(drawn)), -1, -1, -1, -1).clone()
            extra[:, -drawn.shape[1] :, : drawn.shape[2]] += drawn
        return replace(self, first_frames=first, beside=extra, first_deviation=None)

    @property
    def steered(self) -> bool:
        """Whether ControlNets act with one of its prompts."""
        return any(prompt.controls for prompt in self.prompts)

    @property
    def prompts(self) -> tuple[Prompt[F], ...]:
        """All of its prompts."""
        return (*self.positive.prompts, *(self.negative.prompts if self.negative else ()))
