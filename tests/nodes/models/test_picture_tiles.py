"""Pictures in tiles: every pixel counts once, and seams do not show."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from weft.nodes.models.picture_tiles import Tiles, cuts

SIDES = st.tuples(st.integers(1, 300), st.integers(8, 64)).flatmap(
    lambda sizes: st.tuples(*map(st.just, sizes), st.integers(0, (sizes[1] - 1) // 2))
)


@given(SIDES, st.integers(1, 4))
def test_tiles_cover_a_side_and_their_weights_add_up_to_one(side: tuple[int, int, int], scale: int) -> None:
    size, tile, overlap = side
    total = torch.zeros(size * scale)
    for cut in cuts(size, tile, overlap):
        weights = cut.weights(scale)
        assert cut.start >= 0 and cut.length == min(size, tile) and float(weights.min()) >= 0
        total[cut.taken(scale)] += weights
    torch.testing.assert_close(total, torch.ones(size * scale))


@given(SIDES)
def test_neighbours_share_at_least_the_overlap(side: tuple[int, int, int]) -> None:
    size, tile, overlap = side
    found = cuts(size, tile, overlap)
    assert all(one.before >= overlap for one in found[1:]) and found[0].before == found[-1].after == 0
    assert [one.after for one in found[:-1]] == [one.before for one in found[1:]]


def smooth(height: int, width: int) -> Tensor:
    """A picture `[1, 3, height, width]` of slow waves."""
    down = torch.linspace(0, 2, height)[:, None].expand(height, width)
    across = torch.linspace(0, 3, width)[None].expand(height, width)
    return torch.stack([down.sin() ** 2, across.cos() ** 2, (down + across).sin() ** 2])[None]


def test_seams_of_a_network_that_sees_its_edges_are_below_a_level() -> None:
    torch.manual_seed(1)
    kernels = [torch.rand(3, 3, 5, 5) for _ in range(3)]
    kernels = [kernel / kernel.sum((1, 2, 3), keepdim=True) for kernel in kernels]

    def enlarge(part: Tensor) -> Tensor:
        for kernel in kernels:  # zeros around each: an edge darkens six pixels
            part = functional.conv2d(part, kernel, padding=2)
        return functional.interpolate(part, scale_factor=2)

    picture = smooth(128, 192)
    whole, tiled = enlarge(picture), Tiles(128, 192, 64, 28).joined(picture, 2, enlarge)
    cut = Tiles(128, 192, 64, 0).joined(picture, 2, enlarge)
    assert (whole - tiled).abs().max() < 1 / 255
    assert (whole - cut).abs().max() > 50 / 255


def test_a_picture_within_a_tile_is_made_whole() -> None:
    picture = smooth(20, 30)
    sizes = []

    def enlarge(part: Tensor) -> Tensor:
        sizes.append(tuple(part.shape))
        return part.clone()

    assert torch.equal(Tiles(20, 30, 32, 8).joined(picture, 1, enlarge), picture)
    assert sizes == [(1, 3, 20, 30)]
