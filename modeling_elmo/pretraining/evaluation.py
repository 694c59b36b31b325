"""Held-out perplexity of the forward and the backward language model, with the exact softmax."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist

from ..modeling_elmo import evaluation_mode
from ..modeling_elmo_pretraining import ElmoForPreTraining
from .windows import Window


@dataclass(frozen=True)
class Perplexity:
    """`exp` of the mean negative log-likelihood of a word, in each direction.

    Attributes:
        forward, backward: of each direction; backward is `None` for a forward-only model.
    """

    forward: float
    backward: float | None

    @property
    def mean(self) -> float:
        """`exp` of both directions' mean loss."""
        return self.forward if self.backward is None else math.sqrt(self.forward * self.backward)

    def __str__(self) -> str:
        backward = "" if self.backward is None else f", backward {self.backward:.1f}"
        return f"forward {self.forward:.1f}{backward}"


@torch.no_grad()
def evaluate(model: ElmoForPreTraining, windows: Iterable[Window], max_words: int | None = None) -> Perplexity:
    """Perplexity over windows of continuous streams, the LSTMs' state carried from one to the next.

    With several processes each brings the windows of its own rows, and all get the perplexity of all of them.
    `max_words` bounds the words of this process.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=model.device)
    state, num_words = None, 0
    with evaluation_mode(model):
        for window in windows:
            output = model(**window.to(model.device).inputs(), state=state, use_cache=True)
            state = output.state
            sums[0] += output.forward_loss.double() * window.num_targets
            if output.backward_loss is not None:
                sums[1] += output.backward_loss.double() * window.num_targets
            num_words += window.num_targets
            if max_words is not None and num_words >= max_words:
                break
    sums[2] = num_words
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    forward, backward, total = sums.tolist()
    if not total:
        raise ValueError("the held-out text is empty")
    return Perplexity(
        _perplexity(forward / total),
        _perplexity(backward / total) if model.config.bidirectional else None,
    )


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
