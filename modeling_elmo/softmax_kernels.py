"""The sum over all words in a softmax's denominator, with a backward pass that keeps one matrix: the probabilities.

Written out in PyTorch's operations, logits, their exponentials and both gradients each take a pass over memory and a
matrix of their own, which costs more than the products where these run in bfloat16.
"""

import torch
from torch.autograd.function import once_differentiable

from .matrix_products import autocast_type, usable

# Logits worked on at once on CPU (1 MB in fp32): a core's cache holds them from the first operation to the last.
LOGITS_IN_CACHE = 2**18


class LogSumExp(torch.autograd.Function):
    """`log sum exp (h W^T + b)` over the words, for each row, and the logit of one word of the row.

    `apply(hidden (n, P), weight (V, P), bias (V,), words (n,), left_out (n,) or None)` -> `(n,)`, `(n,)`, in fp32 at
    least. Where `left_out` is true, the row's word is not part of its sum.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, words, left_out):
        device = hidden.device.type
        dtype = autocast_type(device, hidden.dtype)
        full = torch.promote_types(dtype, torch.float32)
        weight = usable(weight.to(dtype))
        hidden = hidden.to(weight.dtype)
        with torch.autocast(device, enabled=False):
            probabilities = hidden @ weight.t()
            num_rows, num_words = probabilities.shape
            sums, chosen = (torch.empty(num_rows, 1, device=device, dtype=full) for _ in range(2))
            removed = sums.new_zeros(num_rows, 1)
            if left_out is not None:
                removed.masked_fill_(left_out[:, None], -torch.inf)
            size = max(1, num_rows if device != "cpu" else LOGITS_IN_CACHE // num_words)
            tensors = (probabilities, words[:, None], removed, sums, chosen)
            for part, word, minus, log_sum, own in zip(*(tensor.split(size) for tensor in tensors), strict=True):
                logits = part.to(full).add_(bias)
                torch.gather(logits, 1, word, out=own)
                logits.scatter_add_(1, word, minus)
                # A row without any word left has the sum 0, and probabilities of 0.
                greatest = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(full).min)
                total = logits.sub_(greatest).exp_().sum(1, keepdim=True)
                torch.add(total.log(), greatest, out=log_sum)
                torch.div(logits, total.clamp_(min=torch.finfo(full).tiny), out=part)
        ctx.save_for_backward(probabilities, hidden, weight, words)
        return sums[:, 0], chosen[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sums, grad_chosen):
        probabilities, hidden, weight, words = ctx.saved_tensors
        dtype, full = hidden.dtype, grad_sums.dtype
        grad_sums, grad_chosen = grad_sums[:, None], grad_chosen[:, None]
        grad_hidden = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_hidden = (probabilities @ weight).to(full).mul_(grad_sums).addcmul_(weight[words], grad_chosen)
        if ctx.needs_input_grad[1]:
            grad_weight = (probabilities.t() @ (hidden * grad_sums).to(dtype)).to(full)
            grad_weight.index_add_(0, words, hidden * grad_chosen)
        if ctx.needs_input_grad[2]:
            grad_bias = (probabilities.t() @ grad_sums.to(dtype)).to(full).index_add_(0, words, grad_chosen)[:, 0]
        return grad_hidden, grad_weight, grad_bias, None, None
