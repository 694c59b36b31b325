"""How the layers of the biLM become one vector for a word."""

import torch
from torch import nn

from .configuration_elmo import ElmoConfig

# What is added to the variance in layer normalisation: AllenNLP's and bilm-tf's constants.
NORM_EPSILON = {"sentence": 1e-13, "batch": 1e-13, "batch_without_boundaries": 1e-12}


class ElmoProjection(nn.Module):
    """Token vector and both directions of each layer, side by side, times one matrix.

    The matrix starts so that the representation is an average of the layers (token vector first) before any training.
    Where its width has room for both directions they stand side by side, as in a scalar mix, and are turned into a
    larger width by an orthogonal matrix; where not, they are averaged as well.
    """

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.width, self.num_directions = config.output_size, config.num_directions
        self.num_layers = config.num_hidden_layers
        outputs = 1 + self.num_layers * self.num_directions
        self.weight = nn.Parameter(torch.empty(config.representation_size, outputs * self.width))

    def averaging_weight(self) -> torch.Tensor:
        size = self.weight.shape[0]
        if size >= self.num_directions * self.width:
            directions = orthogonal(size, self.num_directions * self.width).split(self.width, dim=1)
        else:
            directions = [orthogonal(size, self.width) / self.num_directions] * self.num_directions
        # The token vector is the same in both directions.
        return torch.cat([sum(directions), *directions * self.num_layers], dim=1) / (self.num_layers + 1)

    def forward(
        self, hidden_states: tuple[torch.Tensor, ...], mask: torch.Tensor, boundaries: torch.Tensor | None
    ) -> torch.Tensor:
        """Layers of (batch, sequence, directions * P) each -> (batch, sequence, representation_size)."""
        parts = [hidden_states[0][..., : self.width], *hidden_states[1:]]
        return nn.functional.linear(torch.cat(parts, dim=-1), self.weight)


class ElmoScalarMix(nn.Module):
    """`gamma * sum_k softmax(w)_k h_k`: Peters et al. (2018), equation 1."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.norm = config.scalar_mix_norm
        self.weights = nn.Parameter(torch.empty(config.num_hidden_layers + 1))
        self.gamma = nn.Parameter(torch.empty(()))

    def forward(
        self, hidden_states: tuple[torch.Tensor, ...], mask: torch.Tensor, boundaries: torch.Tensor | None
    ) -> torch.Tensor:
        """Layers of (batch, sequence, directions * P) each -> (batch, sequence, directions * P).

        `mask` (batch, sequence) marks the tokens, `boundaries` those of them that begin or end a sentence.
        """
        if self.norm is not None:
            counted = mask & ~boundaries if self.norm == "batch_without_boundaries" else mask
            hidden_states = tuple(self._normalize(layer, counted) for layer in hidden_states)
        shares = self.gamma * torch.softmax(self.weights, dim=0)
        mixed = sum(share * layer for share, layer in zip(shares, hidden_states, strict=True))
        return mixed.masked_fill(~mask[..., None], 0.0)

    def _normalize(self, layer: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """Mean 0 and variance 1 over tokens and features: of a sentence, or of the whole batch as old systems did."""
        dims = (1, 2) if self.norm == "sentence" else (0, 1, 2)
        # Half precision has neither room for the sums nor for the epsilon.
        values, counted = layer.to(torch.promote_types(layer.dtype, torch.float32)), counted[..., None]
        count = (counted.sum(dims, keepdim=True) * layer.shape[-1]).clamp(min=1)
        mean = (values * counted).sum(dims, keepdim=True) / count
        variance = ((values - mean) * counted).square().sum(dims, keepdim=True) / count
        return ((values - mean) * torch.rsqrt(variance + NORM_EPSILON[self.norm])).to(layer.dtype)


def orthogonal(rows: int, columns: int) -> torch.Tensor:
    """The identity, or where there is none a random matrix whose columns (or rows) are orthonormal."""
    return torch.eye(rows) if rows == columns else nn.init.orthogonal_(torch.empty(rows, columns))


COMBINATIONS = {"projection": ElmoProjection, "scalar_mix": ElmoScalarMix}
