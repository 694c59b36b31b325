"""Shards: the pieces a corpus is read in, each an ordered sequence of texts that can be read again from its start.

A shard is a file (plain text, JSON lines or Parquet; the first two also as .gz or .zst) or one shard of a Hugging Face
dataset. Whatever is malformed is a `CorpusError` that names the file and the line or column.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datasets import IterableDataset

COMPRESSIONS = (".gz", ".zst")
_READ_BYTES = 1 << 17
_ROWS_PER_BATCH = 1024


class CorpusError(ValueError):
    """A corpus cannot be found or read; the message names the file and the line, row or column."""


class Shard(Protocol):
    """An ordered sequence of texts."""

    def texts(self) -> Iterator[str]:
        """The lines of a text file, or the field of every row of a table, in order."""


@dataclass(frozen=True)
class TextShard:
    """A text file in UTF-8; `texts` are its lines, empty ones included, without the line end."""

    path: Path

    def texts(self) -> Iterator[str]:
        for number, line in _numbered_lines(self.path):
            try:
                yield line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise CorpusError(f"{self.path}, line {number}: not valid UTF-8 ({error})") from None


@dataclass(frozen=True)
class JsonLinesShard:
    """A file with one JSON object a line; `texts` are the fields named `column`."""

    path: Path
    column: str

    def texts(self) -> Iterator[str]:
        for number, line in _numbered_lines(self.path):
            if not line.strip():
                continue
            where = f"{self.path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
                raise CorpusError(f"{where}: not valid JSON ({error})") from None
            if not isinstance(row, dict):
                raise CorpusError(f"{where}: a JSON object is needed, not {type(row).__name__}")
            if self.column not in row:
                raise CorpusError(f"{where}: no column {self.column!r}; it has {_names(row)}")
            text = _as_text(row[self.column], where, self.column)
            # Escapes can spell half a surrogate pair, which no file can hold.
            yield text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if b"\\u" in line else text


@dataclass(frozen=True)
class ParquetShard:
    """A Parquet file; `texts` are the values of the column named `column`."""

    path: Path
    column: str

    def texts(self) -> Iterator[str]:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ImportError(
                f"{self.path}: reading Parquet needs pyarrow: pip install 'modeling-elmo[train]'"
            ) from None
        row = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                if self.column not in file.schema_arrow.names:
                    names = _names(file.schema_arrow.names)
                    raise CorpusError(f"{self.path}: no column {self.column!r}; it has {names}")
                for batch in file.iter_batches(_ROWS_PER_BATCH, columns=[self.column]):
                    for value in batch.column(0).to_pylist():
                        row += 1
                        yield _as_text(value, f"{self.path}, row {row}", self.column)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"{self.path}, after row {row}: cannot be read as Parquet ({error})") from error


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
                raise CorpusError(
                    f"dataset {self.name}: no column {self.column!r}; it has {_names(batch.column_names)}"
                )
            for value in batch.column(self.column).to_pylist():
                row += 1
                yield _as_text(value, f"dataset {self.name}, shard {self.index}, row {row}", self.column)


def file_shard(path: Path, column: str) -> Shard:
    """The shard of a file, by its suffixes: `.parquet`, `.jsonl` / `.json` (one object a line), or else text."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if suffixes and suffixes[-1] == ".parquet":
        return ParquetShard(path, column)
    if suffixes and suffixes[-1] in (".jsonl", ".json"):
        return JsonLinesShard(path, column)
    return TextShard(path)


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a plain or compressed file, counted from 1; only b"\\n" ends a line."""
    suffix = path.suffix.lower()
    opened = {".gz": _gzip_lines, ".zst": _zstandard_lines}.get(suffix, _plain_lines)
    number = 0
    try:
        for number, line in enumerate(opened(path), start=1):
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except ImportError:
        raise
    except Exception as error:  # every compression has its own
        raise CorpusError(f"{path}, after line {number}: cannot be read ({error})") from error


def _plain_lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from file


def _gzip_lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        yield from file


def _zstandard_lines(path: Path) -> Iterator[bytes]:
    """Frame by frame, since zstandard's own stream reader takes a truncated file for a complete one."""
    try:
        import zstandard
    except ImportError:
        raise ImportError(f"{path}: reading .zst needs zstandard: pip install 'modeling-elmo[train]'") from None
    frame, rest = None, b""
    with open(path, "rb") as file:
        while compressed := file.read(_READ_BYTES):
            while compressed:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                lines = (rest + frame.decompress(compressed)).split(b"\n")
                rest = lines.pop()
                yield from lines
                compressed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("the compressed data ends in the middle")
    if rest:
        yield rest


def _as_text(value: Any, where: str, column: str) -> str:
    """A field as text: a list of words is a sentence of them, and a missing value is empty."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    raise CorpusError(f"{where}: column {column!r} must hold text or a list of words, not {type(value).__name__}")


def _names(columns: Any) -> str:
    return ", ".join(map(repr, columns)) or "none"
