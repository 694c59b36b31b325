"""Matrix products with weights that serve many times: a recurrence multiplies by the same matrix at each step.

On CPU, oneDNN's kernels over weights laid out for them beforehand run small batches up to twice as fast as the BLAS
behind `torch.addmm`. Everywhere else, and in other types than fp32, these are PyTorch's own products.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.autograd.function import once_differentiable

# x (..., rows, K) and, optionally, what is added instead of the bias (..., rows, N) -> x W + added (..., rows, N)
Product = Callable[..., torch.Tensor]

# oneDNN's kernels of AVX-512 take longer for fewer rows than for four.
FEWEST_ROWS = 4 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1


def has_onednn_kernels(weight: torch.Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.dim() == 2
        and torch.backends.mkldnn.is_available()
    )


def has_kernels_of(dtype: torch.dtype) -> bool:
    """Whether oneDNN has kernels of a short type, bfloat16 or float16, for this machine's processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    ops = torch.ops.mkldnn
    return ops._is_mkldnn_bf16_supported() if dtype == torch.bfloat16 else ops._is_mkldnn_fp16_supported()


def has_hooks(layer: nn.Module) -> bool:
    """Whether something waits for the layer to be called, which a faster way around the call would pass by."""
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))


def matrix_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x W + b` for a weight used once, of many rows: `(..., rows, K)`, `(..., K, N)`, `(..., N)` -> `(..., rows, N)`.

    No gradient flows through it.
    """
    if has_onednn_kernels(weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight.t(), bias, "none", [], "")
    product = torch.matmul(x, weight)
    return product if bias is None else product.add_(bias.unsqueeze(-2))


def linear(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """`layer(x)` for `(rows, K)`, by the faster kernels where it is linear and they can run; gradients flow."""
    if not isinstance(layer, nn.Linear) or has_hooks(layer):
        return layer(x)
    by_onednn = has_onednn_kernels(layer.weight) and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not by_onednn or torch.compiler.is_compiling():
        return layer(x)
    return OneDNNLinear.apply(x, layer.weight, layer.bias)


class OneDNNLinear(torch.autograd.Function):
    """`x W^T + b` with oneDNN's products forward and backward."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return matrix_product(x, weight.t(), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            matrix_product(grad, weight) if needs_x else None,
            matrix_product(grad.t(), x) if needs_weight else None,
            grad.sum(0) if needs_bias else None,
        )


def prepare(weight: torch.Tensor | None, bias: torch.Tensor | None = None) -> Product | None:
    """The product with `weight` `(K, N)` or, a matrix for each direction, `(directions, K, N)`, plus a bias."""
    if weight is None:
        return None
    return (PackedProduct if has_onednn_kernels(weight) else PlainProduct)(weight, bias)


class PlainProduct:
    """PyTorch's matrix product, for any device and type."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach().unsqueeze(-2)

    def __call__(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        added = self.bias if added is None else added
        if added is None:
            return torch.matmul(x, self.weight)
        return (torch.addmm if x.dim() == 2 else torch.baddbmm)(added, x, self.weight)


class PackedProduct:
    """oneDNN's product with a packed copy of the weight."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().t().contiguous())
        self.bias = None if bias is None else bias.detach()
        self.plain = PlainProduct(weight, bias)

    def __call__(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        rows = x.shape[0]
        if rows == 1 and torch.get_num_threads() == 1:
            return self.plain(x, added)  # a vector's product in BLAS reads weights faster than one thread of oneDNN
        if rows < FEWEST_ROWS:
            product = self(nn.functional.pad(x, (0, 0, 0, FEWEST_ROWS - rows)))[:rows]
            return product if added is None else product.add_(added)
        if added is None:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, added, self.weight, None, "add")
