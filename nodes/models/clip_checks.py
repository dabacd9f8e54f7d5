"""Whether latents of clips and of pictures fit a model, for checks and for runs. Imports no torch."""

from __future__ import annotations

from weft.engine import InputError


def check_clip(makes_clips: bool, longest: int, is_clip: bool, frames: int, step: int = 1) -> None:
    """Raise `InputError` where latents of pictures meet a model that makes clips, and the other way round.

    Args:
        longest: the most frames of a clip that the model takes; 0 where any number does.
        frames: of each clip.
        step: they are one more than a multiple of it.
    """
    if makes_clips and not is_clip:
        raise InputError(
            "the model makes clips, and the latent is one of pictures",
            "link `latent` to EmptyVideoLatent, or to VAEEncodeVideo",
            "wrong-latent",
        )
    if is_clip and not makes_clips:
        raise InputError(
            "the model makes pictures, and the latent is one of clips",
            "put ApplyMotionAdapter after the model, or link `latent` to EmptyLatent",
            "wrong-latent",
        )
    if (frames - 1) % step:
        nearest = frames - (frames - 1) % step
        message = f"the clip has {frames} frames, expected one more than a multiple of {step}"
        raise InputError(message, f"give {nearest} or {nearest + step}", "wrong-size")
    if longest and frames > longest:
        raise InputError(
            f"the clip has {frames} frames, and the motion adapter was made for {longest} at most",
            f"make it of {longest} frames, or less",
            "wrong-size",
        )
