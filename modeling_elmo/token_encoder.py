"""From a word's characters (and, in some models, its id) to its context-free vector.

Convolutions over character embeddings, max over positions, highway layers, linear projection: Peters et al. (2018),
section 3.4; Kim et al. (2016), section 2. All rules of the arithmetic are those of the published weights.
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_elmo import ElmoConfig
from .convolution_kernels import can_run, convolve
from .matrix_products import linear

# Words encoded at once. Bounds the memory (0.4 MB a word in the original model's convolutions) and lets short words
# skip the positions that only long ones need.
WORDS_PER_CHUNK = 1024
# Words convolved at once on CPU, whose sums should stay in its cache.
WORDS_PER_CONVOLUTION = 64


def initialize_as(module: nn.Module, weight: tuple[str, float], bias: float = 0.0) -> nn.Module:
    """Notes on `module` how its parameters start: `("normal", std)` or `("uniform", bound)`, and a constant bias."""
    module.initial_weight, module.initial_bias = weight, bias
    return module


class ElmoHighway(nn.Module):
    """`y = c * relu(W_t x + b_t) + (1 - c) * x` with `c = sigmoid(W_c x + b_c)`: "carry" opens the transformation."""

    def __init__(self, size: int):
        super().__init__()
        self.transform = initialize_as(nn.Linear(size, size), ("normal", size**-0.5))
        self.carry = initialize_as(nn.Linear(size, size), ("normal", size**-0.5), bias=-2.0)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        carry = torch.sigmoid(linear(features, self.carry))
        return torch.lerp(features, torch.relu(linear(features, self.transform)), carry)


class ElmoCharacterCNN(GradientCheckpointingLayer):
    """Embedded characters (words, d, positions) -> features (words, F)."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        size, self.max_characters = config.character_embedding_size, config.max_characters_per_token
        embeddings = nn.Embedding(config.character_vocab_size, size, padding_idx=0)
        self.character_embeddings = initialize_as(embeddings, ("uniform", 1.0))
        self.activation = torch.relu if config.hidden_act == "relu" else torch.tanh
        self.convolutions = nn.ModuleList(
            initialize_as(
                nn.Conv1d(size, number, width),
                ("uniform", 0.05) if config.hidden_act == "relu" else ("normal", (width * size) ** -0.5),
            )
            for width, number in config.filters
        )
        self.highways = nn.ModuleList(
            ElmoHighway(config.character_feature_size) for _ in range(config.num_highway_layers)
        )

    def embed(self, character_ids: torch.Tensor) -> torch.Tensor:
        """Character rows (words, characters) -> (words, d, positions). Apart from `forward`, whose input thus has a
        gradient, as reentrant checkpointing needs."""
        # Beyond the longest word and the widest filter all windows of all words see padding only and are equal, so
        # that the maximum needs just one of them.
        longest = int(padded_from(character_ids).max())
        widest = max(convolution.kernel_size[0] for convolution in self.convolutions)
        character_ids = character_ids[:, : longest + widest]
        return self.character_embeddings(character_ids.to(torch.int32)).transpose(1, 2)

    def forward(self, embedded: torch.Tensor) -> torch.Tensor:
        """Embedded characters (words, d, positions) -> the convolutions' maxima (words, F)."""
        if can_run(self.convolutions, embedded, self.max_characters):
            features = convolve(embedded, self.convolutions)
        else:
            features = torch.cat([convolution(embedded).amax(-1) for convolution in self.convolutions], dim=-1)
        return self.activation(features)

    def transform(self, features: torch.Tensor) -> torch.Tensor:
        """The highway layers: (words, F) -> (words, F)."""
        for highway in self.highways:
            features = highway(features)
        return features


class ElmoTokenEncoder(nn.Module):
    """Token vectors: word embedding and character features side by side, projected to the LSTM's width."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.word_embeddings = None
        if config.word_embedding_size:
            size = config.word_embedding_size
            self.word_embeddings = initialize_as(nn.Embedding(config.vocab_size, size), ("normal", size**-0.5))
        self.character_cnn = ElmoCharacterCNN(config) if config.character_embedding_size else None
        self.projection = None
        if config.has_token_projection:
            size = config.token_feature_size
            self.projection = initialize_as(nn.Linear(size, config.output_size), ("normal", size**-0.5))

    def forward(self, character_ids: torch.Tensor | None, input_ids: torch.Tensor | None) -> torch.Tensor:
        """Token vectors of words.

        Args:
            character_ids (`(words, characters)`, any integer type): needed by models that read characters.
            input_ids (`(words,)`, any integer type): needed by models with a word embedding.

        Returns:
            `(words, P)`
        """
        if self.character_cnn is None:
            return self._project(self.word_embeddings(input_ids))
        order = padded_from(character_ids).argsort(stable=True)
        vectors = [
            self._encode(character_ids[chunk], None if input_ids is None else input_ids[chunk])
            for chunk in order.split(WORDS_PER_CHUNK)
        ]
        return torch.cat(vectors).index_select(0, order.argsort())

    def encode_distinct(self, character_ids: torch.Tensor | None, input_ids: torch.Tensor | None) -> torch.Tensor:
        """As `forward`, but each distinct word is encoded once."""
        if self.character_cnn is None:
            return self(None, input_ids)
        if self.word_embeddings is None:
            distinct, inverse = distinct_rows(character_ids)
            return self(distinct, None)[inverse]
        distinct, inverse = distinct_rows(torch.cat([input_ids[:, None], character_ids.long()], dim=1))
        return self(distinct[:, 1:], distinct[:, 0])[inverse]

    def _encode(self, character_ids: torch.Tensor, input_ids: torch.Tensor | None) -> torch.Tensor:
        cnn = self.character_cnn
        parts = character_ids.split(WORDS_PER_CONVOLUTION if character_ids.device.type == "cpu" else WORDS_PER_CHUNK)
        features = cnn.transform(torch.cat([cnn(cnn.embed(part)) for part in parts]))
        if self.word_embeddings is not None:
            features = torch.cat([self.word_embeddings(input_ids), features], dim=-1)
        return self._project(features)

    def _project(self, features: torch.Tensor) -> torch.Tensor:
        return features if self.projection is None else linear(features, self.projection)


def padded_from(character_ids: torch.Tensor) -> torch.Tensor:
    """The position from which on a row repeats its last id, that is, holds padding only: `(words, characters)` ->
    `(words,)`."""
    differs = character_ids != character_ids[:, -1:]
    positions = torch.arange(1, character_ids.shape[1] + 1, device=character_ids.device)
    return (differs * positions).amax(-1)


def distinct_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct rows of a matrix of non-negative integers, and where each row finds itself among them.

    `(n, columns)` -> `((u, columns), (n,))`. As `torch.unique(dim=0)`, but sorts one hash a row; the result is
    checked, and rows whose hashes collide go the slow way.
    """
    # A polynomial with an odd base; it wraps around, which hashing wants.
    weights = torch.full(rows.shape[1:], 0x5851F42D4C957F2D, device=rows.device, dtype=torch.int64).cumprod(0)
    hashes = (rows * weights).sum(-1)
    hashes = hashes ^ (hashes >> 29)
    _, inverse = torch.unique(hashes, return_inverse=True)
    first = torch.zeros(int(inverse.max()) + 1, dtype=torch.int64, device=rows.device)
    first[inverse] = torch.arange(rows.shape[0], device=rows.device)
    unique = rows[first]
    if torch.equal(unique[inverse], rows):
        return unique, inverse
    return torch.unique(rows, dim=0, return_inverse=True)
