"""The recurrence of `lstm_kernels.py` on a GPU: between the matrix products of a step, one kernel each.

Written in Triton, which PyTorch brings along for NVIDIA and AMD GPUs. Where it is missing or cannot compile,
[`can_run`] says no and PyTorch's own operations run, a dozen to a step. Tensors are `(directions, rows, width)`; rows
lie together, so that a direction's part of a packed tensor can be given as it stands. Kernels compute in fp32 whatever
the tensors' type is.
"""

import functools
import math
import warnings
from itertools import accumulate

import torch

try:
    import triton
    import triton.language as tl

    jit, constexpr = triton.jit, tl.constexpr
except ImportError:
    triton = constexpr = None

    def jit(function):
        return function


# Columns of a row that a program works on: eight for each of its threads, in 16 bytes of a 16-bit type.
LARGEST_BLOCK = 1024


@jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@jit
def tanh(x):
    return 2 * sigmoid(2 * x) - 1


@jit
def clip(x, bound):
    # By comparisons, which keep what is not a number.
    return tl.where(x > bound, bound, tl.where(x < -bound, -bound, x))


@jit
def cell_kernel(
    gates,
    product,
    cell,
    cells,
    squashed,
    output,
    gates_stride,
    product_stride,
    cell_stride,
    cells_stride,
    squashed_stride,
    output_stride,
    bound,
    WIDTH: constexpr,
    KEEP: constexpr,
    BLOCK: constexpr,
):
    """From the two parts of the gates' sums to the output before its projection; `cell` is advanced in place. With
    KEEP the activated gates take the place of their first part, and `cells` and `squashed` are filled."""
    row, direction = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    gates += direction * gates_stride + row * 4 * WIDTH + column
    product += direction * product_stride + row * 4 * WIDTH + column
    cell += direction * cell_stride + row * WIDTH + column
    output += direction * output_stride + row * WIDTH + column

    sums = tl.load(gates, inside).to(tl.float32) + tl.load(product, inside).to(tl.float32)
    input_gate = sigmoid(sums)
    sums = tl.load(gates + WIDTH, inside).to(tl.float32) + tl.load(product + WIDTH, inside).to(tl.float32)
    candidate = tanh(sums)
    sums = tl.load(gates + 2 * WIDTH, inside).to(tl.float32) + tl.load(product + 2 * WIDTH, inside).to(tl.float32)
    forget_gate = sigmoid(sums)
    sums = tl.load(gates + 3 * WIDTH, inside).to(tl.float32) + tl.load(product + 3 * WIDTH, inside).to(tl.float32)
    output_gate = sigmoid(sums)

    memory = clip(forget_gate * tl.load(cell, inside).to(tl.float32) + input_gate * candidate, bound)
    squash = tanh(memory)
    tl.store(cell, memory, inside)
    tl.store(output, output_gate * squash, inside)
    if KEEP:
        tl.store(gates, input_gate, inside)
        tl.store(gates + WIDTH, candidate, inside)
        tl.store(gates + 2 * WIDTH, forget_gate, inside)
        tl.store(gates + 3 * WIDTH, output_gate, inside)
        place = row * WIDTH + column
        tl.store(cells + direction * cells_stride + place, memory, inside)
        tl.store(squashed + direction * squashed_stride + place, squash, inside)


@jit
def output_kernel(
    projected,
    outputs,
    hidden,
    projected_stride,
    outputs_stride,
    hidden_stride,
    bound,
    WIDTH: constexpr,
    BLOCK: constexpr,
):
    """The projected outputs, clipped, to the two places where they belong."""
    row, direction = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    place = row * WIDTH + column
    output = clip(tl.load(projected + direction * projected_stride + place, inside).to(tl.float32), bound)
    tl.store(outputs + direction * outputs_stride + place, output, inside)
    tl.store(hidden + direction * hidden_stride + place, output, inside)


@jit
def output_backward_kernel(
    grad_hidden,
    grad_outputs,
    outputs,
    grad_projected,
    grad_hidden_stride,
    grad_outputs_stride,
    outputs_stride,
    grad_projected_stride,
    bound,
    WIDTH: constexpr,
    BLOCK: constexpr,
):
    """The gradient of the projected outputs from those of the two places they went to, 0 where they were clipped."""
    row, direction = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    place = row * WIDTH + column
    grad = tl.load(grad_hidden + direction * grad_hidden_stride + place, inside).to(tl.float32)
    grad += tl.load(grad_outputs + direction * grad_outputs_stride + place, inside).to(tl.float32)
    output = tl.load(outputs + direction * outputs_stride + place, inside).to(tl.float32)
    grad = tl.where(tl.abs(output) >= bound, 0.0, grad)
    tl.store(grad_projected + direction * grad_projected_stride + place, grad, inside)


@jit
def cell_backward_kernel(
    gates,
    cells,
    squashed,
    before,
    grad_gates,
    grad_output,
    grad_cell,
    gates_stride,
    cells_stride,
    squashed_stride,
    before_stride,
    grad_gates_stride,
    grad_output_stride,
    grad_cell_stride,
    bound,
    WIDTH: constexpr,
    BLOCK: constexpr,
):
    """The gradient of the gates' sums from that of the output before its projection; `grad_cell` becomes the gradient
    of `before`, the memory before the step."""
    row, direction = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    place = row * WIDTH + column
    gates += direction * gates_stride + row * 4 * WIDTH + column
    grad_gates += direction * grad_gates_stride + row * 4 * WIDTH + column
    grad_cell += direction * grad_cell_stride + place

    input_gate = tl.load(gates, inside).to(tl.float32)
    candidate = tl.load(gates + WIDTH, inside).to(tl.float32)
    forget_gate = tl.load(gates + 2 * WIDTH, inside).to(tl.float32)
    output_gate = tl.load(gates + 3 * WIDTH, inside).to(tl.float32)
    memory = tl.load(cells + direction * cells_stride + place, inside).to(tl.float32)
    squash = tl.load(squashed + direction * squashed_stride + place, inside).to(tl.float32)
    memory_before = tl.load(before + direction * before_stride + place, inside).to(tl.float32)
    grad = tl.load(grad_output + direction * grad_output_stride + place, inside).to(tl.float32)

    grad_memory = tl.load(grad_cell, inside).to(tl.float32) + grad * output_gate * (1 - squash * squash)
    grad_memory = tl.where(tl.abs(memory) >= bound, 0.0, grad_memory)
    tl.store(grad_gates, grad_memory * candidate * input_gate * (1 - input_gate), inside)
    tl.store(grad_gates + WIDTH, grad_memory * input_gate * (1 - candidate * candidate), inside)
    tl.store(grad_gates + 2 * WIDTH, grad_memory * memory_before * forget_gate * (1 - forget_gate), inside)
    tl.store(grad_gates + 3 * WIDTH, grad * squash * output_gate * (1 - output_gate), inside)
    tl.store(grad_cell, grad_memory * forget_gate, inside)


def can_run(gates: torch.Tensor) -> bool:
    """Whether the kernels are there for tensors of this device and type."""
    return (
        triton is not None
        and gates.device.type == "cuda"
        and gates.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and compiles_on(gates.device)
    )


@functools.cache
def compiles_on(device: torch.device) -> bool:
    """Whether Triton can compile for this GPU here: it needs one that is not too old, and a C compiler."""
    values = torch.zeros(1, 1, 16, device=device)
    try:
        launch(output_kernel, values, values, values, bound=None)
    except Exception as error:  # of many kinds, and each of them means the same: go without
        warnings.warn(f"The LSTMs run without fused kernels, since Triton cannot compile here: {error}", stacklevel=2)
        return False
    return True


def launch(kernel, *tensors: torch.Tensor, bound: float | None, **options):
    """A program for each direction, row and block of columns of the last tensor."""
    directions, num_rows, width = tensors[-1].shape
    block = min(LARGEST_BLOCK, triton.next_power_of_2(width))
    strides = (tensor.stride(0) for tensor in tensors)
    bound = math.inf if bound is None else bound
    with torch.cuda.device_of(tensors[-1]):
        grid = (num_rows, triton.cdiv(width, block), directions)
        kernel[grid](*tensors, *strides, bound, WIDTH=width, BLOCK=block, **options)


def rows(tensor: torch.Tensor, start: int, end: int) -> torch.Tensor:
    return tensor.narrow(-2, start, end - start)


def run_steps(gates, sizes, state, recurrent, project, clips, outputs, activations=None):
    """As `lstm_kernels.run_steps`; where there are no `activations`, `gates` stay as they are."""
    hidden, cell = state
    output = torch.empty_like(cell, dtype=gates.dtype)
    projection_clip = None if project is None else clips.projection
    start = 0
    for size in sizes:
        end = start + size
        product = recurrent(rows(hidden, 0, size))
        memory, here = rows(cell, 0, size), rows(output, 0, size)
        cells, squashed = (
            (memory, memory) if activations is None else (rows(kept, start, end) for kept in activations[1:])
        )
        tensors = (rows(gates, start, end), product, memory, cells, squashed, here)
        launch(cell_kernel, *tensors, bound=clips.cell, KEEP=activations is not None)
        if project is not None:
            here = project(here)
        launch(output_kernel, here, rows(outputs, start, end), rows(hidden, 0, size), bound=projection_clip)
        start = end


def run_steps_backward(outputs, grad_outputs, sizes, state, activations, grad_state, products, clips):
    """As `lstm_kernels.run_steps_backward`."""
    gates, cells, squashed = activations
    grad_hidden, grad_cell = grad_state
    multiply_recurrent, multiply_projection = products
    grad_outputs = grad_outputs.contiguous()
    grad_gates, grad_projected = torch.empty_like(gates), torch.empty_like(outputs)
    projection_bound = None if multiply_projection is None else rounded_bound(clips.projection, outputs.dtype)
    cell_bound = rounded_bound(clips.cell, cells.dtype)
    starts = list(accumulate(sizes, initial=0))
    for step in reversed(range(len(sizes))):
        size, start, end = sizes[step], starts[step], starts[step + 1]
        grad = rows(grad_projected, start, end)
        tensors = (rows(tensor, start, end) for tensor in (grad_outputs, outputs))
        launch(output_backward_kernel, rows(grad_hidden, 0, size), *tensors, grad, bound=projection_bound)
        if multiply_projection is not None:
            grad = multiply_projection(grad)
        before = rows(cells, starts[step - 1], starts[step - 1] + size) if step else rows(state[1], 0, size)
        tensors = [rows(tensor, start, end) for tensor in (gates, cells, squashed)]
        here = rows(grad_gates, start, end)
        launch(cell_backward_kernel, *tensors, before, here, grad, rows(grad_cell, 0, size), bound=cell_bound)
        rows(grad_hidden, 0, size).copy_(multiply_recurrent(here))
    return grad_gates, None if multiply_projection is None else grad_projected


def rounded_bound(bound: float | None, dtype: torch.dtype) -> float | None:
    """As a clipped value of this type is: clipped to 0.7, a bfloat16 is smaller than 0.7."""
    return None if bound is None else torch.tensor(bound, dtype=dtype).item()
