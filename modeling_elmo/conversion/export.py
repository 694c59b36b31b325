"""From a checkpoint back to the published form: options.json, weights.hdf5 and the vocabulary."""

import json
from pathlib import Path

import torch
from transformers import AutoConfig

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import ElmoConfig
from ..extras import require
from ..loading import load
from ..modeling_elmo import ElmoModel
from ..modeling_elmo_pretraining import ElmoForPreTraining
from ..pretraining.vocabulary import SPECIAL_WORDS
from .arrays import bilm_pieces, collect
from .bilm import NUM_SYMBOLS
from .checkpoint import check_target, new_folder, parameter_arrays
from .errors import ConversionError
from .options import bilm_options


def export(checkpoint: str | Path, target: str | Path, *, overwrite: bool = False):
    """Writes a checkpoint's biLM, and its softmax if it has one, as options.json, weights.hdf5 and vocab.txt.

    What was converted from such files and not trained since comes back byte for byte: every array, and the options.
    The combination of layers, a task head and an adaptive softmax have no place in these files.

    Args:
        checkpoint: a folder or a repository that `from_pretrained` loads.
        target: the folder to write.
        overwrite: whether files of `target` may be replaced.

    Raises:
        ImportError: without h5py.
        ConversionError: if the published form cannot say what the model does, or `target` is not free.
    """
    target = Path(target)
    check_target(target, overwrite)
    config = load_config(checkpoint)
    is_language_model = ElmoForPreTraining.__name__ in (config.architectures or ())
    softmax = is_language_model and config.adaptive_softmax_cutoffs is None
    check_exportable(checkpoint, config)
    h5py = require("h5py", "convert", "export")
    model_class = ElmoForPreTraining if softmax else ElmoModel
    parameters = parameter_arrays(load(model_class, checkpoint, dtype=torch.float32))
    pieces = bilm_pieces(config, softmax)
    with new_folder(target, overwrite) as folder:
        with h5py.File(folder / "weights.hdf5", "w") as file:
            for key in dict.fromkeys(piece.key for piece in pieces):
                file[key] = collect(pieces, key, parameters.__getitem__)
        (folder / "options.json").write_text(json.dumps(bilm_options(config)), encoding="utf-8")
        knows_words = write_vocabulary(checkpoint, folder / "vocab.txt")
    if not knows_words:
        (target / "vocab.txt").unlink(missing_ok=True)  # of a model exported to here before


def load_config(checkpoint: str | Path) -> ElmoConfig:
    try:
        config = load(AutoConfig, checkpoint)
    except (OSError, ValueError) as error:
        raise ConversionError(f"{checkpoint} is not a checkpoint: {error}") from error
    if not isinstance(config, ElmoConfig):
        raise ConversionError(f"{checkpoint} is a {config.model_type} model, not an ELMo model")
    return config


def check_exportable(checkpoint: str | Path, config: ElmoConfig):
    """Refuses what the published form has no words for."""
    by_words = config.word_embedding_size > 0
    reasons = {
        "forget_bias is not 1": config.forget_bias != 1,
        "it reads both words and characters": by_words and config.character_embedding_size > 0,
        "its characters are not bytes": config.character_embedding_size and config.character_vocab_size <= NUM_SYMBOLS,
        "its word embedding is projected": by_words and config.has_token_projection,
        "it projects between equal widths": config.has_token_projection
        and config.token_feature_size == config.output_size
        or config.projection_size == config.cell_size,
        "it has no LSTM layers": config.num_hidden_layers == 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ConversionError(f"{checkpoint} cannot be written as options.json and weights.hdf5: {reason}")


def write_vocabulary(checkpoint: str | Path, path: Path) -> bool:
    """One word a line, in the order of the softmax's rows; no file, and False, where the tokenizer knows no words."""
    try:
        tokenizer = load(ElmoTokenizer, checkpoint)
    except OSError:  # there is none
        return False
    words = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
    knows_words = len(words) > len(SPECIAL_WORDS)
    if knows_words:
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8", newline="\n")
    return knows_words
