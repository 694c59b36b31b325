"""The softmax over words that both language models share: exact for evaluation, sampled for training."""

import math

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .configuration_elmo import ElmoConfig

# Logits computed at once (64 MB in fp32); bounds the memory of the exact softmax whatever the vocabulary.
LOGITS_PER_CHUNK = 2**24


class ElmoSoftmax(nn.Module):
    """Word scores `h W^T + b` over the vocabulary, in order of falling frequency."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab_size, config.output_size))
        self.bias = nn.Parameter(torch.empty(config.vocab_size))
        self.initial_weight, self.initial_bias = ("normal", config.output_size**-0.5), 0.0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits: (..., P) -> (..., vocab_size)."""
        return nn.functional.linear(hidden, self.weight, self.bias)

    def exact_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`-log p(target)` under the full softmax: `(n, P)`, `(n,)` -> `(n,)` in nats, fp32."""
        size = max(1, LOGITS_PER_CHUNK // self.weight.shape[0])
        losses = [
            checkpoint(self._chunk_loss, *chunk, use_reentrant=False)
            for chunk in zip(hidden.split(size), targets.split(size), strict=True)
        ]
        return torch.cat(losses) if losses else hidden.new_zeros(0)

    def _chunk_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self(hidden).float(), targets, reduction="none")

    def sampled_loss(self, hidden: torch.Tensor, targets: torch.Tensor, num_samples: int) -> torch.Tensor:
        """Sampled softmax (Jean et al., 2015) against words drawn without replacement: as `exact_loss`.

        Logits are corrected by the logarithm of the expected counts; drawn words that are the target are left out.
        """
        samples, num_draws = sample_log_uniform(self.weight.shape[0], num_samples, hidden.device)
        true_logits = (hidden * self.weight[targets]).sum(-1) + self.bias[targets]
        true_logits = true_logits.float() - log_expected_count(targets, self.weight.shape[0], num_draws)
        logits = nn.functional.linear(hidden, self.weight[samples], self.bias[samples]).float()
        logits = logits - log_expected_count(samples, self.weight.shape[0], num_draws)
        logits = logits.masked_fill(targets[:, None] == samples, -math.inf)
        return torch.logsumexp(torch.cat([true_logits[:, None], logits], dim=1), dim=1) - true_logits


def log_uniform_probability(ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Probability of each id under the log-uniform (Zipfian) distribution over words sorted by falling frequency."""
    ids = ids.double()
    return ((ids + 2) / (ids + 1)).log() / math.log(vocab_size + 1)


def log_expected_count(ids: torch.Tensor, vocab_size: int, num_draws: int) -> torch.Tensor:
    """Logarithm of the expected count of each id in `num_draws` draws of which only distinct ones are kept."""
    return (-torch.expm1(num_draws * torch.log1p(-log_uniform_probability(ids, vocab_size)))).log().float()


def sample_log_uniform(vocab_size: int, num_samples: int, device: torch.device) -> tuple[torch.Tensor, int]:
    """Draws until there are `num_samples` distinct ids; returns them and the number of draws that it took."""
    if num_samples >= vocab_size:
        raise ValueError(f"cannot draw {num_samples} distinct words out of a vocabulary of {vocab_size}")
    drawn = torch.empty(0, dtype=torch.int64, device=device)
    while True:
        uniform = torch.rand(2 * num_samples, device=device, dtype=torch.float64)
        ids = (uniform * math.log(vocab_size + 1)).exp().long() - 1
        drawn = torch.cat([drawn, ids.clamp(max=vocab_size - 1)])
        distinct, inverse = torch.unique(drawn, return_inverse=True)
        if distinct.numel() < num_samples:
            continue
        positions = torch.arange(drawn.numel(), device=device)
        first = torch.full_like(distinct, drawn.numel()).scatter_reduce_(0, inverse, positions, "amin")
        first = first.sort().values[:num_samples]
        return drawn[first], int(first[-1]) + 1


__all__ = ["ElmoSoftmax"]
