"""Convolutions and their maximum over positions as one matrix product: what the character CNN runs on CPU.

All windows of all words are rows of one matrix, filters of all widths (the narrower ones padded by zeros) the columns
of another. Of the sums only the maxima are kept, and the backward pass reaches only the windows that gave them.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .matrix_products import autocast_type, has_hooks, has_onednn_kernels, matrix_product


def can_run(convolutions: nn.ModuleList, embedded: torch.Tensor, num_characters: int) -> bool:
    """Whether [`convolve`] can take the place of the convolutions: on CPU in fp32, for words that end early enough for
    the windows of the narrowest filter to be as good as those of the widest."""
    filters = convolutions[0].weight[0]
    return (
        has_onednn_kernels(filters)
        and embedded.dtype == torch.float32
        and embedded.shape[-1] < num_characters
        and not torch.compiler.is_compiling()
        and not any(map(has_hooks, convolutions))
    )


def convolve(embedded: torch.Tensor, convolutions: Iterable[nn.Conv1d]) -> torch.Tensor:
    """The largest value of each filter: embedded characters `(words, d, positions)` -> `(words, F)`.

    Only as many windows are seen as the widest filter has.
    """
    convolutions = list(convolutions)
    widest = max(convolution.kernel_size[0] for convolution in convolutions)
    filters = [
        nn.functional.pad(convolution.weight, (0, widest - convolution.kernel_size[0])) for convolution in convolutions
    ]
    biases = torch.cat([convolution.bias for convolution in convolutions])
    maxima = WindowMaxima.apply(embedded, torch.cat(filters))
    return (maxima + biases).to(maxima.dtype)


class WindowMaxima(torch.autograd.Function):
    """`(words, d, positions)`, `(F, d, width)` -> `(words, F)`: the largest product of each filter with a window."""

    @staticmethod
    def forward(ctx, embedded, filters):
        width = filters.shape[-1]
        dtype = autocast_type("cpu", filters.dtype)
        filters = filters.to(dtype)
        # (words, windows, d * width)
        windows = embedded.to(dtype).unfold(2, width, 1).transpose(1, 2).flatten(2)
        sums = matrix_product(windows.flatten(0, 1), filters.flatten(1).t()).unflatten(0, windows.shape[:2])
        maxima = sums.amax(1)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(windows, filters, sums, maxima)
        return maxima

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        windows, filters, sums, maxima = ctx.saved_tensors
        words, num_windows, _ = windows.shape
        num_filters, size, width = filters.shape
        # Equal windows share the gradient.
        grad_sums = torch.eq(sums, maxima[:, None], out=torch.empty_like(sums))
        grad_sums.mul_((grad / grad_sums.sum(1))[:, None])
        grad_sums = grad_sums.flatten(0, 1)
        grad_embedded = grad_filters = None
        if ctx.needs_input_grad[0]:
            grad_windows = matrix_product(grad_sums, filters.flatten(1)).view(words, num_windows, size, width)
            grad_embedded = grad_windows.new_zeros(words, num_windows + width - 1, size, dtype=torch.float32)
            for place in range(width):
                grad_embedded[:, place : place + num_windows] += grad_windows[..., place]
            grad_embedded = grad_embedded.transpose(1, 2)
        if ctx.needs_input_grad[1]:
            grad_filters = matrix_product(windows.flatten(0, 1).t(), grad_sums).t().reshape(filters.shape)
        return grad_embedded, grad_filters
