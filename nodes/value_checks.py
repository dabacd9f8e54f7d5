"""What a tensor of a value must be, for values that node libraries make. Imports torch only where there are tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Limits, NodeProblem, listed

if TYPE_CHECKING:
    from torch import Tensor


NOT_FINITE = "look for an overflow, a division by 0 or the root of a negative number"


def check_tensor(
    what: str, found: Any, *shapes: Sequence[str | int], not_finite: str = NOT_FINITE, may_be_empty: bool = False
) -> None:
    """Raise `InputError` unless `found` is a float32 tensor on the CPU, finite, not empty, and of one of the shapes.

    Args:
        what: as a message names it: `the pixels of an Image`.
        shapes: each a dimension by number, or by name where any size will do: `("batch", "height", "width", 3)`.
        not_finite: the hint where it is not finite.
        may_be_empty: whether it may have no elements.
    """
    import torch

    if not isinstance(found, torch.Tensor):
        raise _wrong(f"{what} are of type {type(found).__name__}, expected a tensor", "make one: torch.from_numpy(...)")
    if found.layout != torch.strided:
        raise _wrong(f"{what} are a sparse tensor, expected a dense one", "convert them: .to_dense()")
    if found.dtype != torch.float32:
        dtype = str(found.dtype).removeprefix("torch.")
        raise _wrong(f"{what} are {dtype}, expected float32", "convert them: .float(), with the range that they have")
    if found.device.type != "cpu" or found.requires_grad:
        fault = "have gradients" if found.requires_grad else f"are on {found.device}, expected on the CPU"
        raise _wrong(f"{what} {fault}", "use .detach().cpu()")
    if not any(_fits(found, shape) for shape in shapes) or not (found.numel() or may_be_empty):
        wanted = " or ".join(f"[{', '.join(map(str, shape))}]" for shape in shapes)
        shown = f"[{', '.join(map(str, found.shape))}]"
        raise _wrong(f"{what} have the shape {shown}, expected {wanted}", "permute, stack or slice them")
    if found.numel():
        check_finite(what, found, not_finite)


def check_finite(what: str, found: Tensor, hint: str = NOT_FINITE) -> None:
    """Raise `InputError` where a tensor has elements that are no finite numbers."""
    low, high = found.aminmax()
    if not (low.isfinite() and high.isfinite()):
        wrong = int((~found.isfinite()).sum())
        raise InputError(f"{what} are not finite: {wrong:,} of {found.numel():,} numbers", hint, "not-finite")


def check_size(what: str, **sizes: int) -> None:
    """Raise `InputError` unless each size is a whole number above 0."""
    if wrong := [f"{name} {size!r}" for name, size in sizes.items() if type(size) is not int or size < 1]:
        raise _wrong(f"{what} has {listed(wrong)}, expected whole numbers above 0", "give its size in pixels")


def check_mask_size(coverage: Tensor, width: int, height: int, batch_size: int) -> None:
    """Raise `InputError` unless a mask `[batch, height, width]` is of a picture's size, one for all items or for each.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        batch_size: how many pictures there are.
    """
    batch, *found = coverage.shape
    if found != [height, width]:
        raise InputError(
            f"the mask has {found[1]} x {found[0]} pixels, the picture {width} x {height}",
            "give a mask of the picture's size",
            "size-mismatch",
        )
    if batch not in (1, batch_size):
        raise InputError(
            f"there are {batch} masks for {batch_size} pictures", "give one for all, or one for each", "batch-mismatch"
        )


def _fits(found: Tensor, shape: Sequence[str | int]) -> bool:
    return found.ndim == len(shape) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(found.shape, shape, strict=True)
    )


def _wrong(message: str, hint: str) -> InputError:
    return InputError(message, hint, "wrong-tensor")


def empty_list(what: str) -> InputError:
    """The error where a list has no element.

    Args:
        what: it has none of: `picture`.
    """
    return InputError(f"there is no {what} in the list", "give one or more", "empty-list")


def has_some(input: str, what: str) -> Callable[[Mapping[str, Any], Limits], Iterator[NodeProblem]]:
    """The check of a node type that one of its lists has an element.

    Args:
        what: it is a list of: `picture`.
    """

    def check(inputs: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
        if inputs.get(input) == []:
            yield NodeProblem.of(empty_list(what), input)

    return check


def pictures_for_clips(pixels: Tensor, width: int, height: int, clips: int) -> Tensor:
    """Pictures without alpha that clips begin with `[picture, height, width, 3]`: one for all clips, or one for each.

    Raises:
        InputError: where they are not as large as the clips, or neither one nor as many.
    """
    batch, found_height, found_width, _ = pixels.shape
    if (found_width, found_height) != (width, height):
        raise InputError(
            f"the picture is {found_width} x {found_height}, and the clip is {width} x {height}",
            f"put ScaleImage before it, for {width} x {height}",
            "size-mismatch",
        )
    if batch not in (1, clips):
        raise InputError(
            f"there are {batch} pictures for {clips} clips", "give one for all, or one for each", "batch-mismatch"
        )
    return pixels[..., :3]
