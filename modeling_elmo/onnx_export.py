"""A frozen ELMo as an ONNX file, for runtimes without PyTorch."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from .modeling_elmo import IMPORT_FIRST, ElmoModel, evaluation_mode
from .projected_lstm import ElmoLSTMLayer
from .quantization import Int8Linear


def export_onnx(model: ElmoModel, target: str | Path):
    """Writes `model`, as it is in evaluation mode, to the ONNX file `target`; batch and length vary freely.

    The file has its name when it is complete. Weights of more than 1.5 GB stand beside it, in `target` + `.data`.

    The file's inputs are what the tokenizer makes: `character_ids` (int16, `(batch, sequence, characters)`) where the
    model reads characters, `input_ids` (int64, `(batch, sequence)`) where it has a word embedding, and
    `attention_mask` (int64, `(batch, sequence)`), which may mask any position.

    Its outputs: `last_hidden_state` `(batch, sequence, hidden_size)`; for models with several representations the
    others as `representation_1` and so on; `hidden_states` `(num_layers + 1, batch, sequence, directions * P)`. Each
    sentence starts from a state of zeros.

    Raises:
        ImportError: without onnx and onnxscript.
        TypeError: if the model is a head; export its `elmo`.
        ValueError: if the model is not in fp32, or was quantized.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f"export_onnx needs {' and '.join(missing)}: pip install 'modeling-elmo[onnx]'")
    if not isinstance(model, ElmoModel):
        raise TypeError(f"export_onnx takes an ElmoModel, not {type(model).__name__}: pass its `elmo`{IMPORT_FIRST}")
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        raise ValueError("export_onnx cannot write a quantized model: pass the model that was given to quantize")
    if model.dtype != torch.float32:
        raise ValueError(f"export_onnx needs a model in float32, not {model.dtype}: call model.float() first")

    config = model.config
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]], device=model.device)
    inputs = {"attention_mask": mask}
    if model.token_encoder.character_cnn is not None:
        rows = mask[..., None].expand(-1, -1, config.max_characters_per_token)
        inputs["character_ids"] = rows.to(torch.int16).contiguous()
    if model.token_encoder.word_embeddings is not None:
        inputs["input_ids"] = mask.clone()
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    others = [f"representation_{index}" for index in range(1, config.num_representations)]

    log = logging.getLogger("torch.onnx")
    level = log.level
    try:
        log.setLevel(logging.ERROR)  # of operators of libraries that are not there
        with evaluation_mode(model), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                OnnxElmo(model).eval(),
                kwargs=inputs,
                dynamic_shapes=dict.fromkeys(inputs, axes),
                input_names=list(inputs),
                output_names=["last_hidden_state", *others, "hidden_states"],
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    target = Path(target)
    with TemporaryDirectory(prefix=f".{target.name}.", suffix=".partial", dir=target.parent) as folder:
        program.save(Path(folder, target.name))  # which names the weights beside it by this name
        files = sorted(Path(folder).iterdir(), reverse=True)  # those first
        for file in files:
            file.replace(target.with_name(file.name))
    if len(files) == 1:  # weights of a larger model that stood here before
        target.with_name(f"{target.name}.data").unlink(missing_ok=True)


class OnnxElmo(nn.Module):
    """What [`ElmoModel`] computes, without sizes that depend on values: the sentences stay padded, and a masked
    position leaves the LSTMs' state as it was."""

    def __init__(self, model: ElmoModel):
        super().__init__()
        self.model = model

    def forward(
        self,
        attention_mask: torch.Tensor,
        character_ids: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        model, mask = self.model, attention_mask != 0
        vectors = self._encode(mask, character_ids, input_ids)
        directions = [vectors.transpose(0, 1), vectors.flip(1).transpose(0, 1)]
        masks = [mask.t(), mask.flip(1).t()]
        number = model.config.num_directions
        inputs, steps = (torch.stack(parts[:number], dim=1) for parts in (directions, masks))
        hidden_states = [vectors.repeat(1, 1, number)]
        for index, layer in enumerate(model.lstm.layers):
            outputs = run_padded(layer, inputs, steps[..., None])
            inputs = outputs + inputs if model.lstm.use_residual and index > 0 else outputs
            parts = [inputs[:, 0].transpose(0, 1), inputs[:, -1].transpose(0, 1).flip(1)]
            hidden_states.append(torch.cat(parts[:number], dim=-1))
        boundaries = None
        if model.config.scalar_mix_norm == "batch_without_boundaries":
            boundaries = model.boundary_mask(character_ids, input_ids)
        representations = model.combine(tuple(hidden_states), mask, boundaries)
        return *representations, torch.stack(hidden_states)

    def _encode(
        self, mask: torch.Tensor, character_ids: torch.Tensor | None, input_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """Token vectors (batch, sequence, P), 0 at masked positions; each distinct word is encoded once."""
        columns = []
        if input_ids is not None:
            columns.append(input_ids[..., None])
        if character_ids is not None:
            columns.append(character_ids.long())
        # All masked positions are one word.
        words = torch.cat(columns, dim=-1).masked_fill(~mask[..., None], 0).flatten(0, 1)
        words, inverse = torch.unique(words, dim=0, return_inverse=True)
        encoder, features = self.model.token_encoder, []
        if input_ids is not None:
            features.append(encoder.word_embeddings(words[:, 0]))
        if character_ids is not None:
            cnn = encoder.character_cnn
            embedded = cnn.character_embeddings(words[:, -character_ids.shape[-1] :]).transpose(1, 2)
            features.append(cnn.transform(cnn(embedded)))
        vectors = torch.cat(features, dim=-1)
        if encoder.projection is not None:
            vectors = encoder.projection(vectors)
        return vectors[inverse].unflatten(0, mask.shape).masked_fill(~mask[..., None], 0.0)


def run_padded(layer: ElmoLSTMLayer, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[`ElmoLSTMLayer.run_plainly`] over steps of the whole batch: inputs (sequence, directions, batch, P) and a mask
    (sequence, directions, batch, 1) -> outputs like the inputs, 0 where masked."""
    # Not at the top: older PyTorch, which runs all else, has no scan.
    from torch._higher_order_ops.scan import scan

    def step(state, now):
        hidden, cell = state
        gates, goes_on = now
        new_hidden, new_cell = layer._cell(gates + torch.bmm(hidden, layer.recurrent_weight), cell)
        kept = torch.where(goes_on, new_hidden, hidden), torch.where(goes_on, new_cell, cell)
        return kept, new_hidden.masked_fill(~goes_on, 0.0)

    gates = torch.matmul(inputs, layer.input_weight) + layer._gate_bias()[:, None]
    shape = inputs.shape[1:3]
    state = inputs.new_zeros(*shape, inputs.shape[-1]), inputs.new_zeros(*shape, gates.shape[-1] // 4)
    _, outputs = scan(step, state, (gates, mask))
    return outputs
