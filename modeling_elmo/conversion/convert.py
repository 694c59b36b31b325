"""From the files of a published model to a folder that transformers loads."""

from collections.abc import Sequence
from pathlib import Path

from tokenization_elmo import CHARACTER_VOCAB_FILE

from .bilm import read_bilm
from .checkpoint import Checkpoint, check_target, new_folder
from .elmoformanylangs import read_elmoformanylangs
from .sources import open_sources


def convert(
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    *,
    word_splitting: str = "treebank",
    softmax: bool = True,
    overwrite: bool = False,
) -> Checkpoint:
    """Converts the weights of a published ELMo model.

    Args:
        source: the model's files, or folders and zip archives that hold them: options.json, weights.hdf5 and, where
            there is one, vocab.txt (bilm-tf, AllenNLP, NLPL); or config.json, the network's configuration that it
            names, char.dic, word.dic, encoder.pkl and token_embedder.pkl (ELMoForManyLangs).
        target: the folder to write: config.json, model.safetensors, the tokenizer, the code for
            `trust_remote_code=True`, and the model card.
        word_splitting: how the tokenizer shall split raw text (see [`ElmoTokenizer`]).
        softmax: whether the language models' softmax is kept, where the files have it. The result is then an
            [`ElmoForPreTraining`], else an [`ElmoModel`].
        overwrite: whether files of `target` may be replaced.

    Returns:
        what was written.

    Raises:
        ImportError: without h5py, where there is an HDF5 file.
        ConversionError: naming the file and what is wrong with it. Nothing is written then.
    """
    target = Path(target)
    check_target(target, overwrite)
    with open_sources([source] if isinstance(source, (str, Path)) else source) as sources:
        if "encoder.pkl" in sources.files:
            checkpoint = read_elmoformanylangs(sources, word_splitting)
        else:
            checkpoint = read_bilm(sources, word_splitting, softmax)
    with new_folder(target, overwrite) as folder:
        checkpoint.save(folder, target.resolve().name)
    if checkpoint.tokenizer.character_vocab is None:
        (target / CHARACTER_VOCAB_FILE).unlink(missing_ok=True)  # of a model converted to here before
    return checkpoint
