"""int8 weights for inference on CPU: smaller and faster at a small loss of precision."""

import copy
import warnings
from itertools import chain

import torch
from torch import nn

from .lstm_kernels import Latest, fingerprint
from .matrix_products import HAS_AMX
from .modeling_elmo import IMPORT_FIRST
from .projected_lstm import ElmoLSTMLayer
from .token_encoder import ElmoHighway, ElmoTokenEncoder

# From so many rows on oneDNN's kernels of AMX, where the processor has it, are faster than the usual ones (up to three
# times); below, the other way round.
ROWS_FOR_AMX = 16


class Int8Product:
    """PyTorch's product with int8 weights, a scale for each output; the input's scale is found at each call."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        weight = weight.detach().t().float()
        scales = (weight.abs().amax(1) / 127).clamp(min=1e-12)
        zeros = torch.zeros_like(scales, dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
            quantized = torch.quantize_per_channel(weight.contiguous(), scales.double(), zeros, 0, torch.qint8)
        bias = None if bias is None else bias.detach().float()
        self.for_few_rows = self.for_many_rows = torch.ops.quantized.linear_prepack(quantized, bias)
        if has_amx_kernels():
            self.for_many_rows = prepack_for_amx(quantized, bias)
        # Without these instructions sums of full 8-bit products could overflow.
        self.reduce_range = not torch.cpu._is_vnni_supported()

    def __call__(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        weight = self.for_few_rows if x.shape[0] < ROWS_FOR_AMX else self.for_many_rows
        product = torch.ops.quantized.linear_dynamic(x.float().contiguous(), weight, self.reduce_range)
        return product if added is None else product.add_(added)


def has_amx_kernels() -> bool:
    return HAS_AMX and "onednn" in torch.backends.quantized.supported_engines


def prepack_for_amx(quantized: torch.Tensor, bias: torch.Tensor | None) -> torch.ScriptObject:
    """The weight laid out for oneDNN, whose kernels alone know the tiles of AMX."""
    usual = torch.backends.quantized.engine
    torch.backends.quantized.engine = "onednn"
    try:
        return torch.ops.quantized.linear_prepack(quantized, bias)
    finally:
        torch.backends.quantized.engine = usual


class Int8Linear(nn.Module):
    """Stands in for a linear layer, whose parameters it keeps."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._latest = Latest()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        key = tuple(map(fingerprint, self.parameters()))
        product = self._latest.get(key, lambda: Int8Product(self.weight.t(), self.bias))
        return product(x).to(x.dtype)


def prepare_int8(weight: torch.Tensor | None, bias: torch.Tensor | None = None) -> Int8Product | None:
    return None if weight is None else Int8Product(weight, bias)


def quantize(model: nn.Module) -> nn.Module:
    """A twin of `model` (an [`ElmoModel`] or a head over one) whose LSTM, highway and token projection layers
    multiply by int8 weights, on CPU.

    For inference: nothing of the twin trains. It shares the given model's memory but for the int8 weights, which are
    a quarter of the size of those in fp32; they are made at the first call, and again when the weights have changed.
    Vectors stay close to those in fp32 but are not equal, and depend on the batch in their last digits, since each
    product scales its input as a whole.

    Raises:
        TypeError: if the model is no ELMo.
        ValueError: if the model is not on CPU, or not in fp32.
    """
    tensors = list(chain(model.parameters(), model.buffers()))
    if any(tensor.device.type != "cpu" for tensor in tensors):
        raise ValueError("quantize needs a model on CPU: call model.cpu() first")
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        raise ValueError("quantize needs a model in float32: call model.float() first")
    if not any(isinstance(module, ElmoTokenEncoder) for module in model.modules()):
        raise TypeError(f"quantize takes an ElmoModel or a head over one, not {type(model).__name__}{IMPORT_FIRST}")
    shared = {id(tensor): tensor for tensor in model.buffers()}
    shared |= {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in model.parameters()}
    twin = copy.deepcopy(model, shared).eval()
    for module in list(twin.modules()):
        if isinstance(module, ElmoLSTMLayer):
            module.prepare_weights_with(prepare_int8)
        elif isinstance(module, ElmoHighway):
            module.carry, module.transform = Int8Linear(module.carry), Int8Linear(module.transform)
        elif isinstance(module, ElmoTokenEncoder) and module.projection is not None:
            module.projection = Int8Linear(module.projection)
    return twin
