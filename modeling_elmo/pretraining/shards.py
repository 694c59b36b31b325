"""Shards: the pieces a corpus is read in, each an ordered sequence of texts that can be read again from its start.

A shard is a file (plain text, JSON lines or Parquet; the first two also as .gz or .zst) or one shard of a Hugging Face
dataset. Whatever is malformed is a `FormatError` that names the file and the line, row or column.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..extras import require
from ..text_files import FormatError, numbered_lines, numbered_objects, suffix

if TYPE_CHECKING:
    from datasets import IterableDataset

_ROWS_PER_BATCH = 1024


class Shard(Protocol):
    """An ordered sequence of texts."""

    def texts(self) -> Iterator[str]:
        """The lines of a text file, or the field of every row of a table, in order."""


@dataclass(frozen=True)
class TextShard:
    """A text file in UTF-8; `texts` are its lines, empty ones included, without the line end."""

    path: Path

    def texts(self) -> Iterator[str]:
        return (line for _, line in numbered_lines(self.path))


@dataclass(frozen=True)
class JsonLinesShard:
    """A file with one JSON object a line; `texts` are the fields named `column`."""

    path: Path
    column: str

    def texts(self) -> Iterator[str]:
        for number, row in numbered_objects(self.path):
            where = f"{self.path}:{number}"
            if self.column not in row:
                raise FormatError(f"{where}: no column {self.column!r}; it has {_names(row)}")
            yield _as_text(row[self.column], where, self.column)


@dataclass(frozen=True)
class ParquetShard:
    """A Parquet file; `texts` are the values of the column named `column`."""

    path: Path
    column: str

    def texts(self) -> Iterator[str]:
        what = f"{self.path}: reading Parquet"
        pyarrow, parquet = (require(module, "train", what) for module in ("pyarrow", "pyarrow.parquet"))
        row = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                if self.column not in file.schema_arrow.names:
                    names = _names(file.schema_arrow.names)
                    raise FormatError(f"{self.path}: no column {self.column!r}; it has {names}")
                for batch in file.iter_batches(_ROWS_PER_BATCH, columns=[self.column]):
                    for value in batch.column(0).to_pylist():
                        row += 1
                        yield _as_text(value, f"{self.path}, row {row}", self.column)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise FormatError(f"{self.path}, after row {row}: cannot be read as Parquet ({error})") from error


@dataclass(frozen=True)
class DatasetShard:
    """One shard of a Hugging Face dataset, streamed; `texts` are the values of the column named `column`."""

    dataset: "IterableDataset"
    name: str
    column: str
    num_shards: int
    index: int

    def texts(self) -> Iterator[str]:
        shard = self.dataset.shard(num_shards=self.num_shards, index=self.index)
        row = 0
        for batch in shard.with_format("arrow").iter(batch_size=_ROWS_PER_BATCH):
            if self.column not in batch.column_names:
                raise FormatError(
                    f"dataset {self.name}: no column {self.column!r}; it has {_names(batch.column_names)}"
                )
            for value in batch.column(self.column).to_pylist():
                row += 1
                yield _as_text(value, f"dataset {self.name}, shard {self.index}, row {row}", self.column)


def file_shard(path: Path, column: str) -> Shard:
    """The shard of a file, by its suffixes: `.parquet`, `.jsonl` / `.json` (one object a line), or else text."""
    ending = suffix(path)
    if ending == ".parquet":
        return ParquetShard(path, column)
    if ending in (".jsonl", ".json"):
        return JsonLinesShard(path, column)
    return TextShard(path)


def _as_text(value: Any, where: str, column: str) -> str:
    """A field as text: a list of words is a sentence of them, and a missing value is empty."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    raise FormatError(f"{where}: column {column!r} must hold text or a list of words, not {type(value).__name__}")


def _names(columns: Any) -> str:
    return ", ".join(map(repr, columns)) or "none"
