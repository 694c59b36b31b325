"""Published biLMs (bilm-tf, AllenNLP, NLPL): options.json, weights.hdf5 and, for a language model, vocab.txt."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import word_fields
from .arrays import Piece, bilm_pieces, shapes
from .checkpoint import Checkpoint, check_finite, empty_model, parameter_arrays
from .errors import ConversionError, check_shapes
from .hdf5 import open_arrays
from .options import Options, bilm_fields
from .provenance import bilm_card
from .sources import SourceFiles

if TYPE_CHECKING:
    import h5py

# 256 bytes, begin and end of a sentence and of a word, padding.
NUM_SYMBOLS = 261


def read_bilm(sources: SourceFiles, word_splitting: str, softmax: bool) -> Checkpoint:
    """Reads a published biLM into a model; every weight is read once, straight to where it stays."""
    options = Options.read(sources.find("options", ["options.json", "*options.json"], ["*options*.json", "*.json"]))
    named = ["weights.hdf5", "model.hdf5", "*weights.hdf5", "*.hdf5"]
    weights = sources.find("weights", named, ["*.hdf5", "*.h5"])
    named = ["vocab.txt", "vocab.txt.gz", "vocab-*.txt", "vocab-*.txt.gz"]  # AllenNLP's has a date
    vocabulary = sources.look_for("vocabulary", named, ["*.txt", "*.txt.gz"])
    fields = bilm_fields(options)
    with open_arrays(weights) as arrays:
        if not softmax:
            arrays = {key: array for key, array in arrays.items() if not key.startswith("softmax/")}
        has_softmax = any(key.startswith("softmax/") for key in arrays)
        tokenizer = read_tokenizer(
            vocabulary,
            weights,
            arrays,
            word_splitting=word_splitting,
            max_characters_per_token=fields.get("max_characters_per_token", 50),
        )
        if fields["character_embedding_size"]:
            fields["character_vocab_size"] = 1 + character_rows(options, weights, arrays)
        config = options.config(
            **fields,
            **word_fields(tokenizer),
            representation="scalar_mix",
            published_options=options.values,
        )
        pieces = bilm_pieces(config, has_softmax)
        check_shapes(weights, shapes(pieces), {key: array.shape for key, array in arrays.items()}, options.path)
        model = empty_model(config, has_softmax)
        fill(weights, pieces, arrays, parameter_arrays(model))
    return Checkpoint(model, tokenizer, bilm_card(sources, weights, vocabulary))


def read_tokenizer(
    vocabulary: Path | None, weights: Path, arrays: Mapping[str, "h5py.Dataset"], **options
) -> ElmoTokenizer:
    """The tokenizer, whose words must be as many as the word embedding or the softmax has rows."""
    by_word = [key for key in ("embedding", "softmax/W", "softmax/b") if key in arrays]
    if vocabulary is None:
        if by_word:
            without = "" if "embedding" in by_word else ", or leave the softmax out (--no-softmax)"
            raise ConversionError(
                f"{weights} has {by_word[0]} of shape {arrays[by_word[0]].shape}, one row a word: give the vocabulary "
                f"(vocab.txt) as a further source{without}"
            )
        return ElmoTokenizer(**options)
    tokenizer = ElmoTokenizer.from_vocab_file(vocabulary, **options)
    for key in by_word:
        if arrays[key].shape[:1] != (tokenizer.vocab_size,):
            raise ConversionError(
                f"{vocabulary} has {tokenizer.vocab_size} words, but {key} in {weights} has shape {arrays[key].shape}"
            )
    return tokenizer


def character_rows(options: Options, weights: Path, arrays: Mapping[str, "h5py.Dataset"]) -> int:
    """Rows of the file's character embedding.

    options.json counts them with (262) or without (261) the row for "no token here", which the file lacks.
    """
    count = options.get("char_cnn.n_characters", int, NUM_SYMBOLS)
    shape = arrays["char_embed"].shape if "char_embed" in arrays else (NUM_SYMBOLS,)
    if not shape or shape[0] < NUM_SYMBOLS or count - shape[0] not in (0, 1):
        raise ConversionError(
            f"{weights}: char_embed has shape {shape}, but {options.path} says n_characters {count}; there must be "
            f"n_characters or n_characters - 1 rows, at least {NUM_SYMBOLS}"
        )
    return shape[0]


def fill(path: Path, pieces: list[Piece], arrays: Mapping[str, "h5py.Dataset"], parameters: Mapping[str, np.ndarray]):
    for piece in pieces:
        parameter = parameters[piece.parameter]
        try:
            piece.load(arrays[piece.key], parameter)
        except OSError as error:
            raise ConversionError(f"{path}: {piece.key} cannot be read, the file is damaged: {error}") from error
        check_finite(path, piece.key, parameter[piece.place])
