"""The softmax over words that both language models share: exact, sampled for training, or adaptive."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .configuration_elmo import ElmoConfig
from .softmax_kernels import LogSumExp
from .token_encoder import initialize_as

# Logits computed at once (64 MB in fp32), and kept for the backward pass at most (256 MB): beyond that they are
# computed again there. So memory is bounded whatever the vocabulary.
LOGITS_PER_CHUNK = 2**24
LOGITS_KEPT = 2**26
# Words that the adaptive softmax works on at once; most of them need the short head of the vocabulary only.
ADAPTIVE_CHUNK = 1024


class NegativeSamples(NamedTuple):
    """Words that a sampled softmax tells the targets from.

    Attributes:
        ids (`(samples,)`): distinct word ids, rising.
        num_draws (`int`): log-uniform draws that it took to find them.
    """

    ids: torch.Tensor
    num_draws: int

    def to(self, device: torch.device | str) -> "NegativeSamples":
        return NegativeSamples(self.ids.to(device, non_blocking=True), self.num_draws)


class ElmoSoftmax(nn.Linear):
    """Word scores `h W^T + b` over the vocabulary, in order of falling frequency: (..., P) -> (..., vocab_size).

    Attributes:
        sparse (`bool`): whether the sampled loss gives sparse gradients, of the rows of targets and samples only, so
            that a step costs the same whatever the vocabulary. As of `nn.Embedding`, few optimizers take them.
    """

    def __init__(self, config: ElmoConfig):
        super().__init__(config.output_size, config.vocab_size)
        self.sparse = False
        initialize_as(self, ("normal", config.output_size**-0.5))

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        """Word scores; with `targets` `-log p(target)` instead: `(n, P)`, `(n,)` -> `(n,)`."""
        if targets is None:
            return super().forward(hidden)
        log_sum, own_logit = LogSumExp.apply(hidden, self.weight, self.bias, targets, None)
        return log_sum - own_logit

    def exact_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`-log p(target)` under the full softmax: `(n, P)`, `(n,)` -> `(n,)` in nats, fp32."""
        # By a call of the module: accelerate fetches weights for one.
        return in_chunks(self, self.weight.shape[0], hidden, targets)

    def sampled_loss(self, hidden: torch.Tensor, targets: torch.Tensor, samples: NegativeSamples) -> torch.Tensor:
        """Sampled softmax (Jean et al., 2015) of the target against drawn words: as `exact_loss`.

        Logits are corrected by the logarithm of the expected counts, and a drawn word that is the target is left out.
        """
        vocab_size = self.weight.shape[0]
        rows, places = torch.unique(torch.cat([targets, samples.ids]), return_inverse=True)
        weight, bias = self._rows(self.weight, rows), self._rows(self.bias, rows)
        bias = bias - log_expected_count(rows, vocab_size, samples.num_draws)
        own, drawn = places.split([targets.shape[0], samples.ids.shape[0]])
        drawn_weight, drawn_bias = nn.functional.embedding(drawn, weight), bias[drawn]
        # Where among the drawn words the target stands, or would stand.
        nearest = torch.searchsorted(samples.ids, targets).clamp(max=samples.ids.shape[0] - 1)
        is_drawn = samples.ids[nearest] == targets

        def loss(hidden, own, nearest, is_drawn):
            own_logit = (hidden * nn.functional.embedding(own, weight)).sum(-1).float() + bias[own]
            log_sum, _ = LogSumExp.apply(hidden, drawn_weight, drawn_bias, nearest, is_drawn)
            return torch.logaddexp(log_sum, own_logit) - own_logit

        return in_chunks(loss, samples.ids.shape[0], hidden, own, nearest, is_drawn)

    def _rows(self, matrix: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return RowsOf.apply(matrix, rows) if self.sparse else matrix[rows]


class ElmoAdaptiveSoftmax(nn.Module):
    """Adaptive softmax (Grave et al., 2017): frequent words in a head, rarer ones in clusters of narrower vectors."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(
            config.output_size, config.vocab_size, list(config.adaptive_softmax_cutoffs), head_bias=True
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logarithms of probabilities, which are logits too: (..., P) -> (..., vocab_size)."""
        return self.clusters.log_prob(hidden.flatten(0, -2)).unflatten(0, hidden.shape[:-1])

    def exact_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`-log p(target)`: `(n, P)`, `(n,)` -> `(n,)` in nats, fp32."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.clusters.head.weight.dtype)
            chunks = zip(hidden.split(ADAPTIVE_CHUNK), targets.split(ADAPTIVE_CHUNK), strict=True)
            losses = [-self.clusters(*chunk).output.float() for chunk in chunks if chunk[1].numel()]
            return torch.cat(losses) if losses else self.clusters.head(hidden).float().sum(-1)  # none, with a graph


def in_chunks(loss: Callable[..., torch.Tensor], num_columns: int, *rows: torch.Tensor) -> torch.Tensor:
    """`loss(*rows)` of tensors that share their first dimension; it makes `num_columns` logits for each row."""
    num_rows = rows[0].shape[0]
    kept = LOGITS_KEPT if torch.is_grad_enabled() else LOGITS_PER_CHUNK
    if num_rows * num_columns <= kept:
        return loss(*rows)
    size = max(1, LOGITS_PER_CHUNK // num_columns)
    chunks = zip(*(row.split(size) for row in rows), strict=True)
    return torch.cat([checkpoint(loss, *chunk, use_reentrant=False) for chunk in chunks])


class RowsOf(torch.autograd.Function):
    """`matrix[rows]` for distinct, rising rows, with a sparse gradient of just these rows."""

    @staticmethod
    def forward(ctx, matrix: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = matrix.shape
        return matrix.index_select(0, rows)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (rows,) = ctx.saved_tensors
        return torch.sparse_coo_tensor(
            rows[None], gradient, ctx.shape, is_coalesced=True, check_invariants=False
        ), None


def log_uniform_probability(ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Probability of each id under the log-uniform (Zipfian) distribution over words sorted by falling frequency."""
    ids = ids.double()
    return ((ids + 2) / (ids + 1)).log() / math.log(vocab_size + 1)


def log_expected_count(ids: torch.Tensor, vocab_size: int, num_draws: int) -> torch.Tensor:
    """Logarithm of the expected count of each id in `num_draws` draws of which only distinct ones are kept."""
    return (-torch.expm1(num_draws * torch.log1p(-log_uniform_probability(ids, vocab_size)))).log().float()


def sample_log_uniform(vocab_size: int, num_samples: int, generator: torch.Generator | None = None) -> NegativeSamples:
    """Draws word ids, on the CPU, until `num_samples` distinct ones are found."""
    if not 0 < num_samples < vocab_size:
        raise ValueError(f"cannot draw {num_samples} distinct words as negatives out of a vocabulary of {vocab_size}")
    drawn = torch.empty(0, dtype=torch.int64)
    while True:
        uniform = torch.rand(2 * num_samples, dtype=torch.float64, generator=generator)
        ids = (uniform * math.log(vocab_size + 1)).exp().long() - 1
        drawn = torch.cat([drawn, ids.clamp(max=vocab_size - 1)])
        distinct, inverse = torch.unique(drawn, return_inverse=True)
        if distinct.numel() < num_samples:
            continue
        positions = torch.arange(drawn.numel())
        first = torch.full_like(distinct, drawn.numel()).scatter_reduce_(0, inverse, positions, "amin")
        earliest = first.sort().values[:num_samples]
        return NegativeSamples(drawn[earliest].sort().values, int(earliest[-1]) + 1)
