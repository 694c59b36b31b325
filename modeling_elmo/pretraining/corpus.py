"""Opening a corpus: files, folders, globs, any Hugging Face dataset, or the text that every installation carries.

A corpus is a sequence of shards (see shards.py), and a shard is a sequence of *records*. A record is the piece of text
whose sentences stay together, in order, in one stream: a sentence, some consecutive sentences, or a document. It is
cheap to read, to skip and to count; sentences and words are made from it only where they are needed.
"""

import glob
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..extras import require
from ..text_files import COMPRESSIONS
from .embedded_corpus import embedded_corpus_file
from .sentences import split_sentences
from .shards import DatasetShard, Shard, TextShard, file_shard

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    Source = str | Path | Sequence[str | Path] | Dataset | IterableDataset

TextFormat = Literal["sentences", "paragraphs", "wrapped"]
Part = Literal["all", "train", "held_out"]
EMBEDDED = "embedded"

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILE_SUFFIXES = (".txt", ".jsonl", ".json", ".parquet", ".tokens", *COMPRESSIONS)
_HASH_RANGE = 1 << 32


class CorpusError(ValueError):
    """A corpus cannot be found or opened, or has no text."""


@dataclass(frozen=True)
class Corpus:
    """A corpus that is read as a stream; made by `open_corpus`.

    Attributes:
        shards: the pieces it is read in.
        text_format: `"sentences"`: tokenised text, one sentence a line, words separated by white space;
            `"paragraphs"`: raw text, a line is a paragraph or a document; `"wrapped"`: raw text with hard line breaks,
            an empty line ends a paragraph. Of tables, the same holds inside every row's field.
        language: ISO 639-1 code by whose rules raw text is split into sentences; general rules for an unknown one.
        lines_per_record: how many consecutive lines (rows, of a table; paragraphs, of wrapped text) make a record.
        held_out_share: share of the records that `held_out` takes, by a hash of their text: equal records never stand
            in both parts.
        part: which records are read.
        is_local: whether reading a shard only to skip most of it is cheap.
    """

    shards: tuple[Shard, ...]
    text_format: TextFormat = "sentences"
    language: str = "en"
    lines_per_record: int = 1
    held_out_share: float = 0.0
    part: Part = "all"
    is_local: bool = True

    def split(self, held_out_share: float) -> tuple["Corpus", "Corpus"]:
        """The training and the held-out part; `held_out_share` of the records (0 to 1) go to the latter."""
        if not 0.0 < held_out_share < 1.0:
            raise ValueError(f"held_out_share must lie between 0 and 1, not {held_out_share}")
        train = replace(self, held_out_share=held_out_share, part="train")
        return train, replace(train, part="held_out")

    @property
    def files(self) -> dict[Path, Shard]:
        """The shards that are files, by their resolved paths."""
        return {shard.path.resolve(): shard for shard in self.shards if not isinstance(shard, DatasetShard)}

    def without(self, other: "Corpus") -> "Corpus":
        """This corpus without the files that `other` has too, as a held-out file in the folder to train on; if it
        has no more than these, they are meant to be in both."""
        files = self.files
        held_out = {files[path] for path in files.keys() & other.files.keys()}
        shards = tuple(shard for shard in self.shards if shard not in held_out)
        return replace(self, shards=shards or self.shards)

    def num_bytes(self) -> int:
        """Size of its files, as they are on the disk."""
        return sum(path.stat().st_size for path in self.files)

    def records(self, shard: int) -> Iterator[str]:
        """The records of a shard, by its index, in order. No record is empty."""
        texts = self.shards[shard].texts()
        if self.text_format == "wrapped":
            lines = _unwrap(texts) if isinstance(self.shards[shard], TextShard) else map(_unwrap_field, texts)
        else:
            lines = texts
        lines = (line for line in lines if line and not line.isspace())
        while record := "\n".join(islice(lines, self.lines_per_record)):
            if self.part == "all" or self._is_held_out(record) == (self.part == "held_out"):
                yield record

    def weight(self, record: str) -> int:
        """About how long a record is: stream positions of tokenised text, else characters."""
        if self.text_format == "sentences":
            return record.count(" ") + 2 * record.count("\n") + 2
        return len(record)

    def split_record(self, record: str, split_words: Callable[[str], list[str]]) -> list[list[str]]:
        """Sentences of a record, each a list of words; raw ones are split by `split_words`, the tokenizer's."""
        if self.text_format == "sentences":
            sentences = (line.split() for line in record.split("\n"))
        else:
            sentences = (
                split_words(sentence)
                for paragraph in record.split("\n")
                for sentence in split_sentences(paragraph, self.language)
            )
        return [words for words in sentences if words]

    def sentences(self, split_words: Callable[[str], list[str]]) -> Iterator[list[str]]:
        """Every sentence in order, as a list of words."""
        for shard in range(len(self.shards)):
            for record in self.records(shard):
                yield from self.split_record(record, split_words)

    def _is_held_out(self, record: str) -> bool:
        return zlib.crc32(record.encode("utf-8", "surrogatepass")) < self.held_out_share * _HASH_RANGE


def open_corpus(
    source: "Source" = EMBEDDED,
    *,
    text_format: TextFormat = "sentences",
    language: str = "en",
    lines_per_record: int = 1,
    column: str = "text",
    split: str = "train",
    configuration: str | None = None,
) -> Corpus:
    """Opens a corpus as a stream.

    Args:
        source: `"embedded"` (English prose that the installation carries, see embedded_corpus.py); a file, a folder
            (its files, recursively, in order of their names), a glob, or a list of those, of which no file is read
            twice; the name of a dataset on the Hub, which is streamed; or a `datasets.Dataset` or `IterableDataset`.
            Files are text, `.jsonl` (also as `.gz` and `.zst`) or `.parquet`.
        text_format, language, lines_per_record: see `Corpus`.
        column: the column with the text, for tables: text, or a list of words.
        split, configuration: which split and configuration of a dataset on the Hub.

    Raises:
        CorpusError: nothing is found at `source`.
        FormatError: while reading, where a file is malformed.
    """
    if text_format not in get_args(TextFormat):
        raise ValueError(f"text_format must be one of {', '.join(get_args(TextFormat))}, not {text_format!r}")
    if lines_per_record < 1:
        raise ValueError(f"lines_per_record must be at least 1, not {lines_per_record}")
    if text_format != "sentences":
        split_sentences("", language)  # a missing library is an error now, not in a worker
    options = {"text_format": text_format, "language": language, "lines_per_record": lines_per_record}

    if isinstance(source, str) and source == EMBEDDED:
        return Corpus((TextShard(embedded_corpus_file()),), lines_per_record=lines_per_record)
    if not isinstance(source, str | Path | Sequence):
        return _dataset_corpus(source, type(source).__name__, column, options)
    if isinstance(source, str) and not _looks_like_files(source):
        return _hub_corpus(source, configuration, split, column, options)
    sources = [source] if isinstance(source, str | Path) else source
    paths = list({path.resolve(): path for each in sources for path in _files(str(each))}.values())
    if not paths:
        raise CorpusError("the list of files to read is empty")
    return Corpus(tuple(file_shard(path, column) for path in paths), **options)


def _looks_like_files(source: str) -> bool:
    return Path(source).exists() or not _HUB_NAME.fullmatch(source) or source.lower().endswith(_FILE_SUFFIXES)


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_file():
        return [path]
    # Nothing hidden, and what symbolic links point to as well.
    pattern = f"{glob.escape(source)}/**" if path.is_dir() else source
    files = sorted(each for each in map(Path, glob.glob(pattern, recursive=True)) if each.is_file())
    if not files:
        raise CorpusError(f"{source}: no such file, no folder with files in it, and no file that the pattern matches")
    return files


def _hub_corpus(name: str, configuration: str | None, split: str, column: str, options: dict) -> Corpus:
    datasets = require("datasets", "train", f"reading the dataset {name}")
    try:
        dataset = datasets.load_dataset(name, configuration, split=split, streaming=True)
    except Exception as error:  # the library raises many kinds; each means that there is nothing to read
        raise CorpusError(f"{name}: no such file or folder, and as a dataset it cannot be opened: {error}") from error
    return _dataset_corpus(dataset, name, column, options)


def _dataset_corpus(dataset: "Dataset | IterableDataset", name: str, column: str, options: dict) -> Corpus:
    from datasets import Dataset, IterableDataset

    if not isinstance(dataset, Dataset | IterableDataset):
        raise TypeError(f"a corpus is opened from a path, a name or one split of a dataset, not from {name}")
    if isinstance(dataset, Dataset):
        dataset = dataset.to_iterable_dataset()
    if dataset.column_names is not None and column not in dataset.column_names:
        raise CorpusError(f"dataset {name}: no column {column!r}; it has {', '.join(map(repr, dataset.column_names))}")
    count = dataset.num_shards
    shards = tuple(DatasetShard(dataset, name, column, count, index) for index in range(count))
    return Corpus(shards, is_local=False, **options)


def _unwrap(lines: Iterator[str]) -> Iterator[str]:
    """Paragraphs of hard-wrapped lines."""
    paragraph: list[str] = []
    for line in lines:
        if line and not line.isspace():
            paragraph.append(line.strip())
        elif paragraph:
            yield " ".join(paragraph)
            paragraph = []
    if paragraph:
        yield " ".join(paragraph)


def _unwrap_field(text: str) -> str:
    return "\n".join(_unwrap(iter(text.split("\n"))))
