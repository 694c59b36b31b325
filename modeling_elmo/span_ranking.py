"""Scores of spans and of pairs of spans: the parts of end-to-end coreference resolution (Lee et al., 2017, 2018)."""

import torch
from torch import nn

from .task_layers import ElmoFeatureEmbedding, ElmoLinear

# Distances between mentions share a learned vector: 0, 1, 2, 3, 4, 5-7, 8-15, 16-31, 32-63, 64 and more.
NUM_DISTANCES = 10


def distance_bucket(distances: torch.Tensor) -> torch.Tensor:
    """Bucket of each non-negative distance, `(...)` -> `(...)`."""
    logarithms = distances.clamp(min=1).float().log2().floor().long() + 3
    return torch.where(distances <= 4, distances, logarithms).clamp(max=NUM_DISTANCES - 1)


class ElmoScorer(nn.Module):
    """What stands above a first layer whose parts are added up: ReLU, a hidden layer, one score."""

    def __init__(self, size: int, dropout: float):
        super().__init__()
        self.hidden, self.score = ElmoLinear(size, size), ElmoLinear(size, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, first: torch.Tensor) -> torch.Tensor:
        """`(..., size)` -> `(...)`"""
        hidden = torch.relu(self.hidden(self.dropout(torch.relu(first))))
        return self.score(self.dropout(hidden))[..., 0]


class ElmoSpanScorer(nn.Module):
    """How likely each span is a mention.

    A span is its first word, its last word, the attention-weighted average of its words (its soft head) and its width:
    Lee et al. (2017), section 4.2. The first layer is linear in each of these, so that it is applied to words, not to
    spans: scores of all spans cost `max_span_width` times as much memory as a hidden vector per word, no more.
    """

    def __init__(
        self, encoded_size: int, word_size: int, hidden_size: int, feature_size: int, max_width: int, dropout
    ):
        super().__init__()
        self.max_width = max_width
        self.attention = ElmoLinear(encoded_size, 1)
        self.widths = ElmoFeatureEmbedding(max_width, feature_size)
        self.from_start = ElmoLinear(encoded_size, hidden_size)
        self.from_end = ElmoLinear(encoded_size, hidden_size)
        self.from_head = ElmoLinear(word_size, hidden_size)
        self.from_width = ElmoLinear(feature_size, hidden_size)
        self.head = ElmoScorer(hidden_size, dropout)

    def word_weights(self, encoded: torch.Tensor) -> torch.Tensor:
        """Unnormalised attention of each word, `(words, encoded_size)` -> `(words,)`; bounded below, so that a span of
        unimportant words still has a head."""
        scores = self.attention(encoded)[:, 0].float()
        return (scores - scores.max().detach()).clamp(min=-30).exp()

    def forward(self, encoded: torch.Tensor, words: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mention scores of all spans.

        Args:
            encoded (`(words, encoded_size)`): words of the document in context.
            words (`(words, word_size)`): their representations.
            weights (`(words,)`): of [`word_weights`].

        Returns:
            `(words, max_width)`: of the span of each width that begins at each word; those that leave the document
            or the sentence are scored too, and mean nothing.
        """
        heads = self._window_mean(self.from_head(words), weights)
        ends = self._windows(self.from_end(encoded))
        widths = self.from_width(self.widths(torch.arange(self.max_width, device=encoded.device)))
        return self.head(self.from_start(encoded)[:, None] + ends + heads + widths)

    def represent(
        self, encoded: torch.Tensor, words: torch.Tensor, weights: torch.Tensor, spans: torch.Tensor
    ) -> torch.Tensor:
        """Vectors of some spans `(n, 2)` (first and last word) -> `(n, span_size)`."""
        first, last = spans.unbind(-1)
        positions = first[:, None] + torch.arange(self.max_width, device=spans.device)
        inside = (positions <= last[:, None]) & (positions < words.shape[0])
        positions = positions.clamp(max=words.shape[0] - 1)
        shares = weights[positions] * inside
        shares = (shares / shares.sum(-1, keepdim=True)).to(words.dtype)
        head = torch.einsum("nw,nwd->nd", shares, words[positions])
        return torch.cat([encoded[first], encoded[last], head, self.widths(last - first)], dim=-1)

    def _windows(self, vectors: torch.Tensor) -> torch.Tensor:
        """`(words, size)` -> `(words, max_width, size)`: each word and those after it, zeros beyond the last."""
        padded = nn.functional.pad(vectors, (0, 0, 0, self.max_width - 1))
        return padded.unfold(0, self.max_width, 1).transpose(1, 2)

    def _window_mean(self, vectors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weighted means over the first word to the w-th: `(words, size)` -> `(words, max_width, size)`."""
        weights = weights[:, None]
        total = self._windows(weights).cumsum(1)
        return (self._windows(weights * vectors.float()).cumsum(1) / total).to(vectors.dtype)


class ElmoPairScorer(nn.Module):
    """How likely one mention refers to the same as an earlier one, by both, their product and features of the pair:
    Lee et al. (2017), section 4.1."""

    def __init__(self, span_size: int, hidden_size: int, feature_size: int, num_genres: int, dropout: float):
        super().__init__()
        self.distances = ElmoFeatureEmbedding(NUM_DISTANCES, feature_size)
        self.speakers = ElmoFeatureEmbedding(3, feature_size)  # unknown, same, different
        self.genres = ElmoFeatureEmbedding(num_genres, feature_size) if num_genres else None
        self.from_mention = ElmoLinear(span_size, hidden_size)
        self.from_antecedent = ElmoLinear(span_size, hidden_size)
        self.from_product = ElmoLinear(span_size, hidden_size)
        self.from_features = ElmoLinear((2 + bool(num_genres)) * feature_size, hidden_size)
        self.head = ElmoScorer(hidden_size, dropout)

    def forward(
        self,
        mentions: torch.Tensor,
        spans: torch.Tensor,
        antecedents: torch.Tensor,
        distances: torch.Tensor,
        speakers: torch.Tensor,
        genre: torch.Tensor | None,
    ) -> torch.Tensor:
        """Scores of each mention with some antecedents.

        Args:
            mentions (`(n, span_size)`): their vectors.
            spans (`(m, span_size)`): vectors of the antecedents that there are.
            antecedents (`(n, k)`): which of these are each mention's candidates.
            distances, speakers (`(n, k)`): bucket of the distance; 0 unknown, 1 same, 2 different speakers.
            genre (`()`, *optional*): of the document.

        Returns:
            `(n, k)`
        """
        features = [self.distances(distances), self.speakers(speakers)]
        if self.genres is not None:
            features.append(self.genres(genre).expand(*distances.shape, -1))
        first = self.from_features(torch.cat(features, dim=-1)) + self.from_mention(mentions)[:, None]
        first = first + self.from_antecedent(spans)[antecedents]
        return self.head(first + self.from_product(mentions[:, None] * spans[antecedents]))


class ElmoSpanRefinement(nn.Module):
    """Moves each mention towards the expectation of its antecedent: Lee et al. (2018), equations 4 to 6."""

    def __init__(self, span_size: int):
        super().__init__()
        self.gate = ElmoLinear(2 * span_size, span_size)

    def forward(
        self, mentions: torch.Tensor, spans: torch.Tensor, antecedents: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        """Vectors of mentions `(n, span_size)` and of antecedents `(m, span_size)`, candidates among these `(n, k)`,
        scores `(n, 1 + k)`, "none" first -> `(n, span_size)`."""
        shares = scores.softmax(-1).to(spans.dtype)
        expected = shares[:, :1] * mentions + torch.einsum("nk,nkd->nd", shares[:, 1:], spans[antecedents])
        # Not by torch.lerp, which takes no two types, as autocast gives them.
        return expected + torch.sigmoid(self.gate(torch.cat([mentions, expected], dim=-1))) * (mentions - expected)


def prune_spans(spans: torch.Tensor, scores: torch.Tensor, count: int) -> torch.Tensor:
    """The best `count` spans none of which crosses another (Lee et al., 2017, section 5): indices in document order.

    Args:
        spans (`(n, 2)`): first and last words.
        scores (`(n,)`): mention scores.
    """
    order = scores.argsort(descending=True, stable=True).tolist()
    bounds = spans.tolist()
    latest_end: dict[int, int] = {}  # of the chosen spans that begin at a word
    earliest_start: dict[int, int] = {}  # of those that end at one
    chosen = []
    for index in order:
        if len(chosen) == count:
            break
        first, last = bounds[index]
        inner = range(first + 1, last + 1)
        if any(latest_end.get(word, -1) > last for word in inner):
            continue
        if any(earliest_start.get(word, first) < first for word in range(first, last)):
            continue
        latest_end[first] = max(latest_end.get(first, -1), last)
        earliest_start[last] = min(earliest_start.get(last, first), first)
        chosen.append(index)
    chosen.sort(key=lambda index: bounds[index])
    return torch.tensor(chosen, dtype=torch.int64, device=spans.device)
