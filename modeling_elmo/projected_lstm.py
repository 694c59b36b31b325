"""The stack of projected LSTMs: each layer holds one LSTM per direction, and the directions never see each other.

Sentences of different lengths run packed, without padding. Packed tensors are `(directions, tokens, width)`: all first
tokens of the batch, longest sentence first, then all second tokens, and so on; the backward direction counts from the
end of each sentence. Step t thus works on the contiguous rows of the sentences that have a token t.
"""

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_elmo import ElmoConfig
from .lstm_kernels import Clips, PreparedWeights, ProjectedLSTM, Weights, run_inference
from .matrix_products import Product, arithmetic_type, autocast_type


class Packing(NamedTuple):
    """Where the tokens of a padded batch stand in a packed one.

    Attributes:
        batch_sizes (`list[int]`): sentences that have a token t, for each step t; never increasing.
        order (`(batch,)`): the batch's rows, longest sentence first.
        tokens (`(tokens,)`): positions of the unmasked tokens in the flattened batch, in reading order.
        slots (`(directions, tokens)`): where each of these stands in the packed tensor.
        sources (`(directions, tokens)`): the inverse, which token stands in each packed row.
    """

    batch_sizes: list[int]
    order: torch.Tensor
    tokens: torch.Tensor
    slots: torch.Tensor
    sources: torch.Tensor


def pack_mask(mask: torch.Tensor, num_directions: int) -> Packing:
    """The packing of a batch whose tokens are the True positions of `mask` (batch, sequence), wherever they are."""
    lengths = mask.sum(-1)
    order = lengths.argsort(descending=True, stable=True)
    steps = torch.arange(int(lengths.max()) if lengths.numel() else 0, device=mask.device)
    sizes = (lengths[:, None] > steps).sum(0)
    starts = sizes.cumsum(0) - sizes
    row, column = mask.nonzero(as_tuple=True)
    tokens = row * mask.shape[1] + column
    step = mask.cumsum(-1)[row, column] - 1
    place = order.argsort()[row]
    slots = starts[step] + place
    backward_slots = starts[lengths[row] - 1 - step] + place
    slots = torch.stack([slots, backward_slots][:num_directions])
    return Packing(sizes.tolist(), order, tokens, slots, slots.argsort())


def sigmoid_gates(gates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input gate, candidate, forget gate and output gate from their pre-activations side by side."""
    input_gate, candidate, forget_gate, output_gate = gates.chunk(4, dim=-1)
    return input_gate.sigmoid(), candidate.tanh(), forget_gate.sigmoid(), output_gate.sigmoid()


class ElmoLSTMLayer(GradientCheckpointingLayer):
    """One layer of LSTMs with projected output (Sak et al., 2014) and clipped cells, one LSTM per direction.

    Weights are stacked over directions; the columns are the input gate, the candidate, the forget gate and the output
    gate, as in the published files.
    """

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.cell_clip, self.projection_clip = config.cell_clip, config.projection_clip
        self.forget_bias = config.forget_bias
        directions, cells, width = config.num_directions, config.cell_size, config.output_size
        self.input_weight = nn.Parameter(torch.empty(directions, width, 4 * cells))
        self.recurrent_weight = nn.Parameter(torch.empty(directions, width, 4 * cells))
        self.bias = nn.Parameter(torch.empty(directions, 4 * cells))
        self.projection_weight = None
        if config.projection_size is not None:
            self.projection_weight = nn.Parameter(torch.empty(directions, cells, width))
        self._prepared_weights = PreparedWeights()

    def prepare_weights_with(self, make_product: Callable[[torch.Tensor | None, torch.Tensor | None], Product | None]):
        """Sets what makes of a weight and a bias the products that inference uses."""
        self._prepared_weights = PreparedWeights(make_product)

    def forward(
        self, inputs: torch.Tensor, batch_sizes: list[int], hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Runs over packed sentences.

        Args:
            inputs (`(directions, tokens, P)`): packed.
            batch_sizes (`list[int]`): of the packing.
            hidden (`(directions, batch, P)`): output before the first token, longest sentence first.
            cell (`(directions, batch, cells)`): memory before the first token.

        Returns:
            packed outputs `(directions, tokens, P)`, and `hidden` and `cell` after each sentence's last token.
        """
        if torch.compiler.is_compiling() or not batch_sizes:
            return self.run_plainly(inputs, batch_sizes, hidden, cell)
        weights = Weights(self.input_weight, self.recurrent_weight, self._gate_bias(), self.projection_weight)
        device, cell_type = inputs.device.type, cell.dtype
        product_type = autocast_type(device, inputs.dtype)
        dtype = arithmetic_type(device, product_type)
        # Memory cells, which add up over time, keep their precision.
        inputs, hidden, cell = inputs.to(dtype), hidden.to(dtype), cell.to(torch.promote_types(cell_type, dtype))
        clips = Clips(self.cell_clip, self.projection_clip)
        with torch.autocast(device, enabled=False):
            if torch.is_grad_enabled() and any(
                tensor is not None and tensor.requires_grad for tensor in (inputs, hidden, cell, *weights)
            ):
                outputs = ProjectedLSTM.apply(inputs, hidden, cell, *weights, product_type, batch_sizes, clips)
            else:
                # Buffers too: masks, where weights are pruned.
                sources = chain(self.parameters(), self.buffers())
                products = self._prepared_weights.get(sources, weights, product_type, dtype)
                outputs = run_inference(inputs, batch_sizes, (hidden, cell), products, clips)
        output, hidden, cell = outputs
        return output.to(product_type), hidden.to(product_type), cell.to(cell_type)

    def run_plainly(
        self, inputs: torch.Tensor, batch_sizes: list[int], hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What `forward` computes, step by step: the reference that the fast kernels are tested against."""
        input_gates = torch.baddbmm(self._gate_bias()[:, None], inputs, self.input_weight)
        outputs, ended = [], []
        start = 0
        for size in batch_sizes:
            if size < hidden.shape[1]:
                ended.append((hidden[:, size:], cell[:, size:]))
                hidden, cell = hidden[:, :size], cell[:, :size]
            gates = torch.baddbmm(input_gates[:, start : start + size], hidden, self.recurrent_weight)
            hidden, cell = self._cell(gates, cell)
            outputs.append(hidden)
            start += size
        ended.append((hidden, cell))
        hidden, cell = (torch.cat(parts, dim=1) for parts in zip(*reversed(ended), strict=True))
        return torch.cat(outputs, dim=1) if outputs else inputs, hidden, cell

    def _gate_bias(self) -> torch.Tensor:
        """The bias with the forget gate's constant, which the published files leave to be added at run time."""
        constant = self.bias.new_tensor([0, 0, self.forget_bias, 0])
        return (self.bias.unflatten(-1, (4, -1)) + constant[:, None]).flatten(1)

    def _cell(self, gates: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: the memory is clipped before its tanh, the projected output after the projection."""
        input_gate, candidate, forget_gate, output_gate = sigmoid_gates(gates)
        cell = forget_gate * cell + input_gate * candidate
        if self.cell_clip is not None:
            cell = cell.clamp(-self.cell_clip, self.cell_clip)
        hidden = output_gate * cell.tanh()
        if self.projection_weight is not None:
            hidden = torch.bmm(hidden, self.projection_weight)
            if self.projection_clip is not None:
                hidden = hidden.clamp(-self.projection_clip, self.projection_clip)
        return hidden, cell


class ElmoLSTMStack(nn.Module):
    """All layers. The input of each but the first may be added to its output; the state in time is never that sum."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.use_residual, self.dropout = config.use_residual, nn.Dropout(config.dropout)
        self.input_dropout = nn.Dropout(config.dropout if config.input_dropout is None else config.input_dropout)
        self.layers = nn.ModuleList(ElmoLSTMLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        inputs: torch.Tensor,
        batch_sizes: list[int],
        state: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[list[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Runs all layers over packed sentences.

        Args:
            inputs (`(directions, tokens, P)`): packed token vectors.
            batch_sizes (`list[int]`): of the packing.
            state: hidden `(layers, directions, batch, P)` and cell `(layers, directions, batch, cells)`.

        Returns:
            a packed output `(directions, tokens, P)` for each layer, and the state after the last tokens.
        """
        outputs, states = [], []
        for index, layer in enumerate(self.layers):
            inputs = (self.dropout if index else self.input_dropout)(inputs)
            output, hidden, cell = layer(inputs, batch_sizes, state[0][index], state[1][index])
            states.append((hidden, cell))
            inputs = output + inputs if self.use_residual and index > 0 else output
            outputs.append(inputs)
        if not states:  # no layers, no context
            return outputs, state
        hidden, cell = (torch.stack(parts) for parts in zip(*states, strict=True))
        return outputs, (hidden, cell)
