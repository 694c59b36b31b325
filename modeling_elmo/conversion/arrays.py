"""Which part of which published array is which part of which parameter of the model: one table for both directions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..configuration_elmo import ElmoConfig


@dataclass(frozen=True)
class Piece:
    """`parameter[place] == array[part]` with its axes permuted.

    Attributes:
        key (`str`): the published array, as in weights.hdf5.
        shape (`tuple[int, ...]`): its shape.
        parameter (`str`): the parameter, as in ElmoForPreTraining.
        part, place: an index into each of them.
        axes (`tuple[int, ...]`, *optional*): the permutation; `None`: none.
    """

    key: str
    shape: tuple[int, ...]
    parameter: str
    part: Any = ...
    place: Any = ...
    axes: tuple[int, ...] | None = None

    def load(self, array: Any, parameter: np.ndarray):
        """Fills its place of the parameter from an array or an HDF5 dataset."""
        target = parameter[self.place]
        if self.axes is None and hasattr(array, "read_direct"):
            array.read_direct(target, source_sel=np.s_[self.part])
            return
        values = array[self.part]
        target[...] = values if self.axes is None else values.transpose(self.axes)

    def store(self, parameter: np.ndarray, array: np.ndarray):
        """Fills its part of the array from the parameter."""
        values = parameter[self.place]
        array[self.part] = values if self.axes is None else values.transpose(np.argsort(self.axes))


def bilm_pieces(config: ElmoConfig, softmax: bool) -> list[Piece]:
    """All pieces of a published biLM, `softmax` included or not."""
    pieces = []
    encoder, cnn = "elmo.token_encoder.", "elmo.token_encoder.character_cnn."
    width, cells, features = config.output_size, config.cell_size, config.character_feature_size
    if config.word_embedding_size:
        shape = (config.vocab_size, config.word_embedding_size)
        pieces.append(Piece("embedding", shape, f"{encoder}word_embeddings.weight"))
    if config.character_embedding_size:
        size = config.character_embedding_size
        # Row 0 of the model, "no token here", has none in the file.
        shape = (config.character_vocab_size - 1, size)
        pieces.append(Piece("char_embed", shape, f"{cnn}character_embeddings.weight", place=slice(1, None)))
        for i, (span, number) in enumerate(config.filters):
            name = f"{cnn}convolutions.{i}"
            shape = (1, span, size, number)
            pieces.append(Piece(f"CNN/W_cnn_{i}", shape, f"{name}.weight", part=0, axes=(2, 1, 0)))
            pieces.append(Piece(f"CNN/b_cnn_{i}", (number,), f"{name}.bias"))
        for i in range(config.num_highway_layers):
            for gate in ("carry", "transform"):
                name = f"{cnn}highways.{i}.{gate}"
                shape = (features, features)
                pieces.append(Piece(f"CNN_high_{i}/W_{gate}", shape, f"{name}.weight", axes=(1, 0)))
                pieces.append(Piece(f"CNN_high_{i}/b_{gate}", (features,), f"{name}.bias"))
        if config.has_token_projection:
            name = f"{encoder}projection"
            pieces.append(Piece("CNN_proj/W_proj", (features, width), f"{name}.weight", axes=(1, 0)))
            pieces.append(Piece("CNN_proj/b_proj", (width,), f"{name}.bias"))
    for layer in range(config.num_hidden_layers):
        name = f"elmo.lstm.layers.{layer}."
        for direction in range(config.num_directions):
            key = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
            shape = (2 * width, 4 * cells)
            pieces.append(Piece(f"{key}W_0", shape, f"{name}input_weight", slice(None, width), direction))
            pieces.append(Piece(f"{key}W_0", shape, f"{name}recurrent_weight", slice(width, None), direction))
            pieces.append(Piece(f"{key}B", (4 * cells,), f"{name}bias", place=direction))
            if config.projection_size is not None:
                shape = (cells, width)
                pieces.append(Piece(f"{key}W_P_0", shape, f"{name}projection_weight", place=direction))
    if softmax:
        if not config.tie_word_embeddings:
            pieces.append(Piece("softmax/W", (config.vocab_size, width), "softmax.weight"))
        pieces.append(Piece("softmax/b", (config.vocab_size,), "softmax.bias"))
    return pieces


def shapes(pieces: list[Piece]) -> dict[str, tuple[int, ...]]:
    """The published arrays and their shapes."""
    return {piece.key: piece.shape for piece in pieces}


def collect(pieces: list[Piece], key: str, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """The published array `key`, of parameters that `read` gives."""
    pieces = [piece for piece in pieces if piece.key == key]
    array = np.empty(pieces[0].shape, np.float32)
    for piece in pieces:
        piece.store(read(piece.parameter), array)
    return array
