"""Reading text files line by line, with errors that say where a file is wrong; and writing files safely."""

import codecs
import errno
import gzip
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .extras import require

COMPRESSIONS = (".gz", ".zst")
_GZIP_MAGIC, _ZSTANDARD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # neither begins a UTF-8 text
_READ_BYTES = 1 << 17
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class FormatError(ValueError):
    """What is not in the format, named by file and line."""


def numbered_lines(path: str | Path, name: str | None = None) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, counted from 1, without their ends and without a byte order mark.

    A file is decompressed where its name ends in `.gz` or `.zst`, or its first bytes say so. Lines end at line feeds
    only (a carriage return before one goes with it), so that line numbers agree with every other tool's.

    Args:
        path: of the file.
        name: what messages call it, by default its path.

    Raises:
        FormatError: if a line is not UTF-8, or the compressed data are broken.
    """
    name, number = name or path, 0
    with open(path, "rb") as file:
        try:
            for number, line in enumerate(_decompressed(file, Path(path).suffix.lower()), 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{name}:{number}: not UTF-8 (byte {error.object[error.start]:#04x} at place {error.start + 1}); "
                "convert the file to UTF-8 first"
            ) from None
        except ImportError:
            raise
        except Exception as error:  # every compression has its own
            raise FormatError(f"{name}, after line {number}: cannot be read ({error})") from error


def numbered_objects(path: str | Path, name: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines (see [`numbered_lines`]) and the numbers of their lines; blank lines are
    skipped.

    Raises:
        FormatError: if a line is no JSON object.
    """
    for number, line in numbered_lines(path, name):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{name or path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise FormatError(f"{name or path}:{number}: a JSON object is needed, not {type(row).__name__}")
        yield number, row


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FormatError: if it holds anything else.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds a JSON {type(value).__name__}; it must be an object")
    return value


def parse_json(text: str) -> Any:
    """What a JSON text says. Escapes can spell half a surrogate pair, which no file can hold: it becomes U+FFFD."""
    value = json.loads(text)
    if _SURROGATE_ESCAPE.search(text):
        utf_16 = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        value = json.loads(utf_16.decode("utf-16", "replace"))
    return value


def split_columns(line: str) -> list[str]:
    """The fields of a line, separated by tabs or, where it has none, by spaces; other white space may be in a word."""
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def as_field(value: str) -> str:
    """A field that [`split_columns`] gives back: tabs and line ends in it become spaces."""
    return re.sub(r"[\t\r\n]", " ", value)


def suffix(path: str | Path) -> str:
    """The ending that says what is in a file, in small letters: `.tsv` of `train.TSV.gz`."""
    path = Path(path)
    return Path(path.stem if path.suffix.lower() in COMPRESSIONS else path.name).suffix.lower()


def replace_file(path: Path, text: str) -> None:
    """Writes a text file so that it holds the old or the new text, whatever happens."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    sync(unfinished)
    os.replace(unfinished, path)


def require_free(path: Path, overwrite: bool) -> None:
    """Refuses to write a file over something else.

    Raises:
        FileExistsError: the file exists, and is not to be overwritten.
        IsADirectoryError: it is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; pass --overwrite (in Python overwrite=True) to replace it")


def sync(path: Path) -> None:
    """Forces a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_space(folder: Path, num_bytes: float, what: str) -> None:
    """Refuses to begin what cannot be finished.

    Raises:
        OSError: `what` needs more bytes than are free where the folder is.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise OSError(
            errno.ENOSPC, f"{what} need {num_bytes / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free", str(folder)
        )


def _decompressed(file: BinaryIO, ending: str) -> Iterable[bytes]:
    start = file.peek(len(_ZSTANDARD_MAGIC))
    if ending == ".gz" or start.startswith(_GZIP_MAGIC):
        return gzip.open(file)
    if ending == ".zst" or start.startswith(_ZSTANDARD_MAGIC):
        return _zstandard_lines(file)
    return file


def _zstandard_lines(file: BinaryIO) -> Iterator[bytes]:
    """Frame by frame, since zstandard's own stream reader takes a truncated file for a complete one."""
    zstandard = require("zstandard", "train", f"{file.name}: reading .zst")
    frame, line = None, []  # the pieces of a line, which are put together once
    while compressed := file.read(_READ_BYTES):
        while compressed:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            piece, *lines = frame.decompress(compressed).split(b"\n")
            line.append(piece)
            if lines:
                yield b"".join(line)
                line = [lines.pop()]
                yield from lines
            compressed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("the compressed data ends in the middle")
    if any(line):
        yield b"".join(line)
