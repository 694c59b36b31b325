import pytest
import torch
from plain_bilm import lstm_steps

from modeling_elmo.projected_lstm import ElmoLSTMStack, pack_mask

VARIANTS = [
    {},
    {"cell_clip": None},
    {"projection_clip": None},
    {"projection_size": None, "cell_size": 7},
    {"use_residual": False},
    {"bidirectional": False},
    {"num_hidden_layers": 1},
    {"num_hidden_layers": 3},
    {"forget_bias": 0.0},
]
BATCH_SIZES = [4, 3, 3, 1]


def make_stack(config, seed=0) -> ElmoLSTMStack:
    torch.manual_seed(seed)
    stack = ElmoLSTMStack(config).eval().double()
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return stack


def make_inputs(config, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (config.num_hidden_layers, config.num_directions, BATCH_SIZES[0])
    inputs = torch.randn(
        config.num_directions, sum(BATCH_SIZES), config.output_size, generator=generator, dtype=torch.float64
    )
    state = tuple(
        torch.rand(*shape, width, generator=generator, dtype=torch.float64) * 0.6 - 0.3
        for width in (config.output_size, config.cell_size)
    )
    return inputs, state


def packed_row(row: int) -> list[int]:
    """Where the steps of a row stand in a packed tensor."""
    starts = [sum(BATCH_SIZES[:step]) for step in range(len(BATCH_SIZES))]
    return [start + row for start, size in zip(starts, BATCH_SIZES, strict=True) if row < size]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_stack_follows_the_formulas(make_config, options):
    config = make_config(**options)
    stack, (inputs, state) = make_stack(config), make_inputs(config)
    with torch.no_grad():
        outputs, last = stack(inputs, BATCH_SIZES, state)
    assert len(outputs) == config.num_hidden_layers
    for row in range(BATCH_SIZES[0]):
        slots = packed_row(row)
        for direction in range(config.num_directions):
            vectors = list(inputs[direction, slots])
            for index, layer in enumerate(stack.layers):
                with torch.no_grad():
                    expected, hidden, cell = lstm_steps(
                        config,
                        layer,
                        direction,
                        vectors,
                        state[0][index, direction, row],
                        state[1][index, direction, row],
                    )
                if config.use_residual and index > 0:
                    expected = [output + vector for output, vector in zip(expected, vectors, strict=True)]
                vectors = expected
                close = {"rtol": 0, "atol": 1e-12}
                torch.testing.assert_close(outputs[index][direction, slots], torch.stack(expected), **close)
                # The state is what the layer itself gave, before the residual.
                torch.testing.assert_close(last[0][index, direction, row], hidden, **close)
                torch.testing.assert_close(last[1][index, direction, row], cell, **close)


def test_clips_hold(make_config):
    config = make_config(use_residual=False)
    stack, (inputs, state) = make_stack(config), make_inputs(config)
    outputs, (_, cell) = stack(20 * inputs, BATCH_SIZES, state)
    assert max(output.abs().max() for output in outputs) == config.projection_clip
    assert cell.abs().max() == config.cell_clip


def test_without_clips_it_is_the_lstm_of_torch(make_config):
    config = make_config(cell_clip=None, projection_clip=None, use_residual=False, num_hidden_layers=1)
    stack = make_stack(config)
    inputs = torch.randn(2, 5 * 3, config.output_size, dtype=torch.float64)
    state = tuple(torch.zeros(1, 2, 3, width, dtype=torch.float64) for width in (config.output_size, config.cell_size))
    outputs, _ = stack(inputs, [3] * 5, state)
    layer = stack.layers[0]
    for direction in range(2):
        lstm = torch.nn.LSTM(config.output_size, config.cell_size, proj_size=config.projection_size).double()

        def reorder(weight):  # ours: input, candidate, forget, output; torch's: input, forget, candidate, output
            i, g, f, o = weight.chunk(4, dim=-1)
            return torch.cat([i, f, g, o], dim=-1).t() if weight.dim() > 1 else torch.cat([i, f + 1.0, g, o])

        with torch.no_grad():
            lstm.weight_ih_l0.copy_(reorder(layer.input_weight[direction]))
            lstm.weight_hh_l0.copy_(reorder(layer.recurrent_weight[direction]))
            lstm.bias_ih_l0.copy_(reorder(layer.bias[direction]))
            lstm.bias_hh_l0.zero_()
            lstm.weight_hr_l0.copy_(layer.projection_weight[direction].t())
        expected, _ = lstm(inputs[direction].unflatten(0, (5, 3)))
        torch.testing.assert_close(outputs[0][direction], expected.flatten(0, 1), rtol=0, atol=1e-12)


def test_the_dropped_input_is_what_the_residual_adds(make_config):
    config = make_config(num_hidden_layers=2)
    stack, (inputs, state) = make_stack(config), make_inputs(config)
    stack.dropout = stack.input_dropout = Halve()
    outputs, _ = stack(inputs, BATCH_SIZES, state)
    bare = make_stack(make_config(num_hidden_layers=2, use_residual=False))
    bare.dropout = bare.input_dropout = Halve()
    bare_outputs, _ = bare(inputs, BATCH_SIZES, state)
    torch.testing.assert_close(outputs[0], bare_outputs[0])
    torch.testing.assert_close(outputs[1], bare_outputs[1] + 0.5 * outputs[0])


class Halve(torch.nn.Module):
    def forward(self, inputs):
        return 0.5 * inputs


def test_dropout_acts_in_training_only(make_config):
    config = make_config(dropout=0.5)
    stack, (inputs, state) = make_stack(config), make_inputs(config)
    first, second = (stack(inputs, BATCH_SIZES, state)[0][-1] for _ in range(2))
    assert torch.equal(first, second)
    stack.train()
    first, second = (stack(inputs, BATCH_SIZES, state)[0][-1] for _ in range(2))
    assert not torch.equal(first, second)


def test_token_vectors_may_have_a_dropout_of_their_own(make_config):
    config = make_config(dropout=0.5, input_dropout=0.0)
    stack, (inputs, state) = make_stack(config).train(), make_inputs(config)
    (first, *_, last), (again, *_, other) = (stack(inputs, BATCH_SIZES, state)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(last, other)


def test_without_steps_the_state_stays(make_config):
    config = make_config()
    stack, (_, state) = make_stack(config), make_inputs(config)
    outputs, last = stack(torch.zeros(2, 0, config.output_size, dtype=torch.float64), [], state)
    assert [tuple(output.shape) for output in outputs] == [(2, 0, config.output_size)] * 2
    assert all(torch.equal(before, after) for before, after in zip(state, last, strict=True))


@pytest.mark.parametrize("options", [{}, {"projection_size": None, "cell_size": 4}], ids=str)
def test_gradients(make_config, options):
    config = make_config(**{"cell_size": 3, "projection_size": 2, "cell_clip": 2.0, "projection_clip": 2.0, **options})
    stack, (inputs, state) = make_stack(config), make_inputs(config)
    names = [name for name, _ in stack.named_parameters()]

    def run(inputs, hidden, cell, *values):
        parameters = dict(zip(names, values, strict=True))
        outputs, last = torch.func.functional_call(stack, parameters, (inputs, BATCH_SIZES, (hidden, cell)))
        return (*outputs, *last)

    values = [inputs, *state, *stack.parameters()]
    assert torch.autograd.gradcheck(run, [value.detach().requires_grad_() for value in values], fast_mode=True)


@pytest.mark.parametrize("directions", [1, 2])
def test_packing(directions):
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    packing = pack_mask(mask, directions)
    assert packing.batch_sizes == [3, 2, 2, 1, 1]
    assert packing.order.tolist() == [3, 0, 2, 1]
    assert packing.tokens.tolist() == mask.flatten().nonzero()[:, 0].tolist()
    # Forward: all first tokens, longest sentence first, then all second ones ...
    packed = [15, 0, 11, 16, 2, 17, 3, 18, 19]
    assert packing.tokens[packing.sources[0]].tolist() == packed
    if directions == 2:  # ... and backward from each sentence's own end.
        assert packing.tokens[packing.sources[1]].tolist() == [19, 3, 11, 18, 2, 17, 0, 16, 15]
    for slots, sources in zip(packing.slots, packing.sources, strict=True):
        assert torch.equal(slots[sources], torch.arange(9))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0), (3, 4)])
def test_packing_of_nothing(shape):
    packing = pack_mask(torch.zeros(shape, dtype=torch.bool), 2)
    assert packing.batch_sizes == []
    assert packing.tokens.numel() == packing.slots.numel() == packing.sources.numel() == 0
