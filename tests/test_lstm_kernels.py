"""The fast paths of the LSTM layers against the readable one."""

import copy
import pickle

import pytest
import torch
from lstm_layers import LENGTHS, VARIANTS, gradients, make_inputs, make_layer
from torch.nn.utils import prune

from modeling_elmo import lstm_kernels, matrix_products


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(lstm_kernels, "GATES_PER_SEGMENT", 5 * 96)
    monkeypatch.setattr(lstm_kernels, "STEPS_TO_VIEW", 2)
    monkeypatch.setattr(lstm_kernels, "TOKENS_PER_SEGMENT_IN_TRAINING", 1)


@pytest.fixture(autouse=True, params=["MKL is fast", "MKL is slow"])
def each_processor(request, monkeypatch):
    for module in (lstm_kernels, matrix_products):
        monkeypatch.setattr(module, "MKL_IS_FAST", request.param == "MKL is fast")


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_inference_equals_the_reference(variant, lengths):
    layer = make_layer(**VARIANTS[variant])
    arguments = make_inputs(layer, lengths)
    with torch.no_grad():
        for fast, plain in zip(layer(*arguments), layer.run_plainly(*arguments), strict=True):
            torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_equal_the_reference(variant, lengths):
    layer = make_layer(torch.float64, **VARIANTS[variant])
    arguments = make_inputs(layer, lengths, torch.float64)
    fast, fast_gradients = gradients(layer, layer, *arguments)
    plain, plain_gradients = gradients(layer.run_plainly, layer, *arguments)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(fast_gradients, plain_gradients)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_in_single_precision(variant):
    layer = make_layer(**VARIANTS[variant])
    arguments = make_inputs(layer, (7, 1, 3, 3, 6))
    _, fast = gradients(layer, layer, *arguments)
    _, plain = gradients(layer.run_plainly, layer, *arguments)
    torch.testing.assert_close(fast, plain, atol=2e-5, rtol=1e-4)


def test_gradients_equal_finite_differences():
    layer = make_layer(torch.float64, cell_size=5, projection_size=3, cell_clip=0.4, projection_clip=0.3)
    inputs, batch_sizes, hidden, cell = make_inputs(layer, (3, 1, 2), torch.float64)

    def run(inputs, hidden, cell, *parameters):
        names = (name for name, _ in layer.named_parameters())
        return torch.func.functional_call(
            layer, dict(zip(names, parameters, strict=True)), (inputs, batch_sizes, hidden, cell)
        )

    tensors = [tensor.detach().clone().requires_grad_() for tensor in (inputs, hidden, cell, *layer.parameters())]
    assert torch.autograd.gradcheck(run, tensors)


@pytest.mark.parametrize("keep", [True, False])
def test_segments_change_nothing(keep, short_segments, monkeypatch):
    if not keep:
        monkeypatch.setattr(lstm_kernels, "GATES_TO_KEEP", 0)
    layer = make_layer(torch.float64, cell_clip=0.5)
    arguments = make_inputs(layer, (9, 1, 4, 4), torch.float64)
    assert len(lstm_kernels.split_steps(arguments[1], arguments[3])) > 2
    fast, fast_gradients = gradients(layer, layer, *arguments)
    plain, plain_gradients = gradients(layer.run_plainly, layer, *arguments)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(fast_gradients, plain_gradients)
    with torch.no_grad():
        torch.testing.assert_close(layer(*arguments), plain)


def test_gradients_of_the_weights_alone():
    layer = make_layer(torch.float64)
    inputs, batch_sizes, hidden, cell = make_inputs(layer, (3, 2), torch.float64)
    layer.recurrent_weight.requires_grad_(False)
    for run in (layer, layer.run_plainly):
        layer.zero_grad()
        run(inputs, batch_sizes, hidden, cell)[0].square().sum().backward()
        assert layer.recurrent_weight.grad is None
        if run is layer:
            fast = layer.input_weight.grad
    torch.testing.assert_close(fast, layer.input_weight.grad)


def test_the_given_state_and_inputs_stay_as_they_are():
    layer = make_layer()
    inputs, batch_sizes, hidden, cell = make_inputs(layer, (3, 2))
    copies = [tensor.clone() for tensor in (inputs, hidden, cell)]
    layer(inputs, batch_sizes, hidden, cell)[0].sum().backward()
    with torch.no_grad():
        layer(inputs, batch_sizes, hidden, cell)
    for tensor, before in zip((inputs, hidden, cell), copies, strict=True):
        assert torch.equal(tensor, before)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_autocast_stays_close(with_gradients):
    layer = make_layer()
    arguments = make_inputs(layer, (5, 2, 3))
    expected = layer.run_plainly(*arguments)
    with torch.set_grad_enabled(with_gradients), torch.autocast("cpu", torch.bfloat16):
        outputs, hidden, cell = layer(*arguments)
    assert outputs.dtype == hidden.dtype == torch.bfloat16 and cell.dtype == torch.float32
    for got, wanted in zip((outputs, hidden, cell), expected, strict=True):
        torch.testing.assert_close(got.float(), wanted, atol=0.1, rtol=0)
    if with_gradients:
        outputs.float().sum().backward()
        grad = layer.recurrent_weight.grad.clone()
        layer.zero_grad()
        expected[0].sum().backward()
        similarity = torch.cosine_similarity(grad.flatten(), layer.recurrent_weight.grad.flatten(), dim=0)
        assert grad.dtype == torch.float32 and similarity > 0.99


@pytest.mark.parametrize("keep", [True, False])
def test_autocast_around_the_backward_pass_alone_changes_nothing(keep, monkeypatch):
    if not keep:
        monkeypatch.setattr(lstm_kernels, "GATES_TO_KEEP", 0)
    layer = make_layer()
    outputs = layer(*make_inputs(layer, (7, 7, 7, 7, 7)))[0]
    expected = torch.autograd.grad(outputs.sum(), [*layer.parameters()], retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        got = torch.autograd.grad(outputs.sum(), [*layer.parameters()])
    torch.testing.assert_close(got, expected, atol=0, rtol=0)


def test_gradients_add_up_in_the_weights_own_type(short_segments):
    layer = make_layer()
    with torch.autocast("cpu", torch.bfloat16):
        layer(*make_inputs(layer, (9, 4, 4)))[0].float().sum().backward()
    for weight in (layer.input_weight, layer.recurrent_weight, layer.projection_weight):
        assert not torch.equal(weight.grad, weight.grad.bfloat16().float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    layer = make_layer()
    arguments = make_inputs(layer, (5, 2, 3))
    with torch.no_grad():
        expected = layer.run_plainly(*arguments)
        layer.to(dtype)
        inputs, batch_sizes, *state = arguments
        got = layer(inputs.to(dtype), batch_sizes, *(part.to(dtype) for part in state))
    for part, wanted in zip(got, expected, strict=True):
        assert part.dtype == dtype
        torch.testing.assert_close(part.float(), wanted, atol=0.1, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("change", ["in place", "through .data", "replaced", "cast"])
def test_prepared_weights_follow_the_parameters(change):
    layer = make_layer()
    arguments = make_inputs(layer, (3, 2))
    before = layer(*arguments)[0]
    if change == "in place":
        layer.projection_weight.mul_(2)
    elif change == "through .data":
        layer.projection_weight.data.mul_(2)
    elif change == "replaced":
        layer.load_state_dict({key: value + 0.1 for key, value in layer.state_dict().items()}, assign=True)
    else:
        layer.double()
        inputs, batch_sizes, *state = arguments
        arguments = (inputs.double(), batch_sizes, *(part.double() for part in state))
    after = layer(*arguments)[0]
    torch.testing.assert_close(after, layer.run_plainly(*arguments)[0], atol=1e-6, rtol=0)
    assert change == "cast" or not torch.allclose(after, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_changes_through_data_show_in_the_fingerprint(dtype):
    torch.manual_seed(0)
    weight = torch.randn(64, 512).to(dtype)
    seen = {lstm_kernels.fingerprint(weight)}
    for _ in range(40):
        weight.data.add_(torch.randn_like(weight) * 3e-4)
        seen.add(lstm_kernels.fingerprint(weight))
    assert len(seen) == 41


@torch.no_grad()
def test_prepared_weights_follow_what_is_pruned():
    """Pruning step by step changes a mask, which is a buffer, and no parameter."""
    layer = make_layer()
    arguments = make_inputs(layer, (3, 2))
    for _ in range(3):
        prune.random_unstructured(layer, "recurrent_weight", amount=0.3)
        found = layer(*arguments)[0]
        torch.testing.assert_close(found, layer.run_plainly(*arguments)[0], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_used_layer_can_be_copied_and_pickled():
    layer = make_layer()
    arguments = make_inputs(layer, (3, 2))
    expected = layer(*arguments)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(*arguments)[0], expected)


def test_threads_get_products_of_their_own_type(monkeypatch):
    """Autocast is a thread's own, the prepared weights are all threads': another may come while one looks for its."""
    parameters = torch.ones(1, 2, 8), torch.ones(1, 2, 8), torch.ones(1, 8), None
    prepared = lstm_kernels.PreparedWeights(lambda weight, bias=None: weight)
    others = []

    def type_of_products(dtype):
        products = prepared.get([None], lstm_kernels.Weights(*parameters), dtype, torch.float32)
        return products[0][0].dtype

    class Unchanged:
        def __eq__(self, other):
            if not others:
                others.append(None)
                others.append(type_of_products(torch.bfloat16))
            return True

    monkeypatch.setattr(lstm_kernels, "fingerprint", lambda source: Unchanged())
    assert [type_of_products(torch.float32) for _ in range(3)] == 3 * [torch.float32]
    assert others == [None, torch.bfloat16]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_directions_on_threads_change_nothing(mode, monkeypatch):
    layer = make_layer()
    arguments = make_inputs(layer, (7, 1, 3, 3, 6))
    expected = layer.run_plainly(*arguments)[0]
    grad = torch.autograd.grad(expected.sum(), layer.bias)[0]
    monkeypatch.setattr(lstm_kernels, "LEAST_GATES_FOR_THREADS", 0)
    monkeypatch.setattr(lstm_kernels, "LEAST_GATES_OF_A_STEP", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with mode():
            outputs = layer(*arguments)[0]
        torch.testing.assert_close(outputs, expected, atol=1e-6, rtol=0)
        if mode is torch.enable_grad:
            torch.testing.assert_close(torch.autograd.grad(outputs.sum(), layer.bias)[0], grad)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
