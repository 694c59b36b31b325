"""A text file to a file of vectors: resumable, and never to be mistaken for complete."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedModel

from ..text_files import require_free, require_space
from .batches import batches, windows
from .resume import ProgressNote, model_digest, tokenizer_digest
from .survey import Survey, survey
from .text_input import Sentence, TextInput, read_documents, read_sentences
from .vector_files import FORMATS, Contents, VectorFile
from .vectors import ElmoEmbedder

LAYOUTS = ("allennlp", "bilm-tf", "e2e-coref")


@dataclass(frozen=True)
class EmbeddingSummary:
    """What was done.

    Attributes:
        sentences, words, empty_lines: of the whole input.
        new_words, seconds: computed by this run; the rest was there from an interrupted one.
    """

    sentences: int
    words: int
    empty_lines: int
    new_words: int
    seconds: float


def embed_file(
    model: PreTrainedModel | str | Path,
    source: str | Path,
    target: str | Path,
    layers: str = "all",
    tokenizer=None,
    tokenized: bool = False,
    layout: str = "allennlp",
    boundaries: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> EmbeddingSummary:
    """Writes the vectors of a text, one sentence a line, as one float32 array a sentence named by the line's number
    from 0. A line without words has an array without words: line numbers stay true.

    The text is read twice, first for the sentences' lengths, by which the file is laid out. Until all is done the file
    is called `target` + `.partial`, with a note of how far it is beside it (`.partial.json`); the same call goes on
    from there, to the same file. Which sentences are computed together depends on the text alone, so that the file is
    the same in every run on a machine, bit for bit.

    Args:
        model: an ELMo model, or the name or path of a checkpoint.
        source: UTF-8 text, plain or compressed; `"-"` is standard input. For the layout `"e2e-coref"` JSON lines with
            `doc_key` and `sentences`.
        target: `.hdf5` or `.h5`, `.safetensors` (up to about a million sentences), or `.npz`.
        layers: `"all"`: arrays `(layers, T, directions * P)`; `"top"`, `"average"`, `"mix"`: `(T, width)`.
        tokenizer: by default that of the checkpoint which the model came from.
        tokenized: whether words are what stands between white space, instead of what the tokenizer makes of a line.
        layout: of HDF5 files. `"allennlp"`: a dataset a line and `sentence_to_index`, JSON text that maps each line
            (of equal ones the last) to its number, and is put together in memory. `"bilm-tf"`: without it.
            `"e2e-coref"`: a group a document with sentences, `/` in its key replaced by `:`, and in it a dataset
            `(T, directions * P, layers)` a sentence.
        boundaries: whether the vectors of `<S>` and `</S>` are kept.
        overwrite: whether an existing file, or the beginnings of another, may be replaced.
        progress: whether a progress bar is shown; by default where standard error is a terminal.
        device: where a checkpoint given by name is put; by default the GPU if there is one.
        precision: in which a checkpoint given by name multiplies, `"float32"`, `"bfloat16"` or `"int8"` (see
            [`quantize`]; on CPU); by default the one it was saved in. The vectors are written in float32.

    Raises:
        ValueError: for options that do not fit together; for input that is not as said above, naming file and line;
            where another job's unfinished file is in the way.
        FileExistsError, IsADirectoryError: where `target` exists, or is a folder.
        OSError: where the disk has not enough space.
    """
    target = Path(target)
    check_options(target, layers, layout, boundaries)
    require_free(target, overwrite)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")
    with TextInput(source) as text:
        embedder = ElmoEmbedder(model, layers, tokenizer, boundaries, device, precision)

        def read() -> Iterator[Sentence]:
            if layout == "e2e-coref":
                return read_documents(text)
            return read_sentences(text, str.split if tokenized else embedder.tokenizer.split_words)

        is_hdf5 = target.suffix in (".hdf5", ".h5")
        seen = survey(read, with_names=layout == "e2e-coref", with_index=is_hdf5 and layout == "allennlp")
        job = {
            "input": text.digest(),
            "model": model_digest(embedder.model),
            "tokenizer": tokenizer_digest(embedder.tokenizer),
            "layers": layers,
            "tokenized": str(tokenized),
            "layout": layout if is_hdf5 else "",
            "boundaries": str(boundaries),
            "precision": str(precision),
        }
        partial = target.with_name(target.name + ".partial")
        note = ProgressNote(partial.with_name(partial.name + ".json"), job)
        file = FORMATS[target.suffix](partial, contents(seen, embedder, layout))
        start = begin(file, note, overwrite)
        started = time.monotonic()
        words, words_before = int(seen.lengths.sum()), int(seen.lengths[:start].sum())
        with tqdm(
            desc=target.name,
            total=words,
            initial=words_before,
            unit=" words",
            unit_scale=True,
            disable=None if progress is None else not progress,
        ) as bar:
            fill(file, embedder, islice(read(), start, None), seen.lengths, start, note, bar)
    os.replace(partial, target)
    note.remove()
    return EmbeddingSummary(
        sentences=len(seen.lengths),
        words=words,
        empty_lines=int((seen.lengths == 0).sum()),
        new_words=words - words_before,
        seconds=time.monotonic() - started,
    )


def check_options(target: Path, layers: str, layout: str, boundaries: bool) -> None:
    if target.suffix not in FORMATS:
        raise ValueError(f"{target}: unknown kind of file; the name must end in one of {', '.join(FORMATS)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; choose one of {LAYOUTS}")
    if layout != "allennlp" and target.suffix not in (".hdf5", ".h5"):
        raise ValueError(f"{target}: the layout {layout!r} is one of HDF5 files (.hdf5)")
    if layout == "e2e-coref" and (layers != "all" or boundaries):
        raise ValueError("the layout 'e2e-coref' holds all layers, without boundaries")


def contents(seen: Survey, embedder: ElmoEmbedder, layout: str) -> Contents:
    def shape(number: int) -> tuple[int, ...]:
        layers, words, width = embedder.shape(int(seen.lengths[number]))
        return words, width, layers

    return Contents(
        count=len(seen.lengths),
        name=str if seen.names is None else seen.names.__getitem__,
        shape=shape if layout == "e2e-coref" else lambda number: embedder.shape(int(seen.lengths[number])),
        layers_last=layout == "e2e-coref",
        index=seen.index,
    )


def begin(file: VectorFile, note: ProgressNote, overwrite: bool) -> int:
    """Lays the file out, or finds it laid out by an earlier run of the same job. Returns the sentences in it."""
    try:
        done = note.read()
    except ValueError:
        if not overwrite:
            raise
        done = None
    if done is not None and file.path.exists():
        return done
    note.remove()
    file.path.unlink(missing_ok=True)
    require_space(file.path.parent, int(file.contents.num_bytes().sum()), "the vectors")
    file.lay_out()
    note.write(0)
    return 0


def fill(
    file: VectorFile,
    embedder: ElmoEmbedder,
    sentences: Iterator[Sentence],
    lengths: np.ndarray,
    start: int,
    note: ProgressNote,
    bar: tqdm,
) -> None:
    """Computes the sentences from number `start` on, and puts each where it belongs."""
    offsets = file.offsets()
    with open(file.path, "r+b") as stream:
        for window in windows(sentences, lambda sentence: len(sentence.words)):
            stop = start + len(window)
            if [len(sentence.words) for sentence in window] != lengths[start:stop].tolist():
                raise ValueError("the input has changed while it was read; start again")
            for batch in batches(lengths[start:stop].tolist()):
                vectors = embedder.embed_batch([window[number].words for number in batch])
                for number, array in zip(batch, vectors, strict=True):
                    stream.seek(int(offsets[start + number]))
                    stream.write(file.encode(start + number, array))
                bar.update(sum(len(window[number].words) for number in batch))
            start = stop
            # The note follows the vectors onto the disk: it never promises what is not there.
            sync(stream)
            note.write(start)
        if start != len(lengths):
            raise ValueError("the input has changed while it was read; start again")
        file.finish(stream)
        sync(stream)


def sync(stream) -> None:
    stream.flush()
    os.fsync(stream.fileno())
