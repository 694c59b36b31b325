"""The projected LSTM over packed sentences, fast: what `ElmoLSTMLayer` runs in place of its readable loop.

Same arithmetic, but activations are written over the gates they come from, nothing is recorded step by step for
autograd, and the backward pass through time is written out: the weights' gradients are one product over all steps.
All tensors may have a leading dimension for the directions; then their steps run together, which suits a GPU. On a CPU
the directions run apart, each on a thread of its own where there is enough to do. On a GPU the kernels of
`triton_kernels.py` take the place of the operations between two matrix products where they can run.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from .matrix_products import MKL_IS_FAST, Product, matrix_product, prepare
from .triton_kernels import can_run as can_fuse
from .triton_kernels import rounded_bound, rows
from .triton_kernels import run_steps as run_fused_steps
from .triton_kernels import run_steps_backward as run_fused_steps_backward

# Gate values computed ahead of the recurrence at once (8 MB in fp32): bounds the memory that long texts take, and
# keeps it in the cache.
GATES_PER_SEGMENT = 2**21
# In training the weights' gradients are added up once a segment, which takes as long as hundreds of tokens do.
TOKENS_PER_SEGMENT_IN_TRAINING = 2048
# The same on a GPU (512 MB in fp32), whose cache holds no segment that would keep it busy.
GATES_PER_SEGMENT_ON_GPU = 2**27
# Gate values kept for the backward pass (1 GB in fp32); of longer texts each segment is computed again.
GATES_TO_KEEP = 2**28
# Fewer gate values than this in a layer and direction, or in one of its steps, are not worth a thread: the sooner a
# step's products are done, the more it waits for Python's lock.
LEAST_GATES_FOR_THREADS = 2**19
LEAST_GATES_OF_A_STEP = 2**16 if MKL_IS_FAST else 2**15
# Steps whose views of all tensors are in memory together, some hundred bytes each.
STEPS_TO_VIEW = 256


class Clips(NamedTuple):
    """Bounds of the memory cells' and the projected outputs' absolute values; `None`: no bound."""

    cell: float | None
    projection: float | None


class Weights(NamedTuple):
    """Weights of a layer: `(..., P, 4 * cells)` twice, `(..., 4 * cells)`, and `(..., cells, P)` or `None`."""

    input: torch.Tensor
    recurrent: torch.Tensor
    bias: torch.Tensor
    projection: torch.Tensor | None

    def rounded(self, product_type: torch.dtype, dtype: torch.dtype) -> "Weights":
        """As they multiply; the bias is added in `dtype`, the type of what is computed between products."""
        types = (product_type, product_type, dtype, product_type)
        return Weights(*(None if w is None else w.to(type) for w, type in zip(self, types, strict=True)))


# For each lane (see `split_lanes`) the products with input weights and bias, recurrent weights and projection.
LaneProducts = list[tuple[Product, Product, Product | None]]


class Segment(NamedTuple):
    """Steps whose gates are in memory together: their batch sizes, and their rows `start:end` of packed tensors."""

    sizes: list[int]
    start: int
    end: int


class Activations(NamedTuple):
    """What the backward pass needs of a segment's `n` tokens.

    Attributes:
        gates (`(..., n, 4 * cells)`): input gate, candidate, forget gate, output gate.
        cells (`(..., n, cells)`): memory, clipped.
        squashed (`(..., n, cells)`): its tanh.
    """

    gates: torch.Tensor
    cells: torch.Tensor
    squashed: torch.Tensor


class Latest:
    """What was made last, until something else is asked for."""

    def __init__(self):
        # Of what it was made, and it: set together, since other threads may ask for something else.
        self._made: tuple[tuple | None, Any] = (None, None)

    def __reduce__(self):
        # Packed weights can be neither copied nor pickled, and need not be.
        return Latest, ()

    def get(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What `make()` gave for this key."""
        made_of, value = self._made
        if key != made_of:
            value = make()
            self._made = key, value
        return value


class PreparedWeights:
    """A layer's products for inference, kept from call to call and made again when the weights have changed."""

    def __init__(self, make_product: Callable = prepare):
        self._make_product = make_product
        self._latest = Latest()

    def get(
        self, sources: Iterable[torch.Tensor], weights: Weights, product_type: torch.dtype, dtype: torch.dtype
    ) -> LaneProducts:
        """Products in `product_type` with `weights`, which are made of `sources`; biases are in `dtype`."""
        if weights.input.device.type != "cpu":  # nothing to prepare there, and fingerprints would wait for the device
            return self._make(weights.rounded(product_type, dtype))
        key = (product_type, *(fingerprint(source) for source in sources))
        return self._latest.get(key, lambda: self._make(weights.rounded(product_type, dtype)))

    def _make(self, weights: Weights) -> LaneProducts:
        return [
            (self._make_product(w_input, bias), self._make_product(recurrent), self._make_product(projection))
            for w_input, recurrent, bias, projection in split_lanes(*weights)
        ]


def fingerprint(weight: torch.Tensor) -> tuple:
    """Changes with the values. The version counter misses writes through `.data`, which a sample of some 256 values
    shows, unless they change single values outside it."""
    sample = weight.detach().flatten()[:: max(1, weight.numel() // 256)].double()
    # Each counts differently, so that changes hardly cancel.
    checksum = torch.dot(sample, torch.linspace(1, 2, len(sample), dtype=sample.dtype)).item()
    return weight.data_ptr(), None if weight.is_inference() else weight._version, checksum


def split_lanes(*tensors: torch.Tensor | None) -> list[tuple[torch.Tensor | None, ...]]:
    """What runs apart: on CPU each direction's part of the tensors, elsewhere all of them at once."""
    if any(tensor is not None and tensor.device.type != "cpu" for tensor in tensors):
        return [tensors]
    return list(zip(*(repeat(None) if tensor is None else tensor.unbind() for tensor in tensors), strict=False))


def run_lanes(run: Callable, lanes: list[tuple], num_gates: int, num_steps: int) -> list:
    """`run(*lane)` for each lane: at the same time, each on its share of the threads, where there is enough to do.

    So cores wait for each other once a layer instead of at each product, and keep their lane's data to themselves.
    """
    num_threads = torch.get_num_threads()
    least = max(LEAST_GATES_FOR_THREADS, num_steps * LEAST_GATES_OF_A_STEP)
    if len(lanes) == 1 or num_threads == 1 or num_gates < least:
        return [run(*lane) for lane in lanes]
    inference = torch.is_inference_mode_enabled()

    def run_apart(lane):
        torch.set_num_threads(max(1, num_threads // len(lanes)))
        # Threads start without the caller's modes.
        with torch.inference_mode(inference), torch.no_grad():
            return run(*lane)

    try:
        with ThreadPoolExecutor(len(lanes) - 1) as pool:
            others = [pool.submit(run_apart, lane) for lane in lanes[1:]]
            return [run_apart(lanes[0]), *(other.result() for other in others)]
    finally:
        torch.set_num_threads(num_threads)


def split_steps(batch_sizes: list[int], cell: torch.Tensor, least_tokens: int = 1) -> list[Segment]:
    """Cuts a packing's steps into segments of at most `GATES_PER_SEGMENT` gate values or, where these are more,
    those of `least_tokens` (but at least a step)."""
    gates_per_token = 4 * cell.shape[-1]
    most = GATES_PER_SEGMENT if cell.device.type == "cpu" else GATES_PER_SEGMENT_ON_GPU
    most = max(most, least_tokens * gates_per_token)
    segments, sizes, start, end = [], [], 0, 0
    for size in batch_sizes:
        if sizes and (end + size - start) * gates_per_token > most:
            segments.append(Segment(sizes, start, end))
            sizes, start = [], end
        sizes.append(size)
        end += size
    if sizes:
        segments.append(Segment(sizes, start, end))
    return segments


def has_slow_tanh(tensor: torch.Tensor) -> bool:
    """Whether `tanh(x)` is better computed as `2 sigmoid(2x) - 1`: on CPU, but for MKL's where it is fast, a sigmoid
    takes a sixth of the time, and in fp32 (not in shorter types) the difference is below 3e-7."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and not MKL_IS_FAST


def tanh(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    if not has_slow_tanh(x):
        return torch.tanh(x, out=out)
    # Doubled by itself, for PyTorch makes a tensor of the 2 in each product with it.
    squashed = torch.add(x, x, out=out).sigmoid_()
    return squashed.add_(squashed).sub_(1)


def by_step(sizes: list[int], *tensors: torch.Tensor | None, backward: bool = False) -> Iterator[tuple]:
    """For each step, first to last or `backward`, its size and its rows of each tensor.

    Many views are made in one call: where directions have threads of their own, each call of a step may wait for
    Python's lock, which in small models takes longer than what the call does.
    """
    ends = list(accumulate(sizes, initial=0))
    parts = range(0, len(sizes), STEPS_TO_VIEW)
    for first in reversed(parts) if backward else parts:
        here = sizes[first : first + STEPS_TO_VIEW]
        start, end = ends[first], ends[first + len(here)]
        views = (repeat(None) if part is None else rows(part, start, end).split(here, -2) for part in tensors)
        steps = list(zip(here, *views, strict=False))
        yield from reversed(steps) if backward else steps


def run_steps(
    gates: torch.Tensor,
    sizes: list[int],
    state: tuple[torch.Tensor, torch.Tensor],
    recurrent: Product,
    project: Product | None,
    clips: Clips,
    outputs: torch.Tensor,
    activations: Activations | None = None,
):
    """The recurrence.

    Args:
        gates (`(..., n, 4 * cells)`): the inputs' share of the gates; on return, where there are `activations`, the
            activated gates.
        sizes (`list[int]`): sentences at each step, never increasing; `n` in all.
        state: hidden `(..., batch, P)` and cell `(..., batch, cells)`; advanced in place.
        recurrent, project: products with the recurrent weights and the projection.
        outputs (`(..., n, P)`): filled.
        activations: `cells` and `squashed` are filled where given.
    """
    if can_fuse(gates):
        return run_fused_steps(gates, sizes, state, recurrent, project, clips, outputs, activations)
    hidden, memory = state
    width = memory.shape[-1]
    widths = [width, width, 2 * width]
    input_gates, candidates, sigmoids = gates.split(widths, -1)
    forget_gates, output_gates = sigmoids.chunk(2, -1)
    _, cells, squashed = activations or (None, None, None)
    steps = by_step(
        sizes, gates, input_gates, candidates, sigmoids, forget_gates, output_gates, outputs, cells, squashed
    )
    for size, here, input_gate, candidate, both, forget_gate, output_gate, place, kept, squash in steps:
        if size < hidden.shape[-2]:
            hidden, memory = (rows(part, 0, size) for part in state)
        input_sums, candidate_sums, other_sums = recurrent(hidden, here).split(widths, -1)
        torch.sigmoid(input_sums, out=input_gate)
        tanh(candidate_sums, out=candidate)
        torch.sigmoid(other_sums, out=both)
        memory.mul_(forget_gate).addcmul_(input_gate, candidate)
        if clips.cell is not None:
            memory.clamp_(-clips.cell, clips.cell)
        if kept is not None:
            kept.copy_(memory)
        squash = tanh(memory, candidate if squash is None else squash)
        output = output_gate * squash
        if project is not None:
            output = project(output)
            if clips.projection is not None:
                output.clamp_(-clips.projection, clips.projection)
        place.copy_(output)
        hidden.copy_(output)


def run_inference(
    inputs: torch.Tensor,
    batch_sizes: list[int],
    state: tuple[torch.Tensor, torch.Tensor],
    products: LaneProducts,
    clips: Clips,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs `(directions, tokens, P)` and the state after them, without anything for a backward pass."""
    hidden, cell = (part.clone(memory_format=torch.contiguous_format) for part in state)
    outputs = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    segments = split_steps(batch_sizes, cell)

    def run(inputs, outputs, hidden, cell, products):
        multiply, recurrent, project = products
        for segment in segments:
            gates = multiply(rows(inputs, segment.start, segment.end))
            segment_outputs = rows(outputs, segment.start, segment.end)
            run_steps(gates, segment.sizes, (hidden, cell), recurrent, project, clips, segment_outputs)

    lanes = split_lanes(inputs, outputs, hidden, cell)
    lanes = [(*lane, lane_products) for lane, lane_products in zip(lanes, products, strict=True)]
    run_lanes(run, lanes, inputs.shape[-2] * 4 * cell.shape[-1], len(batch_sizes))
    return outputs, hidden, cell


def shifted(values: torch.Tensor, initial: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """What stood before each token of a segment: `values` of the step before, `initial` for the first step."""
    before, start = [rows(initial, 0, sizes[0])], 0
    for size, next_size in zip(sizes, sizes[1:], strict=False):
        before.append(rows(values, start, start + next_size))
        start += size
    return torch.cat(before, dim=-2)


class ProjectedLSTM(torch.autograd.Function):
    """As [`run_inference`], with a backward pass through time.

    `apply(inputs, hidden, cell, *Weights, product_type, batch_sizes, clips)` -> outputs, hidden, cell. Types may be
    mixed: the memory cells may be of higher precision than the rest, and products, on CPU, of lower. The weights'
    gradients are added up in the weights' own type, or in a higher one where activations have it.
    """

    @staticmethod
    def forward(ctx, inputs, hidden, cell, *arguments):
        *weights, product_type, batch_sizes, clips = arguments
        ctx.total_types = [None if w is None else torch.promote_types(w.dtype, inputs.dtype) for w in weights]
        weights = Weights(*weights).rounded(product_type, inputs.dtype)
        num_gates = inputs.shape[-2] * 4 * cell.shape[-1]
        segments = split_steps(batch_sizes, cell, TOKENS_PER_SEGMENT_IN_TRAINING)
        keep = num_gates <= GATES_TO_KEEP
        last_hidden, last_cell = (part.clone(memory_format=torch.contiguous_format) for part in (hidden, cell))
        outputs = torch.empty_like(inputs, memory_format=torch.contiguous_format)

        def run(inputs, outputs, hidden, cell, *weights):
            weights, state = Weights(*weights), (hidden, cell)
            recurrent, project = prepare(weights.recurrent), prepare(weights.projection)
            records = []
            for segment in segments:
                initial = tuple(part.clone() for part in state)
                gates = matrix_product(rows(inputs, segment.start, segment.end), weights.input, weights.bias)
                activations = new_activations(gates, cell) if keep else None
                segment_outputs = rows(outputs, segment.start, segment.end)
                run_steps(gates, segment.sizes, state, recurrent, project, clips, segment_outputs, activations)
                records.append((initial, activations))
            return records

        ctx.records = run_lanes(
            run, split_lanes(inputs, outputs, last_hidden, last_cell, *weights), num_gates, len(batch_sizes)
        )
        ctx.save_for_backward(inputs, outputs, *weights)
        ctx.segments, ctx.clips, ctx.amount = segments, clips, (num_gates, len(batch_sizes))
        return outputs, last_hidden, last_cell

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_outputs, grad_hidden, grad_cell):
        inputs, outputs, *weights = ctx.saved_tensors
        grad_hidden, grad_cell = (
            part.clone(memory_format=torch.contiguous_format) for part in (grad_hidden, grad_cell)
        )
        grad_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        totals = [
            None if weight is None else torch.empty_like(weight, dtype=dtype)
            for weight, dtype in zip(weights, ctx.total_types, strict=True)
        ]

        def run(tensors, weights, totals, records):
            inputs, outputs, grad_outputs, grad_inputs, *grad_state = tensors
            weights = Weights(*weights)
            products = tuple(prepare(None if w is None else w.mT) for w in (weights.recurrent, weights.projection))
            put = torch.Tensor.copy_  # the first segment fills the empty totals, the others add to them
            for segment, (state, activations) in zip(reversed(ctx.segments), reversed(records), strict=True):
                here = [rows(part, segment.start, segment.end) for part in (inputs, outputs, grad_outputs)]
                if activations is None:
                    activations = recompute(here[0], segment.sizes, state, weights, ctx.clips)
                grad_gates, grad_weights = backward_steps(
                    *here, segment.sizes, state, activations, grad_state, products, ctx.clips, weights.input.dtype
                )
                if grad_inputs is not None:
                    grad = matrix_product(grad_gates, weights.input.mT)
                    rows(grad_inputs, segment.start, segment.end).copy_(grad)
                for total, grad in zip(totals, grad_weights, strict=True):
                    if total is not None:
                        put(total, grad)
                put = torch.Tensor.add_

        tensors = (inputs, outputs, grad_outputs, grad_inputs, grad_hidden, grad_cell)
        lanes = zip(*(split_lanes(*part) for part in (tensors, weights, totals)), ctx.records, strict=True)
        with torch.autocast(inputs.device.type, enabled=False):  # the types are those of the forward pass
            run_lanes(run, list(lanes), *ctx.amount)
        return grad_inputs, grad_hidden, grad_cell, *totals, None, None, None


def new_activations(gates: torch.Tensor, cell: torch.Tensor) -> Activations:
    shape = (*gates.shape[:-1], cell.shape[-1])
    return Activations(gates, cell.new_empty(shape), gates.new_empty(shape))


def recompute(inputs, sizes, state, weights: Weights, clips: Clips) -> Activations:
    """The activations of a segment from the state before it."""
    gates = matrix_product(inputs, weights.input, weights.bias)
    activations = new_activations(gates, state[1])
    recurrent, project = prepare(weights.recurrent), prepare(weights.projection)
    state = tuple(part.clone() for part in state)
    run_steps(gates, sizes, state, recurrent, project, clips, torch.empty_like(inputs), activations)
    return activations


def clip_backward(grad: torch.Tensor, clipped: torch.Tensor, bound: float, out: torch.Tensor):
    """The gradient before a clip, 0 where the value was at the bound."""
    bound = rounded_bound(bound, clipped.dtype)
    torch.ops.aten.hardtanh_backward(grad, clipped, -bound, bound, grad_input=out)


def backward_steps(inputs, outputs, grad_outputs, sizes, state, activations, grad_state, products, clips, dtype):
    """Backward through a segment's steps; `grad_state` becomes the gradient of `state`, the one before the segment.

    Returns the gradient of the gates' sums `(..., n, 4 * cells)`, in `dtype`, the products' type, and of the weights.
    """
    run_backward = run_fused_steps_backward if can_fuse(activations.gates) else run_steps_backward
    grad_gates, grad_projected = run_backward(
        outputs, grad_outputs, sizes, state, activations, grad_state, products, clips
    )
    grad_bias, grad_gates, grad_projection = grad_gates.sum(-2), grad_gates.to(dtype), None
    if grad_projected is not None:
        projected = (activations.gates.chunk(4, -1)[3] * activations.squashed).to(dtype)
        grad_projection = matrix_product(grad_projected.to(dtype).mT, projected).mT
    grad_weights = Weights(
        matrix_product(inputs.to(dtype).mT, grad_gates),
        matrix_product(shifted(outputs, state[0], sizes).to(dtype).mT, grad_gates),
        grad_bias,
        grad_projection,
    )
    return grad_gates, grad_weights


def run_steps_backward(outputs, grad_outputs, sizes, state, activations, grad_state, products, clips):
    """The recurrence backward: the gradients of the gates' sums and of the outputs before their clip (`None` where
    nothing is projected)."""
    gates, cells, squashed = activations
    input_gate, candidate, forget_gate, output_gate = gates.chunk(4, -1)
    width = cells.shape[-1]
    # First, of all steps at once, what the gradients that come along the recurrence are multiplied by.
    grad_gates = torch.empty_like(gates)
    grad_input, grad_candidate, grad_forget, grad_output = grad_gates.chunk(4, -1)
    sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    sigmoid_backward(candidate, input_gate, grad_input=grad_input)
    tanh_backward(input_gate, candidate, grad_input=grad_candidate)
    sigmoid_backward(shifted(cells, state[1], sizes).to(gates.dtype), forget_gate, grad_input=grad_forget)
    sigmoid_backward(squashed, output_gate, grad_input=grad_output)
    through_tanh = tanh_backward(output_gate, squashed)
    multiply_recurrent, multiply_projection = products
    grad_projected = None if multiply_projection is None else torch.empty_like(outputs)
    # Of the gates that the memory's gradient comes to: (..., 3, n, cells).
    grad_through_memory = grad_gates.narrow(-1, 0, 3 * width).unflatten(-1, (3, width)).transpose(-2, -3)
    values = (outputs, cells, forget_gate, through_tanh)
    gradients = (grad_outputs, grad_projected, grad_gates, grad_through_memory, grad_output)
    steps = by_step(sizes, *values, *gradients, backward=True)
    hidden, memory = (rows(part, 0, sizes[-1]) for part in grad_state)
    for size, output, kept, forget, through, grad_here, projected, here, through_memory, through_output in steps:
        if size > hidden.shape[-2]:
            hidden, memory = (rows(part, 0, size) for part in grad_state)
        grad = hidden.add_(grad_here)
        if projected is not None:
            if clips.projection is None:
                projected.copy_(grad)
            else:
                clip_backward(grad, output, clips.projection, out=projected)
            grad = multiply_projection(projected)
        memory.addcmul_(grad, through)
        if clips.cell is not None:
            clip_backward(memory, kept, clips.cell, out=memory)
        through_memory.mul_(memory.unsqueeze(-3))
        through_output.mul_(grad)
        memory.mul_(forget)
        hidden.copy_(multiply_recurrent(here))
    return grad_gates, grad_projected
