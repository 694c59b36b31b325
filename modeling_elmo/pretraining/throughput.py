"""How much arithmetic a training step is, and how much of it this machine could do at best."""

import time
from itertools import pairwise

import torch

from ..configuration_elmo import ElmoConfig


def lstm_flops(config: ElmoConfig) -> int:
    """Floating-point operations of matrix products for a word in all LSTM layers and directions, forward pass."""
    width, cells = config.output_size, config.cell_size
    projection = 0 if config.projection_size is None else cells * width
    return 2 * config.num_hidden_layers * config.num_directions * (2 * width * 4 * cells + projection)


def training_flops(config: ElmoConfig, num_words: int, num_distinct: int) -> float:
    """Floating-point operations of matrix products in one step: forward pass and, twice that, backward pass.

    `num_words` positions of the batch in each direction over `num_distinct` distinct words, whose characters are
    counted at the average length of an English word.
    """
    width = config.output_size
    targets = config.num_negative_samples if config.samples_softmax else config.vocab_size
    if config.adaptive_softmax_cutoffs is not None:
        targets = config.adaptive_softmax_cutoffs[0]
    softmax = config.num_directions * width * targets
    features = config.character_feature_size
    positions = 10
    convolutions = sum(size * number for size, number in config.filters) * config.character_embedding_size * positions
    token = convolutions + config.num_highway_layers * 2 * features**2 if features else 0
    token += config.token_feature_size * width if config.has_token_projection else 0
    return 3 * (num_words * (lstm_flops(config) + 2 * softmax) + num_distinct * 2 * token)


def matrix_flops_per_second(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Floating-point operations a second that this device reaches in large matrix products, at its best."""
    # On a CPU the smaller ones stay in the cache, the larger ones keep more threads busy.
    sizes = (8192,) if device.type == "cuda" else (1024, 2048)
    return max(2 * size**3 / _seconds_of_product(size, device, dtype, seconds / len(sizes)) for size in sizes)


def _seconds_of_product(size: int, device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Of the fastest of as many products as `seconds` allow."""
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    matrix @ matrix
    _synchronize(device)
    marks = [time.perf_counter()]
    while len(marks) == 1 or marks[-1] - marks[0] < seconds:
        matrix @ matrix
        _synchronize(device)
        marks.append(time.perf_counter())
    return min(after - before for before, after in pairwise(marks))


def _synchronize(device: torch.device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
