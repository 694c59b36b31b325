"""The GPU's path of the LSTM layers against the readable one: on CPU with both directions in one tensor, as a GPU has
them, and Triton's kernels in its interpreter; on a GPU as they are."""

import importlib.util

import pytest
import torch
from lstm_layers import LENGTHS, VARIANTS, gradients, make_inputs, make_layer

from modeling_elmo import lstm_kernels, triton_kernels

# bfloat16's rounding is 2^-8 of a value.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 0.03, torch.float16: 0.004}
on_gpu = pytest.mark.gpu


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def directions_together(monkeypatch):
    monkeypatch.setattr(lstm_kernels, "split_lanes", lambda *tensors: [tensors])


@pytest.fixture
def interpreted(monkeypatch, directions_together):
    """Triton's interpreter in place of its compiler; how often each kernel ran."""
    pytest.importorskip("triton", reason="needs Triton: pip install triton (on Linux)")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # Read once more: which of the two runs a kernel is settled when it is defined.
    spec = importlib.util.spec_from_file_location("interpreted_triton_kernels", triton_kernels.__file__)
    kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernels)
    launches, launch = [], kernels.launch

    def count(kernel, *tensors, **options):
        launches.append(kernel.fn.__name__)
        launch(kernel, *tensors, **options)

    monkeypatch.setattr(kernels, "launch", count)
    monkeypatch.setattr(lstm_kernels, "can_fuse", lambda gates: True)
    monkeypatch.setattr(lstm_kernels, "run_fused_steps", kernels.run_steps)
    monkeypatch.setattr(lstm_kernels, "run_fused_steps_backward", kernels.run_steps_backward)
    return launches


def check_inference(layer, arguments, tolerance):
    with torch.no_grad():
        for fast, plain in zip(layer(*arguments), layer.run_plainly(*arguments), strict=True):
            torch.testing.assert_close(fast, plain, atol=tolerance, rtol=0)


def check_gradients(layer, arguments, tolerance):
    fast, fast_gradients = gradients(layer, layer, *arguments)
    plain, plain_gradients = gradients(layer.run_plainly, layer, *arguments)
    torch.testing.assert_close(fast, plain, atol=tolerance, rtol=0)
    # Sums over many tokens: as far as the largest of each gradient is exact.
    for got, wanted in zip(fast_gradients, plain_gradients, strict=True):
        assert (got - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=1)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_directions_together_change_nothing(variant, lengths, directions_together):
    layer = make_layer(torch.float64, **VARIANTS[variant])
    arguments = make_inputs(layer, lengths, torch.float64)
    check_inference(layer, arguments, 1e-12)
    check_gradients(layer, arguments, 1e-12)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kernels_equal_the_reference(variant, lengths, interpreted):
    layer = make_layer(**VARIANTS[variant])
    arguments = make_inputs(layer, lengths)
    steps = len(arguments[1])
    check_inference(layer, arguments, 1e-6)
    assert interpreted == ["cell_kernel", "output_kernel"] * steps
    interpreted.clear()
    check_gradients(layer, arguments, 2e-6)
    assert interpreted == [
        *["cell_kernel", "output_kernel"] * steps,
        *["output_backward_kernel", "cell_backward_kernel"] * steps,
    ]
