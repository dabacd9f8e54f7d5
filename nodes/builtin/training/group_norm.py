"""Group norm with a backward pass that is several times faster than torch's own on the CPU with channels last.

Torch 2.13 spends two fifths of an autoencoder's training step in `native_group_norm_backward`. Here the sums over
pixels are matrix products and the rest is three elementwise passes. Forward pass and parameters are torch's.
"""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["faster_group_norm"]


def faster_group_norm(module: nn.Module) -> None:
    """Make every GroupNorm inside `module` use the faster backward pass; its state dict stays the same."""
    for child in module.modules():
        if isinstance(child, nn.GroupNorm):
            child.__class__ = _FasterGroupNorm


class _FasterGroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not torch.is_grad_enabled() or input.dim() != 4:
            return super().forward(input)
        normed: Tensor = _Function.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, self.num_groups, self.eps
        )
        return normed


class _Function(torch.autograd.Function):
    """y = (x - mean) / std * weight + bias, mean and std over each group of channels of `[batch, channel, h, w]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        batch, channels, height, width = x.shape
        typed = weight.to(x.dtype), bias.to(x.dtype)
        y, mean, rstd = torch.native_group_norm(x, *typed, batch, channels, height * width, groups, eps)
        ctx.save_for_backward(x, weight, mean.float(), rstd.float())
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rstd = ctx.saved_tensors
        (dy,) = gradients
        _, channels, height, width = x.shape
        groups = mean.shape[1]
        dy = dy.contiguous(memory_format=torch.channels_last)
        sum_dy, sum_dyx = _pixel_sum(dy), _pixel_sum(dy * x)
        mean, rstd = (value.repeat_interleave(channels // groups, 1) for value in (mean, rstd))
        count = height * width * channels // groups
        group_dy, group_dyx = (_group_sum(total * weight, groups) for total in (sum_dy, sum_dyx))
        on_x = -(rstd**3) * (group_dyx - mean * group_dy) / count
        shift = -rstd * group_dy / count - on_x * mean
        dx = torch.addcmul(_spread(shift, x), dy, _spread(rstd * weight, x)).addcmul_(x, _spread(on_x, x))
        return dx, ((sum_dyx - mean * sum_dy) * rstd).sum(0), sum_dy.sum(0), None, None


def _pixel_sum(x: Tensor) -> Tensor:
    """The sum over pixels, float32 `[batch, channel]`, as a matrix product with ones."""
    batch, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    rows = min(height, 32)
    ones = x.new_ones(batch * rows, 1, height * width // rows)
    return torch.bmm(ones, pixels.reshape(batch * rows, -1, channels)).float().view(batch, rows, channels).sum(1)


def _group_sum(totals: Tensor, groups: int) -> Tensor:
    """Sums over each group of channels, given back to every channel of the group, `[batch, channel]`."""
    batch, channels = totals.shape
    return totals.view(batch, groups, -1).sum(2).repeat_interleave(channels // groups, 1)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values[:, :, None, None].to(like.dtype)
