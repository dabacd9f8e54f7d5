"""The pictures that a clip is to begin and to end with, as networks that make clips read them.

Some see latents of these frames next to their own, marked by a mask (Wan 2.1); others have the latents of the first
frame in place of noise, and read that it is clean. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.engine import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

FIRST_FRAMES = "first_frames"
"""The name in `Conditions` of the latents that a clip begins with, where they take the place of its first ones."""

PICTURE_TOKENS = "picture_tokens"
"""The name in `Conditions` of the tokens of the pictures that a clip begins and ends with."""

CLIP_NUMBERS = "clip_numbers"
"""The name in `Conditions` of what a network reads of a clip besides pictures."""

HINT = "put ImageToVideoGuide after its guide; MotionGuide for Stable Video Diffusion"
"""How a model gets the picture that it begins a clip with."""


@dataclass(frozen=True)
class PictureReading:
    """How a network reads the pictures that a clip begins and ends with.

    Args:
        last: whether it reads one to end with.
        token_width: channels of the tokens that an image encoder makes of them, where it reads these too; 0 where not.
        tokens: that it reads of all pictures together; 0 takes those of any number of pictures.
        sets_in_motion: whether it reads no prompt, but the vector of the picture, how much it moves and how fast.
    """

    last: bool = False
    token_width: int = 0
    tokens: int = 0
    sets_in_motion: bool = False


@dataclass(frozen=True, eq=False)
class EncodedPictures:
    """What a network reads of the pictures that a clip begins and ends with.

    Args:
        extra: what is concatenated to the latents along their channels `[1, channel, frame, height, width]`.
        first_frames: latents in place of the first ones of the clip `[1, channel, frame, height, width]`.
        deviation: the standard deviation of the latents of given first frames, where a VAE has one.
    """

    extra: Tensor | None = None
    first_frames: Tensor | None = None
    deviation: Tensor | None = None


def one_first_frame(autoencoder: Autoencoder, first: Tensor, last: Tensor | None) -> EncodedPictures:
    """The latents of a picture as the first latent frame of a clip.

    Args:
        first: `[height, width, 3]` in 0..1.

    Raises:
        InputError: where there is a picture to end with.
    """
    check_begins(PictureReading(), ends=last is not None)
    found = autoencoder.distribution(first[None, None])
    return EncodedPictures(first_frames=found.mean, deviation=found.deviation)


def check_begins(reading: PictureReading | None, ends: bool) -> None:
    """Raise `InputError` where a network does not read the pictures that it is given.

    Args:
        reading: None where it reads none.
        ends: whether there is one to end with.
    """
    if reading is None:
        raise InputError(
            "the model makes clips from text alone, and reads no picture to begin with",
            "leave ImageToVideoGuide out, or load a model of the family for image to video",
            "unsupported-by-model",
        )
    if reading.sets_in_motion:
        raise InputError(
            "the model reads a picture with its motion and its rate", "use MotionGuide instead", "unsupported-by-model"
        )
    if ends and not reading.last:
        raise InputError(
            "the model reads a picture to begin with, and none to end with", "leave `last` out", "unsupported-by-model"
        )


def check_tokens(reading: PictureReading | None, width: int | None, tokens: int | None) -> None:
    """Raise `InputError` where the tokens of encoded pictures are not those that a network reads.

    Args:
        width: channels of the tokens that are given; 0 where there are none, None where that is not known.
        tokens: of all pictures together; None where that is not known.
    """
    wanted = reading.token_width if reading else 0
    if width == 0 and wanted:
        raise InputError(
            "the model reads its picture by an image encoder too",
            "link `embedding` of ImageToVideoGuide to EncodeImage, with the image encoder of the model's own folder",
            "missing-input",
        )
    if width and not wanted:
        raise InputError(
            "the model reads no picture by an image encoder", "leave `embedding` out", "unsupported-by-model"
        )
    if width and width != wanted:
        raise InputError(
            f"the image encoder makes tokens of {width} channels, and the model reads {wanted}",
            "load the image encoder of the model's own folder",
            "wrong-channels",
        )
    if width and reading and tokens and reading.tokens not in (0, tokens):
        raise InputError(
            f"the encoded pictures have {tokens} tokens, and the model reads {reading.tokens}: those of the first and "
            "of the last picture",
            "encode both pictures with one EncodeImage",
            "wrong-channels",
        )
