"""The GPU's path of the LSTM layers against the readable one: on CPU with both directions in one tensor, as a GPU has
them, and Triton's kernels in its interpreter; on a GPU as they are."""

import importlib.util
import sys

import pytest
import torch
from lstm_layers import LENGTHS, VARIANTS, gradients, make_inputs, make_layer

from modeling_elmo import lstm_kernels, projected_lstm, triton_kernels

# bfloat16's rounding is 2^-8 of a value.
TOLERANCE = {torch.bfloat16: 0.03, torch.float16: 0.004}


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
    monkeypatch.setattr(projected_lstm, "arithmetic_type", lambda device, product_type: product_type)
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


@pytest.mark.parametrize("keep", [True, False])
def test_kernels_by_segments(keep, interpreted, monkeypatch):
    monkeypatch.setattr(lstm_kernels, "GATES_PER_SEGMENT", 5 * 96)
    monkeypatch.setattr(lstm_kernels, "TOKENS_PER_SEGMENT_IN_TRAINING", 1)
    if not keep:
        monkeypatch.setattr(lstm_kernels, "GATES_TO_KEEP", 0)
    layer = make_layer(cell_clip=0.5)
    arguments = make_inputs(layer, (9, 1, 4, 4))
    check_inference(layer, arguments, 1e-6)
    check_gradients(layer, arguments, 2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_in_half_precision_with_cells_in_full(dtype, interpreted):
    layer = make_layer()
    arguments = make_inputs(layer, (5, 2, 3))
    expected, wanted = gradients(layer.run_plainly, layer, *arguments)
    with torch.autocast("cpu", dtype):
        got, grads = gradients(layer, layer, *arguments)
    assert [part.dtype for part in got] == [dtype, dtype, torch.float32]
    for part, plain in zip(got, expected, strict=True):
        torch.testing.assert_close(part.float(), plain, atol=TOLERANCE[dtype], rtol=0)
    for grad, plain in zip(grads, wanted, strict=True):
        assert torch.cosine_similarity(grad.flatten(), plain.flatten(), dim=0) > 0.999


def test_what_is_not_a_number_stays_so(interpreted):
    layer = make_layer(cell_clip=0.2, projection_clip=0.1)
    inputs, *rest = make_inputs(layer, (3, 2))
    inputs[0, 0, 0] = torch.nan
    with torch.no_grad():
        fast, plain = layer(inputs, *rest), layer.run_plainly(inputs, *rest)
    assert fast[0].isnan().any()
    torch.testing.assert_close(fast, plain, equal_nan=True, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["cell_kernel", "output_kernel", "output_backward_kernel", "cell_backward_kernel"])
def test_kernels_compile_for_a_gpu(name, dtype):
    """Triton compiles without the GPU it compiles for, here a Hopper."""
    triton = pytest.importorskip("triton", reason="needs Triton: pip install triton (on Linux)")
    kernel = getattr(triton_kernels, name)
    signature = {}
    for argument in kernel.arg_names:
        if argument in ("WIDTH", "BLOCK", "KEEP"):
            signature[argument] = "constexpr"
        elif argument.endswith("_stride"):
            signature[argument] = "i64"
        elif argument == "bound":
            signature[argument] = "fp32"
        else:
            signature[argument] = "*fp32" if "cell" in argument or argument == "before" else "*" + dtype
    constants = {"WIDTH": 24, "BLOCK": 32} | ({"KEEP": True} if "KEEP" in signature else {})
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    assert f".entry {name}" in triton.compile(source, target=target).asm["ptx"]


def test_without_triton_the_module_imports_and_says_no(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    spec = importlib.util.spec_from_file_location("triton_kernels_without_triton", triton_kernels.__file__)
    kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernels)
    assert not kernels.can_run(torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_on_a_gpu(variant, lengths, fused, monkeypatch):
    layer = make_layer(**VARIANTS[variant])
    arguments = [part.cuda() if isinstance(part, torch.Tensor) else part for part in make_inputs(layer, lengths)]
    layer.cuda()
    if not fused:
        monkeypatch.setattr(lstm_kernels, "can_fuse", lambda gates: False)
    elif not triton_kernels.can_run(arguments[0]):
        pytest.skip("Triton is not installed or cannot compile for this GPU")
    check_inference(layer, arguments, 1e-5)
    check_gradients(layer, arguments, 1e-5)
    inputs, batch_sizes, *state = arguments
    with torch.no_grad():
        plain = layer.run_plainly(*arguments)
        half = layer.bfloat16()(inputs.bfloat16(), batch_sizes, *(part.bfloat16() for part in state))
    for part, wanted in zip(half, plain, strict=True):
        torch.testing.assert_close(part.float(), wanted, atol=0.1, rtol=0)
