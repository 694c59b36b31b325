"""Vectors of words in sentences."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from ..loading import load_in, load_tokenizer
from ..modeling_elmo import IMPORT_FIRST, ElmoModel, evaluation_mode
from .batches import BATCH_TOKENS, encode_batch, in_order

LAYERS = ("all", "top", "average", "mix")
POOLINGS = (None, "mean")


class ElmoEmbedder:
    """A model, its tokenizer, and what is wanted of them.

    Args:
        model: an [`ElmoModel`], a model that has one inside, or the name or path of a checkpoint.
        layers: `"all"` (token layer and LSTM layers), `"top"` (the last), `"average"` (of all), or `"mix"`, the
            checkpoint's own combination (`last_hidden_state`).
        tokenizer: by default that of the checkpoint which the model came from.
        boundaries: whether the vectors of `<S>` and `</S>` are kept.
        device: where a checkpoint given by name is put; by default the GPU if there is one.
        precision: in which a checkpoint given by name multiplies, `"float32"`, `"bfloat16"` or `"int8"` (see
            [`quantize`]; on CPU); by default the one it was saved in.

    Raises:
        ValueError: for unknown layers; where no tokenizer is known; for a combination by which a sentence's vectors
            would depend on its batch.
    """

    def __init__(
        self,
        model: PreTrainedModel | str | Path,
        layers: str = "mix",
        tokenizer=None,
        boundaries: bool = False,
        device: str | None = None,
        precision: str | None = None,
    ):
        if layers not in LAYERS:
            raise ValueError(f"layers is {layers!r}; choose one of {LAYERS}")
        if tokenizer is None:
            tokenizer = load_tokenizer(model)
        if isinstance(model, (str, Path)):
            model = load_in(precision, model, device)
        elif precision is not None:
            raise ValueError("precision is for a checkpoint given by name: cast or quantize this model yourself")
        model = model.base_model
        if not isinstance(model, ElmoModel):
            raise ValueError(f"{type(model).__name__} is not an ELMo model{IMPORT_FIRST}")
        norm = model.config.scalar_mix_norm
        if layers == "mix" and model.config.representation == "scalar_mix" and norm not in (None, "sentence"):
            raise ValueError(
                f"with config.scalar_mix_norm = {norm!r} a sentence's vectors depend on the rest of its batch; ask "
                "for other layers than 'mix', or set scalar_mix_norm to 'sentence' or None"
            )
        self.model, self.tokenizer, self.layers, self.boundaries = model, tokenizer, layers, boundaries
        self._num_layers = model.config.num_hidden_layers + 1 if layers == "all" else None
        self._width = model.config.hidden_size if layers == "mix" else model.config.layer_size

    def shape(self, num_words: int) -> tuple[int, ...]:
        """Shape of a sentence's vectors: `(layers, T, directions * P)` for all layers, else `(T, width)`."""
        num_tokens = num_words + 2 * self.boundaries
        return (num_tokens, self._width) if self._num_layers is None else (self._num_layers, num_tokens, self._width)

    @torch.no_grad()
    def embed_batch(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """float32 vectors of sentences given as words, computed together."""
        inputs = encode_batch(self.tokenizer, sentences, self.model.device)
        with evaluation_mode(self.model):
            outputs = self._select(run_layers(self.model, inputs), inputs["attention_mask"].bool())
        outputs = outputs.float().cpu().numpy()
        first = 0 if self.boundaries else 1
        return [
            # A copy: an array that somebody keeps must not keep its whole batch in memory.
            vectors[..., first : first + len(words) + 2 * self.boundaries, :].copy()
            for vectors, words in zip(outputs, sentences, strict=True)
        ]

    def _select(self, hidden_states: tuple[torch.Tensor, ...], mask: torch.Tensor) -> torch.Tensor:
        if self.layers == "mix":
            return self.model.combinations[0](hidden_states, mask, None)
        if self.layers == "top":
            return hidden_states[-1]
        stacked = torch.stack(hidden_states, dim=1)
        return stacked if self.layers == "all" else stacked.float().mean(1)


def run_layers(model: ElmoModel, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """All layers `(batch, sequence, directions * P)` of a batch.

    Long sentences run in pieces, so that their length costs no memory beyond their vectors'. The directions never see
    each other: the forward half comes from a walk that carries the state from left to right, the backward half from
    one from right to left.
    """
    length = inputs["attention_mask"].shape[1]
    if length <= BATCH_TOKENS:
        return model(**inputs, output_hidden_states=True).hidden_states
    pieces = [slice(start, start + BATCH_TOKENS) for start in range(0, length, BATCH_TOKENS)]
    num_directions = model.config.num_directions
    halves = []
    for direction in range(num_directions):
        walked, state = [], None
        for piece in pieces if direction == 0 else reversed(pieces):
            part = {name: tensor[:, piece] for name, tensor in inputs.items()}
            output = model(**part, state=state, use_cache=True, output_hidden_states=True)
            state = output.state
            walked.append([layer.chunk(num_directions, dim=-1)[direction] for layer in output.hidden_states])
        if direction == 1:
            walked.reverse()
        halves.append([torch.cat(parts, dim=1) for parts in zip(*walked, strict=True)])
    return tuple(torch.cat(parts, dim=-1) for parts in zip(*halves, strict=True))


def embed(
    model: PreTrainedModel | str | Path,
    sentences: Iterable[str | Sequence[str]],
    layers: str = "mix",
    tokenizer=None,
    boundaries: bool = False,
    pooling: str | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> Iterator[np.ndarray]:
    """Vectors of each sentence's words, in order, one float32 array a sentence.

    Lazy: some ten thousand words are read ahead, sorted by length, computed together and put back in order, so an
    endless stream runs in bounded memory. A sentence's vectors do not depend on its neighbours (but for rounding,
    below 1e-6).

    Args:
        model: an ELMo model, or the name or path of a checkpoint.
        sentences: texts, split into words by the tokenizer, or lists of words.
        layers: `"mix"` (the checkpoint's combination), `"top"`, `"average"`: arrays `(T, width)`; `"all"`: arrays
            `(layers, T, directions * P)`, the token layer first.
        tokenizer: by default that of the checkpoint which the model came from.
        boundaries: whether the vectors of `<S>` and `</S>` are kept, as the first and the last of T.
        pooling: `"mean"`: one vector a sentence, the mean over T (zeros for a sentence without words), which drops
            T from the shapes.
        device: where a checkpoint given by name is put; by default the GPU if there is one.
        precision: in which a checkpoint given by name multiplies, `"float32"`, `"bfloat16"` or `"int8"` (see
            [`quantize`]; on CPU); by default the one it was saved in.

    Raises:
        ValueError: for unknown options, and, when its turn comes, for a sentence that has an empty word.
    """
    if isinstance(sentences, str):
        raise ValueError("sentences must be an iterable of sentences, not one string: pass [text]")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}; choose one of {POOLINGS}")
    embedder = ElmoEmbedder(model, layers, tokenizer, boundaries, device, precision)

    def compute(batch: list[list[str]]) -> Iterable[np.ndarray]:
        vectors = embedder.embed_batch(batch)
        return vectors if pooling is None else map(mean_vector, vectors)

    return in_order(words_of(embedder.tokenizer, sentences), compute)


def words_of(tokenizer, sentences: Iterable[str | Sequence[str]]) -> Iterator[list[str]]:
    """The words of each sentence.

    Raises:
        ValueError, TypeError: naming the sentence and the position of an empty word, or of what is no string.
    """
    for number, sentence in enumerate(sentences):
        words = tokenizer.split_words(sentence) if isinstance(sentence, str) else list(sentence)
        if "" in words:
            raise ValueError(f"sentence {number} has an empty word at position {words.index('')}; leave it out")
        for position, word in enumerate(words):
            if not isinstance(word, str):
                raise TypeError(f"sentence {number} has {word!r} at position {position}; words are strings")
        yield words


def mean_vector(vectors: np.ndarray) -> np.ndarray:
    """Mean over the words, `(..., T, width)` -> `(..., width)`; zeros where there are none."""
    return vectors.sum(axis=-2) / max(vectors.shape[-2], 1)
