"""The faster backward pass gives torch's gradients."""

import torch
from torch import nn

from weft.nodes.builtin.training.group_norm import faster_group_norm


def test_gradients_are_those_of_torch() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 16)
    nn.init.normal_(norm.weight)
    pictures, weights = torch.randn(3, 16, 12, 12, requires_grad=True), torch.randn(3, 16, 12, 12)
    expected = torch.autograd.grad((norm(pictures) * weights).sum(), [pictures, norm.weight, norm.bias])
    faster_group_norm(norm)
    actual = torch.autograd.grad((norm(pictures) * weights).sum(), [pictures, norm.weight, norm.bias])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)
