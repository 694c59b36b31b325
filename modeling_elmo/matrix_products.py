"""Matrix products with weights that serve many times: a recurrence multiplies by the same matrix at each step.

On CPU, oneDNN's kernels over weights laid out for them beforehand run small batches up to twice as fast as the BLAS
behind `torch.addmm`, unless this is MKL on an Intel processor whose cache holds the weights. Weights in bfloat16 or
float16 multiply in their type there, but all else is fp32, in which PyTorch's arithmetic is faster. On other devices
these are PyTorch's own products.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.autograd.function import once_differentiable

# x (..., rows, K) and, optionally, what is added instead of the bias (..., rows, N) -> x W + added (..., rows, N)
Product = Callable[..., torch.Tensor]

# oneDNN's kernels of AVX-512 take longer for fewer rows than for four.
FEWEST_ROWS = 4 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1

# Intel's server processors from Sapphire Rapids on: they alone have AMX.
HAS_AMX = torch.cpu._is_amx_tile_supported()

# MKL is made for Intel's processors. There (measured where there is AMX) its products with weights of at most so many
# values, and its tanh, take less time than what stands in for them elsewhere.
MKL_IS_FAST = HAS_AMX and torch.backends.mkl.is_available()
MOST_VALUES_FOR_MKL = 2**20

SHORT_TYPES = (torch.bfloat16, torch.float16)


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


def usable(weight: torch.Tensor) -> torch.Tensor:
    """The weight, in fp32 if its own type is one in which the processor is slow."""
    slow = weight.device.type == "cpu" and weight.dtype in SHORT_TYPES and not has_kernels_of(weight.dtype)
    return weight.float() if slow else weight


def has_hooks(layer: nn.Module) -> bool:
    """Whether something waits for the layer to be called, which a faster way around the call would pass by."""
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))


def matrix_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x W + b` for a weight used once, of many rows: `(..., rows, K)`, `(..., K, N)`, `(..., N)` -> `(..., rows, N)`.

    Where the weight is of a shorter type than `x`, it is a product in that type, and a sum in that of `x`. No gradient
    flows through it.
    """
    weight = usable(weight)
    rounded = x.to(weight.dtype)
    if has_onednn_kernels(weight):
        bias = None if bias is None else bias.to(weight.dtype)
        return torch.ops.mkldnn._linear_pointwise(rounded, weight.t(), bias, "none", [], "").to(x.dtype)
    product = torch.matmul(rounded, weight).to(x.dtype)
    return product if bias is None else product.add_(bias.unsqueeze(-2))


def linear(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """`layer(x)` for `(rows, K)`, by the faster kernels where it is linear and they can run; gradients flow."""
    if not isinstance(layer, nn.Linear) or has_hooks(layer) or torch.compiler.is_compiling():
        return layer(x)
    return Linear.apply(x, layer.weight, layer.bias) if has_onednn_kernels(layer.weight) else layer(x)


def autocast_type(device: str, otherwise: torch.dtype) -> torch.dtype:
    """The type of products on the device."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else otherwise


def arithmetic_type(device: str, product_type: torch.dtype) -> torch.dtype:
    """The type of what is computed between products: PyTorch's arithmetic in short types is slow on CPU."""
    return torch.promote_types(product_type, torch.float32) if device == "cpu" else product_type


class Linear(torch.autograd.Function):
    """`x W^T + b` on CPU, with oneDNN's products forward and backward, also under autocast.

    The weight's gradient has the weight's layout. That of PyTorch's own layer is transposed, and under autocast, where
    it changes its type too, this takes longer than the product.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        dtype = autocast_type("cpu", x.dtype)
        ctx.weight_type = weight.dtype
        x, weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            return matrix_product(x, weight.t(), None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            matrix_product(grad, weight) if needs_x else None,
            matrix_product(grad.t(), x).to(ctx.weight_type) if needs_weight else None,
            grad.sum(0, dtype=ctx.weight_type) if needs_bias else None,
        )


def prepare(weight: torch.Tensor | None, bias: torch.Tensor | None = None) -> Product | None:
    """The product with `weight` `(K, N)` or, a matrix for each direction, `(directions, K, N)`, plus a bias."""
    if weight is None:
        return None
    weight = usable(weight)
    if has_onednn_kernels(weight) and not (MKL_IS_FAST and weight.numel() <= MOST_VALUES_FOR_MKL):
        return PackedProduct(weight, bias)
    is_short = weight.device.type == "cpu" and weight.dim() == 2 and weight.dtype in SHORT_TYPES
    return (ShortProduct if is_short else PlainProduct)(weight, bias)


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
        if rows == 1 and (MKL_IS_FAST or torch.get_num_threads() == 1):
            # A vector's product in BLAS reads weights faster than one thread of oneDNN, in a fast MKL than several.
            return self.plain(x, added)
        if rows < FEWEST_ROWS:
            product = self(nn.functional.pad(x, (0, 0, 0, FEWEST_ROWS - rows)))[:rows]
            return product if added is None else product.add_(added)
        if added is None:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, added, self.weight, None, "add")


class ShortProduct:
    """oneDNN's product in bfloat16 or float16 with a packed copy of the weight; what goes in and comes out is fp32."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        self.dtype = weight.dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().t().contiguous())
        self.bias = None if bias is None else bias.detach()

    def __call__(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        product = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, None, "none", [], "").float()
        added = self.bias if added is None else added
        return product if added is None else product.add_(added)
