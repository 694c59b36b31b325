"""Layers of the task heads: variational dropout, LSTMs that see no padding, attention over words."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from .matrix_products import has_kernels_of
from .modeling_elmo import pad_tokens
from .projected_lstm import pack_mask
from .token_encoder import initialize_as

# Of the dropout on words' vectors, `config.head_dropout`, so much is on hidden layers in coreference resolution, as
# published (Lee et al., 2017: 0.2 beside 0.5), and on the inputs of LSTM layers in semantic role labelling.
HIDDEN_DROPOUT_SHARE = 0.4


class ElmoFeatureEmbedding(nn.Embedding):
    """Vectors of a small discrete feature."""

    def __init__(self, num_values: int, size: int):
        super().__init__(num_values, size)
        initialize_as(self, ("normal", 0.02))


class ElmoLinear(nn.Linear):
    """A linear layer that starts with the variance of its input."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        initialize_as(self, ("normal", in_features**-0.5))


class ElmoScaling(nn.Linear):
    """Multiplies each feature by a trained number of its own: `(..., size)` -> `(..., size)`."""

    def __init__(self, size: int):
        super().__init__(size, 1, bias=False)
        initialize_as(self, ("normal", size**-0.5))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors * self.weight[0]


class ElmoVariationalDropout(nn.Dropout):
    """Dropout of the same features at every word of a text (Gal and Ghahramani, 2016): `(batch, sequence, width)`."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return vectors
        mask = super().forward(torch.ones_like(vectors[:, :1]))
        return vectors * mask


class ElmoStandardization(nn.BatchNorm1d):
    """Brings each feature of the words' vectors to mean 0 and variance 1 over the words of the training data.

    What all words of a biLM have in common is large, and hides from a young head how they differ. Unlike in batch
    normalisation a batch is never measured by itself: mean and variance are those of all batches so far, in training
    as afterwards, and no gradient runs through them. In evaluation a text's vectors do not depend on its batch.
    """

    def __init__(self, size: int):
        # The plain average of all batches, which in fewer bits stands still.
        super().__init__(size, momentum=None, dtype=torch.promote_types(torch.get_default_dtype(), torch.float32))

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, sequence, size)`, mask of the words `(batch, sequence)` -> `(batch, sequence, size)`, 0 where
        masked."""
        if self.training:
            words = vectors.detach()[mask]
            if len(words) > 1:
                super().forward(words.to(self.running_mean.dtype))
        # Copies: the next batch may move the statistics before this one's gradients are taken.
        scale = self.weight * torch.rsqrt(self.running_var.clone() + self.eps)
        standardized = (vectors - self.running_mean.clone()) * scale + self.bias
        return standardized.to(vectors.dtype) * mask[..., None]


class ElmoTaskLSTM(nn.Module):
    """A bidirectional LSTM that reads the words of each text and nothing else, wherever the padding stands."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0):
        super().__init__()
        self.lstm = nn.LSTM(
            input_size, hidden_size, num_layers, bidirectional=True, dropout=dropout if num_layers > 1 else 0.0
        )

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, sequence, input_size)`, `(batch, sequence)` -> `(batch, sequence, 2 * hidden_size)`, 0 where
        masked."""
        packing = pack_mask(mask, num_directions=1)
        if packing.tokens.numel() == 0:
            return vectors.new_zeros(*mask.shape, 2 * self.lstm.hidden_size)
        words = vectors.flatten(0, 1)[packing.tokens][packing.sources[0]]
        context = nullcontext()
        if words.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # oneDNN's LSTM, which PyTorch takes for texts of equal length, needs all in one type that it knows.
            dtype = torch.get_autocast_dtype("cpu")
            if not has_kernels_of(dtype):
                dtype, context = self.lstm.weight_ih_l0.dtype, torch.autocast("cpu", enabled=False)
            words = words.to(dtype)
        with context:
            packed, _ = self.lstm(PackedSequence(words, torch.tensor(packing.batch_sizes)))
        return pad_tokens(packed.data[packing.slots[0]], packing, mask)


class ElmoAttentionPooling(nn.Module):
    """One vector for each text: maximum, mean and self-attentive average of its words' vectors, side by side
    (McCann et al., 2017, section 5)."""

    def __init__(self, size: int):
        super().__init__()
        self.score = ElmoLinear(size, 1)

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, sequence, size)`, `(batch, sequence)` -> `(batch, 3 * size)`; zeros for a text without words."""
        mask = mask[..., None]
        count = mask.sum(1)
        maximum = fill_masked(vectors, mask).amax(1) * (count > 0)
        mean = (vectors * mask).sum(1) / count.clamp(min=1)
        shares = fill_masked(self.score(vectors), mask).softmax(1)
        return torch.cat([maximum, mean, (shares * vectors * mask).sum(1)], dim=-1)


def fill_masked(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The lowest number of the values' type where masked."""
    return values.masked_fill(~mask, torch.finfo(values.dtype).min)


def attend(queries: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Each query's attention-weighted average of another text's words, by scaled dot products.

    `(batch, n, size)`, `(batch, m, size)`, mask of the words `(batch, m)` -> `(batch, n, size)`. A text without words
    counts as one zero vector.
    """
    mask = mask.clone()
    mask[:, 0] |= ~mask.any(-1)
    return nn.functional.scaled_dot_product_attention(queries, words, words, attn_mask=mask[:, None])


def left_aligned(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each row's True positions stand, moved together to the left, and the mask after the move:
    `(batch, sequence)` -> `(batch, longest)`, `(batch, longest)`. `longest` is at least 1."""
    lengths = mask.sum(-1)
    longest = max([1, *lengths.tolist()])
    index = (~mask).to(torch.uint8).argsort(dim=-1, stable=True)[:, :longest]
    return index, torch.arange(longest, device=mask.device) < lengths[:, None]


def gather_words(vectors: torch.Tensor, index: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(batch, sequence, size)`, `(batch, n)`, `(batch, n)` of [`left_aligned`] -> `(batch, n, size)`, 0 where masked:
    behind a text's words the index goes on with those of another."""
    if vectors.shape[1] == 0:  # then the mask is one position wide all the same
        return vectors.new_zeros(*mask.shape, vectors.shape[-1])
    return vectors.gather(1, index[..., None].expand(-1, -1, vectors.shape[-1])) * mask[..., None]
