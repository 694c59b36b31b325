"""Lines of text files, and errors that say where a file is wrong."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class FormatError(ValueError):
    """A line that is not in the format, named by file and number."""


def open_file(path: str | Path, mode: str) -> IO:
    """Opens a file, through gzip where its name ends in `.gz`; text is UTF-8."""
    opener = gzip.open if str(path).endswith(".gz") else open
    return opener(path, mode, encoding=None if "b" in mode else "utf-8")


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, plain or `.gz`, counted from 1, without their line feeds.

    Raises:
        FormatError: if a line is not UTF-8, or the gzip stream is broken.
    """
    number = 0
    with open_file(path, "rb") as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise FormatError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start})") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(f"{path}, after line {number}: the gzip file is broken ({error})") from None


def suffix(path: str | Path) -> str:
    """The ending that says what is in a file: `.tsv` of `train.tsv.gz`."""
    path = Path(path)
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


__all__ = ["FormatError", "numbered_lines", "open_file", "suffix"]
