"""Sentences out of a file: one a line, or documents in JSON lines."""

import codecs
import gzip
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

GZIP_MAGIC = b"\x1f\x8b"


class Sentence(NamedTuple):
    """`name`: under which its vectors are filed. `text`: its line without white space around it."""

    name: str
    text: str
    words: list[str]


class TextInput:
    """A UTF-8 text file, plain or gzip, read line by line as often as needed; use as a context manager.

    Lines end at line feeds only, so that line numbers agree with every other tool's. `"-"` is standard input, kept in
    a temporary file for the second reading.

    Args:
        source: path of the file, or `"-"`.
    """

    def __init__(self, source: str | Path):
        self.name = "standard input" if str(source) == "-" else str(source)
        if str(source) == "-":
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, closed in __exit__
            shutil.copyfileobj(sys.stdin.buffer, self._file)
        else:
            self._file = open(source, "rb")  # noqa: SIM115, closed in __exit__

    def __enter__(self) -> "TextInput":
        return self

    def __exit__(self, *error):
        self._file.close()

    @contextmanager
    def _content(self) -> Iterator[BinaryIO]:
        self._file.seek(0)
        is_gzip = self._file.read(2) == GZIP_MAGIC
        self._file.seek(0)
        if not is_gzip:
            yield self._file
            return
        with gzip.open(self._file) as content:
            yield content

    def lines(self, digest: "hashlib._Hash | None" = None) -> Iterator[str]:
        """The lines, without white space around them. `digest` is fed with the content.

        Raises:
            ValueError: naming the file and the line, where the text is not UTF-8 or the gzip stream is broken.
        """
        number = 0
        with self._content() as content:
            try:
                for number, line in enumerate(content, 1):
                    if digest is not None:
                        digest.update(line)
                    if number == 1:
                        line = line.removeprefix(codecs.BOM_UTF8)
                    yield line.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{self.name}, line {number}: not UTF-8 (byte {error.object[error.start]:#04x} at place "
                    f"{error.start + 1}); convert the file to UTF-8 first"
                ) from error
            except (EOFError, gzip.BadGzipFile) as error:
                raise ValueError(f"{self.name}, after line {number}: the gzip file is broken ({error})") from error


def read_sentences(
    text: TextInput, split_words: Callable[[str], list[str]], digest: "hashlib._Hash | None" = None
) -> Iterator[Sentence]:
    """A sentence for every line, empty ones too, named by its number from 0."""
    for number, line in enumerate(text.lines(digest)):
        yield Sentence(str(number), line, split_words(line))


def read_documents(text: TextInput, digest: "hashlib._Hash | None" = None) -> Iterator[Sentence]:
    """The sentences of documents in JSON lines, objects with `doc_key` and `sentences` (lists of words), as
    coreference systems keep them. A sentence's name is the document's key, `/` replaced by `:`, `/` and its number.

    Raises:
        ValueError: naming the file and the line of what is no such document, or has the key of an earlier one.
    """
    keys = set()
    for number, line in enumerate(text.lines(digest), 1):
        if not line:
            continue
        try:
            document = json.loads(line)
            key, sentences = document["doc_key"].replace("/", ":"), document["sentences"]
            if not all(
                isinstance(words, list) and all(word and isinstance(word, str) for word in words)
                for words in sentences
            ):
                raise TypeError("a sentence is not a list of words")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{text.name}, line {number}: not a document "
                f'{{"doc_key": ..., "sentences": [[word, ...], ...]}} ({error!r})'
            ) from error
        if key in keys:
            raise ValueError(
                f"{text.name}, line {number}: an earlier document has the key {document['doc_key']!r} too"
            )
        keys.add(key)
        for index, words in enumerate(sentences):
            yield Sentence(f"{key}/{index}", " ".join(words), words)
