"""Random layers of the biLM and packed inputs for them, for the tests of their fast paths."""

import torch

from modeling_elmo.configuration_elmo import ElmoConfig
from modeling_elmo.projected_lstm import ElmoLSTMLayer, pack_mask

VARIANTS = {
    "published": {},
    "tight clips": {"cell_clip": 0.2, "projection_clip": 0.05},
    "no clips": {"cell_clip": None, "projection_clip": None},
    "no projection": {"projection_size": None},
    "one direction": {"bidirectional": False},
    "one direction, no projection": {"bidirectional": False, "projection_size": None, "cell_clip": 0.1},
}
# Sentence lengths: equal, mixed, with a row without tokens, a single short one.
LENGTHS = [(4, 4, 4), (7, 1, 3, 3, 6), (2, 0, 5), (1,)]


def make_layer(dtype=torch.float32, **options) -> ElmoLSTMLayer:
    config = ElmoConfig(**{"cell_size": 24, "projection_size": 8, **options})
    layer = ElmoLSTMLayer(config).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.4)
    return layer


def make_inputs(layer, lengths, dtype=torch.float32):
    """Packed inputs, batch sizes, and a state to start from."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    directions, width, _ = layer.input_weight.shape
    packing = pack_mask(mask, directions)
    shapes = [
        (directions, sum(lengths), width),
        *((directions, len(lengths), n) for n in (width, layer.bias.shape[-1] // 4)),
    ]
    inputs, hidden, cell = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return inputs, packing.batch_sizes, hidden, cell


def gradients(run, layer, inputs, batch_sizes, hidden, cell):
    """Outputs, and the gradients of a random weighting of them with respect to everything."""
    tensors = [tensor.clone().requires_grad_() for tensor in (inputs, hidden, cell)]
    results = run(tensors[0], batch_sizes, *tensors[1:])
    generator = torch.Generator().manual_seed(1)
    weightings = [torch.randn(part.shape, generator=generator, dtype=part.dtype).to(part.device) for part in results]
    score = sum((part * weighting).sum() for part, weighting in zip(results, weightings, strict=True))
    return results, torch.autograd.grad(score, [*tensors, *layer.parameters()])
