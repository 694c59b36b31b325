"""Linear-chain conditional random field over labels (Lafferty et al., 2001) with constrained transitions.

A chain runs over the True positions of a mask, wherever they stand: padding, boundary marks and gaps are not in it.
Scores are float32 throughout.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from .configuration_elmo import LABEL_SCHEMES, ElmoConfig

# The score of what the label scheme forbids: no sum of real scores outweighs it, and it is finite, so that gradients
# and softmax stay so too.
FORBIDDEN = -1e4
# How far, in nats, labels that are not on the best sequence stay behind it, though they be as good or rounded up.
BEHIND = 1e-5


def detect_label_scheme(labels: Sequence[str]) -> str:
    """`"BIO"` or `"BIOES"` where all labels but `O` are written so (`B-PER`, `I-PER` ...), else `"none"`.

    Labels without any `B-` are no BIO: IOB1, where most entities begin with `I-`, stays unconstrained.
    """
    prefixes = {label[:2] for label in labels if label != "O"}
    if "B-" not in prefixes:
        return "none"
    if prefixes <= {"B-", "I-"}:
        return "BIO"
    return "BIOES" if prefixes <= {"B-", "I-", "E-", "S-"} else "none"


def label_constraints(labels: Sequence[str], scheme: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which label may follow which, and which may begin and end a chain: bool `(labels, labels)`, `(labels,)`,
    `(labels,)`."""
    if scheme not in LABEL_SCHEMES:
        raise ValueError(f"label_scheme is {scheme!r}; it must be one of {LABEL_SCHEMES}")
    count = len(labels)
    if scheme == "none":
        return torch.ones(count, count, dtype=torch.bool), *(torch.ones(count, dtype=torch.bool) for _ in range(2))
    parts = [("O", "") if label == "O" else tuple(label.partition("-")[::2]) for label in labels]
    wrong = [label for label, (prefix, _) in zip(labels, parts, strict=True) if prefix not in ("O", *scheme)]
    if wrong:
        raise ValueError(f"labels {wrong[:5]} are not written as the label_scheme {scheme} asks")

    def opens(prefix):  # an entity goes on after it
        return prefix in ("B", "I") if scheme == "BIOES" else False

    def may_follow(first, second):
        if second[0] in ("I", "E"):
            return first[0] in ("B", "I") and first[1] == second[1]
        return not opens(first[0])

    transitions = torch.tensor([[may_follow(first, second) for second in parts] for first in parts])
    start = torch.tensor([prefix not in ("I", "E") for prefix, _ in parts])
    end = torch.tensor([not opens(prefix) for prefix, _ in parts])
    return transitions, start, end


class ElmoCRF(nn.Module):
    """Scores of label sequences: `emissions` at each word, plus trained scores of each transition, of the chain's
    first label and of its last."""

    def __init__(self, labels: Sequence[str], scheme: str):
        super().__init__()
        self.labels, self.scheme = tuple(labels), scheme
        count = len(labels)
        self.transitions = nn.Parameter(torch.empty(count, count))
        self.start = nn.Parameter(torch.empty(count))
        self.end = nn.Parameter(torch.empty(count))
        # Written again by `ElmoTaskModel._init_weights`, which has the last word on buffers that are not saved.
        names = ("may_follow", "may_start", "may_end")
        for name, value in zip(names, label_constraints(labels, scheme), strict=True):
            self.register_buffer(name, value, persistent=False)

    @classmethod
    def of(cls, config: ElmoConfig) -> "ElmoCRF":
        """Over a model's labels, by default in the scheme that their names look like."""
        labels = [config.id2label[index] for index in range(config.num_labels)]
        return cls(labels, config.label_scheme or detect_label_scheme(labels))

    def forward(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scores of pairs `(labels, labels)`, first and last labels `(labels,)`; `FORBIDDEN` where not allowed."""
        pairs = (
            (self.transitions, self.may_follow),
            (self.start, self.may_start),
            (self.end, self.may_end),
        )
        return tuple(score.float().masked_fill(~allowed, FORBIDDEN) for score, allowed in pairs)

    def loss(self, emissions: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of the labels, a number for each row.

        A word of the chain that is labelled -100 may have any label: the loss sums over all of them.

        Args:
            emissions (`(batch, sequence, labels)`), labels (`(batch, sequence)`), mask (`(batch, sequence)`).

        Raises:
            ValueError: if labels are out of range or break the label scheme.
        """
        self._check_labels(labels, mask)
        known = mask & (labels != -100)
        is_gold = torch.arange(len(self.labels), device=labels.device) == labels[..., None]
        emissions = emissions.float()
        gold = emissions.masked_fill(known[..., None] & ~is_gold, FORBIDDEN)
        total = log_partition(torch.cat([emissions, gold]), torch.cat([mask, mask]), *self())
        everything, matching = total.chunk(2)
        return everything - matching

    def mean_loss(
        self,
        emissions: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor,
        num_items: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The sum of [`loss`] over the batch, divided by `num_items`, by default its labelled words: `()`."""
        count = (mask & (labels != -100)).sum() if num_items is None else num_items
        return self.loss(emissions, labels, mask).sum() / torch.as_tensor(count).clamp(min=1)

    def _check_labels(self, labels: torch.Tensor, mask: torch.Tensor):
        known = mask & (labels != -100)
        used = labels[known]
        if used.numel() and not 0 <= int(used.min()) <= int(used.max()) < len(self.labels):
            raise ValueError(
                f"labels have values from {int(used.min())} to {int(used.max())}; the model has {len(self.labels)} "
                "labels, and -100 is a word without one"
            )
        if self.scheme == "none":
            return
        # Neighbours in the chain, both labelled.
        rows, columns = mask.nonzero(as_tuple=True)
        chain, is_known = labels[rows, columns], known[rows, columns]
        together = (rows[1:] == rows[:-1]) & is_known[1:] & is_known[:-1]
        first, second = chain[:-1][together], chain[1:][together]
        broken = ~self.may_follow[first, second]
        if bool(broken.any()):
            at = int(broken.nonzero()[0])
            raise ValueError(
                f"label {self.labels[second[at]]!r} stands after {self.labels[first[at]]!r} in row "
                f"{int(rows[1:][together][at])} of the batch, which {self.scheme} does not allow: convert the labels "
                "(modeling_elmo.tasks reads IOB1 as BIO) or set config.label_scheme to 'none'"
            )
        begins = torch.ones_like(rows, dtype=torch.bool)
        begins[1:] = rows[1:] != rows[:-1]
        ends = begins.roll(-1)
        for at, allowed, name in ((begins, self.may_start, "begins"), (ends, self.may_end, "ends")):
            edge = at & is_known
            wrong = ~allowed[chain[edge]]
            if bool(wrong.any()):
                label = self.labels[chain[edge][wrong][0]]
                raise ValueError(
                    f"row {int(rows[edge][wrong][0])} of the batch {name} with the label {label!r}, which "
                    f"{self.scheme} does not allow: where the text was cut inside an entity, label its words -100; or "
                    "set config.label_scheme to 'none'"
                )

    def best_scores(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Max-marginals: for each word and label the score of the best sequence that has this label there, less that
        of the best of all, so that the Viterbi path has 0 and, of several that are equally good, is the only one that
        has it. `(batch, sequence, labels)`, 0 where masked."""
        scores = max_marginals(emissions.float(), mask, *self())
        scores = (scores - scores.amax(-1, keepdim=True)).clamp(max=-BEHIND)
        path = self.decode(emissions, mask).clamp(min=0)
        return scores.scatter(-1, path[..., None], 0.0) * mask[..., None]

    def decode(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The best label sequence of each row: `(batch, sequence)`, -100 where masked."""
        return viterbi(emissions.float(), mask, *self())


Reduction = Callable[..., torch.Tensor]


def _scan(emissions, mask, transitions, start, reduce: Reduction) -> torch.Tensor:
    """Forward scores: for each position and label, the reduction (log-sum or maximum) over all sequences up to there
    that end in it. Masked positions repeat the one before; before the chain's first word all are 0.

    `(batch, sequence, labels)` -> `(batch, sequence, labels)`
    """
    scores = emissions.new_zeros(emissions.shape[0], emissions.shape[-1])
    begun = mask.new_zeros(mask.shape[0])
    steps = []
    for position in range(emissions.shape[1]):
        reached = reduce(scores[:, :, None] + transitions, dim=1)
        reached = torch.where(begun[:, None], reached, start) + emissions[:, position]
        scores = torch.where(mask[:, position, None], reached, scores)
        begun = begun | mask[:, position]
        steps.append(scores)
    return torch.stack(steps, dim=1) if steps else emissions


def log_partition(emissions, mask, transitions, start, end) -> torch.Tensor:
    """Log of the summed exponentiated scores of all label sequences (the forward algorithm): `(batch,)`, 0 for a row
    without words."""
    if not emissions.shape[1]:
        return emissions.sum((1, 2))  # zeros that a gradient passes through
    last = _scan(emissions, mask, transitions, start, torch.logsumexp)[:, -1]
    return (last + end).logsumexp(-1) * mask.any(-1)


def max_marginals(emissions, mask, transitions, start, end) -> torch.Tensor:
    """For each position and label, the score of the best sequence that passes there: `(batch, sequence, labels)`."""
    before = _scan(emissions, mask, transitions, start, torch.amax)
    after = _scan(emissions.flip(1), mask.flip(1), transitions.t(), end, torch.amax).flip(1)
    return before + after - emissions


def viterbi(emissions, mask, transitions, start, end) -> torch.Tensor:
    """The best label sequence of each row (Viterbi, 1967): `(batch, sequence)`, -100 where masked."""
    scores = _scan(emissions, mask, transitions, start, torch.amax)
    path = torch.full(mask.shape, -100, dtype=torch.long, device=mask.device)
    onward = end.expand(mask.shape[0], -1)  # what the labels chosen to the right add to each label here
    for position in reversed(range(mask.shape[1])):
        here = mask[:, position]
        best = (scores[:, position] + onward).argmax(-1)
        path[:, position] = torch.where(here, best, -100)
        onward = torch.where(here[:, None], transitions.t()[best], onward)
    return path
