"""ImageGrid: every picture stands where it should, whole, and labels add a strip."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from tests.refusals import refused
from weft.engine import Engine, Limits
from weft.nodes import Image, ImageGrid
from weft.nodes.library.grid import GAP, LABEL_HEIGHT


def test_pictures_stand_in_rows() -> None:
    batch = torch.rand(3, 8, 16, 3)
    grid = ImageGrid([Image(batch[:2]), Image(batch[2:])], columns=2).pixels[0]
    assert grid.shape == (16 + GAP, 32 + GAP, 3)
    assert torch.equal(grid[:8, 16 + GAP :], batch[1]) and torch.equal(grid[8 + GAP :, :16], batch[2])
    assert (grid[8 + GAP :, 16 + GAP :] == 1).all()


def test_labels_stand_above() -> None:
    pixels = torch.zeros(1, 8, 40, 3)
    grid = ImageGrid([Image(pixels), Image(pixels)], ["one", "a label that is far too long"]).pixels[0]
    assert grid.shape[0] == 8 + LABEL_HEIGHT
    assert all((grid[:LABEL_HEIGHT, left : left + 40] < 0.5).any() for left in (0, 40 + GAP))


def test_transparency_is_laid_over_white() -> None:
    pixels = torch.zeros(1, 4, 4, 4)
    assert (ImageGrid([Image(pixels)]).pixels == 1).all()


def test_a_grid_beyond_the_limit_is_refused_before_it_is_made() -> None:
    image = Image(torch.zeros(1, 80, 4096, 3))
    with refused("too-many-pixels"):
        ImageGrid([image], columns=1000)
    limits = Limits(max_pixels=(2 * 80 + GAP) * 4096)
    with Engine(store=None, device="cpu", limits=limits) as engine:
        for count in (2, 3):
            with nullcontext() if count == 2 else refused("too-many-pixels"):
                engine.run_now(ImageGrid, {"images": [image] * count, "columns": 1})  # type: ignore[arg-type]


def test_pictures_that_do_not_fit_are_refused() -> None:
    with refused("size-mismatch", "8 x 4", "4 x 4"):
        ImageGrid([Image(torch.zeros(1, 4, 8, 3)), Image(torch.zeros(1, 4, 4, 3))])
    with refused("batch-mismatch", 2, 1):
        ImageGrid([Image(torch.zeros(1, 4, 8, 3))], ["a", "b"])
    with refused("empty-list"):
        ImageGrid([])


def test_lines_of_a_label_are_drawn_as_one() -> None:
    picture = Image(torch.zeros(1, 4, 90, 3))
    one, two = (ImageGrid([picture], labels=[label]).pixels for label in ("by the lake", "by\nthe\tlake\n"))
    assert torch.equal(one, two)
