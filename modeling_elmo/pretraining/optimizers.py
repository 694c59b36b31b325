"""Optimizers for models whose softmax (and word embedding) have sparse gradients, and what happens to gradients before
their step: summed over processes, bounded in norm. All of it costs the same whatever the vocabulary."""

from collections.abc import Iterable
from functools import partial

import torch
import torch.distributed as dist
from torch import nn

from .arguments import TrainingArguments


def use_sparse_gradients(model: nn.Module) -> list[nn.Parameter]:
    """Turns on sparse gradients wherever a step touches few rows of a matrix, and returns these parameters."""
    torch.sparse.check_sparse_tensor_invariants.disable()  # the optimizers' default, but said, or torch warns
    sparse = []
    config = model.config
    words = model.elmo.token_encoder.word_embeddings
    if config.samples_softmax:
        model.softmax.sparse = True
        sparse += [model.softmax.weight, model.softmax.bias]
    if words is not None and (config.samples_softmax or not config.tie_word_embeddings):
        words.sparse = True
        sparse.append(words.weight)
    return [p for i, p in enumerate(sparse) if p.requires_grad and all(p is not other for other in sparse[:i])]


def make_optimizers(model: nn.Module, arguments: TrainingArguments) -> list[torch.optim.Optimizer]:
    """The optimizer of most parameters and, where some have sparse gradients, a second one for these; beside AdamW
    that is the lazy Adam, which moves only the rows that a step has seen."""
    sparse = use_sparse_gradients(model)
    dense = [p for p in model.parameters() if p.requires_grad and all(p is not other for other in sparse)]
    rate = arguments.learning_rate
    # One pass over memory instead of several; PyTorch's default on a GPU is as good, and Adagrad has no other there.
    fused = True if all(p.device.type == "cpu" for p in dense) else None
    if arguments.optimizer == "adamw":
        betas = (0.9, arguments.beta2)
        groups = [
            {"params": [p for p in dense if p.dim() > 1], "weight_decay": arguments.weight_decay},
            {"params": [p for p in dense if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizers = [torch.optim.AdamW([g for g in groups if g["params"]], rate, betas, fused=fused)] if dense else []
        return [*optimizers, torch.optim.SparseAdam(sparse, rate, betas)] if sparse else optimizers
    kind = torch.optim.SGD
    if arguments.optimizer == "adagrad":
        kind = partial(torch.optim.Adagrad, initial_accumulator_value=arguments.accumulator)
    return [kind(part, rate, fused=fast) for part, fast in ((dense, fused), (sparse, None)) if part]


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter], device: torch.device):
    """Sums gradients over the processes, in place.

    Dense ones go as one buffer. Of sparse ones every process gets all rows: NCCL cannot reduce sparse tensors, and the
    rows that one step touches are few. A parameter without a gradient, as of a cluster of the adaptive softmax that no
    target is in, gets zeros: in another process it may have one.
    """
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    dense = [p.grad for p in parameters if not p.grad.is_sparse]
    if dense:
        flat = torch.cat([gradient.flatten() for gradient in dense])
        dist.all_reduce(flat)
        for gradient, part in zip(dense, flat.split([g.numel() for g in dense]), strict=True):
            gradient.copy_(part.view_as(gradient))
    for parameter in parameters:
        if parameter.grad.is_sparse:
            parameter.grad = _gather_rows(parameter.grad, device)


def _gather_rows(gradient: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The sum of coalesced sparse gradients over the processes, coalesced."""
    world = dist.get_world_size()
    rows, values = gradient.indices()[0], gradient.values()
    count = torch.tensor([rows.shape[0]], device=device)
    counts = [torch.zeros_like(count) for _ in range(world)]
    dist.all_gather(counts, count)
    counts = [int(each) for each in counts]
    longest = max(counts)
    padded_rows = torch.cat([rows, rows.new_zeros(longest - rows.shape[0])])
    padded_values = torch.cat([values, values.new_zeros(longest - rows.shape[0], *values.shape[1:])])
    all_rows = [torch.empty_like(padded_rows) for _ in range(world)]
    all_values = [torch.empty_like(padded_values) for _ in range(world)]
    dist.all_gather(all_rows, padded_rows)
    dist.all_gather(all_values, padded_values)
    rows = torch.cat([part[:count] for part, count in zip(all_rows, counts, strict=True)])
    values = torch.cat([part[:count] for part, count in zip(all_values, counts, strict=True)])
    return torch.sparse_coo_tensor(rows[None], values, gradient.shape, check_invariants=False).coalesce()


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float | None) -> torch.Tensor:
    """Scales all gradients so that their common norm is at most `max_norm`; returns the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    values = [gradient.values() if gradient.is_sparse else gradient for gradient in gradients]
    norm = torch.nn.utils.get_total_norm(values)
    if max_norm is not None:
        share = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(values, share)
    return norm
