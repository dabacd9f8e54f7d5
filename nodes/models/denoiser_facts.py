"""What a family declares of its networks beyond yes and no, and the checks that read it, before a run and in it.

A family's `Denoiser` has these as class attributes and methods. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.engine import InputError


@dataclass(frozen=True)
class ImageLayer:
    """An attention layer that can read pictures in addition to the prompt.

    Args:
        name: in the network, as diffusers calls it.
        channels: of its queries, keys and values.
        width: channels of the tokens that it reads.
        timed: whether these depend on the step.
    """

    name: str
    channels: int
    width: int
    timed: bool = False


@dataclass(frozen=True)
class SizeLimits:
    """The sizes of latents that a network takes, in latent elements along each side.

    Args:
        multiple: that each side must be a multiple of: the side of a patch.
        most: the longest side, of networks whose table of positions ends there; 0 has no such limit.
        exact: the only width and height, of networks that have learned the place of each patch.
        area: the most elements of a picture, of networks that have places for so many; 0 has no such limit.
        square: whether it must be as wide as it is high.
    """

    multiple: int = 1
    most: int = 0
    exact: tuple[int, int] | None = None
    area: int = 0
    square: bool = False

    def check(self, width: int, height: int, factor: int) -> None:
        """Raise `InputError` for a size that the network cannot take.

        Args:
            width: in pixels.
            height: in pixels.
            factor: pixels to a latent element, along each side.
        """
        side, most = self.multiple * factor, self.most * factor
        if width % side or height % side:
            raise InputError(
                f"width and height must be multiples of {side}, found {width} x {height}",
                f"ask for {max(width // side, 1) * side} x {max(height // side, 1) * side}",
                "wrong-size",
            )
        if self.exact and (width, height) != (only := tuple(one * factor for one in self.exact)):
            raise InputError(
                f"the model takes {only[0]} x {only[1]} pixels alone, found {width} x {height}",
                f"ask for {only[0]} x {only[1]}",
                "wrong-size",
            )
        if self.square and width != height:
            raise InputError(
                f"the model takes square pictures alone, found {width} x {height}",
                f"ask for {min(width, height)} x {min(width, height)}",
                "wrong-size",
            )
        if most and max(width, height) > most:
            raise InputError(
                f"the model takes pictures of up to {most} pixels along a side, found {width} x {height}",
                f"ask for {min(width, most)} x {min(height, most)}",
                "wrong-size",
            )
        if self.area and width * height > self.area * factor**2:
            smaller = (self.area * factor**2 / (width * height)) ** 0.5
            nearest = " x ".join(str(max(int(given * smaller) // side, 1) * side) for given in (width, height))
            raise InputError(
                f"the model takes pictures of up to {self.area * factor**2:,} pixels, found {width} x {height}",
                f"ask for {nearest}",
                "wrong-size",
            )


@dataclass(frozen=True)
class ClipLimits:
    """The clips that a network makes.

    Args:
        step: pictures that a latent frame stands for, but for the first, which stands for one.
        longest: pictures of the longest clip; 0 has no such limit.
        together: latent frames, after the first one, that its VAE decodes together: a clip has a multiple of them.
        in_rows: whether the network sees frames as rows of a batch (motion modules).
        by_frame: whether noise is drawn for all channels of a frame before the next one.
        layers: whether what it makes is no clip, but a picture and the layers that it is divided into.
        led: whether samples may have further latent frames in front of those of a clip, which are not decoded.
    """

    step: int = 1
    longest: int = 0
    together: int = 1
    in_rows: bool = False
    by_frame: bool = False
    layers: bool = False
    led: bool = False

    def latent_frames(self, pictures: int) -> int:
        """Latent frames of a clip of so many pictures."""
        return (pictures - 1) // self.step + 1

    def pictures(self, frames: int) -> int:
        """Pictures of a clip of so many latent frames."""
        return (frames - 1) * self.step + 1


def check_clip(made: ClipLimits | None, is_clip: bool, pictures: int) -> None:
    """Raise `InputError` where latents of pictures meet a model that makes clips, and the other way round.

    Args:
        made: the clips that the model makes; None where it makes pictures.
        pictures: of each clip.
    """
    if made is None:
        if is_clip:
            raise InputError(
                "the model makes pictures, and the latent is one of clips",
                "put ApplyMotionAdapter after the model, or link `latent` to EmptyLatent",
                "wrong-latent",
            )
        return
    if not is_clip and made.layers:
        raise InputError(
            "the model divides a picture into layers, and the latent is one of pictures",
            "link `latent` to EmptyLayeredLatent",
            "wrong-latent",
        )
    if not is_clip:
        raise InputError(
            "the model makes clips, and the latent is one of pictures",
            "link `latent` to EmptyVideoLatent, or to VAEEncodeVideo",
            "wrong-latent",
        )
    step = made.step * made.together
    if (pictures - 1) % step:
        nearest = pictures - (pictures - 1) % step
        message = f"the clip has {pictures} frames, expected one more than a multiple of {step}"
        raise InputError(message, f"give {nearest} or {nearest + step}", "wrong-size")
    if made.longest and pictures > made.longest:
        raise InputError(
            f"the clip has {pictures} frames, and the model was made for {made.longest} at most",
            f"make it of {made.longest} frames, or less",
            "wrong-size",
        )


@dataclass(frozen=True)
class References:
    """How a network reads pictures to refer to, as tokens that follow those of its latents.

    Args:
        clean: whether it can read them with the timestep 0 (Qwen-Image-Edit 2511).
        diagonal: whether their places can go on along the diagonal of the picture (UNO, USO for FLUX.1).
    """

    clean: bool = False
    diagonal: bool = False


def check_references(
    family: str, read: References | None, clean: bool, diagonal: bool, extra_channels: int = 0
) -> None:
    """Raise `InputError` where a model does not read pictures to refer to, or not in this way.

    Args:
        family: of the model, for messages.
        read: how the model reads them; None where it does not.
        clean: whether they are to be read with the timestep 0.
        diagonal: whether their places are to go on along the diagonal.
        extra_channels: that the model reads in addition to its latents, which such pictures lack.
    """
    if read is not None and extra_channels:
        message = f"this model of {family} reads {extra_channels} further channels, and no picture to refer to"
        hint = "leave the reference out, or use a model that reads latents alone"
    elif read is None:
        message = f"a model of {family} reads no picture to refer to"
        hint = "leave the reference out, or use a model that edits, such as FLUX.1 Kontext or Qwen-Image-Edit"
    elif diagonal and not read.diagonal:
        message = f"a model of {family} has no places along a diagonal"
        hint = "leave `places` at `numbered`: adapters of FLUX.1 such as UNO and USO have the others"
    elif clean and not read.clean:
        message = f"a model of {family} does not read which pictures are clean"
        hint = "leave `clean` off: Qwen-Image-Edit from version 2511 on reads it"
    else:
        return
    raise InputError(message, hint, "unsupported-by-model")
