"""Sentences out of a file: one a line, or documents in JSON lines."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..text_files import FormatError, numbered_lines, numbered_objects


class Sentence(NamedTuple):
    """`name`: under which its vectors are filed. `text`: its line without white space around it."""

    name: str
    text: str
    words: list[str]


class TextInput:
    """A file, or `"-"` for standard input, that can be read as often as needed; use as a context manager.

    Standard input and pipes, which give their content once, are kept in a temporary file.

    Attributes:
        path: of the file.
        name: what messages call it.
    """

    def __init__(self, source: str | Path):
        self.path, self.name, self._copy = source, str(source), None
        if str(source) == "-":
            self.name = "standard input"
            self._keep(sys.stdin.buffer)
        elif not Path(source).is_file():
            with open(source, "rb") as pipe:  # a missing file is an error now, not when a model has been loaded
                self._keep(pipe)

    def _keep(self, stream: BinaryIO):
        self._copy = tempfile.NamedTemporaryFile()  # noqa: SIM115, closed in __exit__
        shutil.copyfileobj(stream, self._copy)
        self._copy.flush()
        self.path = self._copy.name

    def __enter__(self) -> "TextInput":
        return self

    def __exit__(self, *error):
        if self._copy is not None:
            self._copy.close()

    def digest(self) -> str:
        """SHA-256 of the file as it is."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_sentences(text: TextInput, split_words: Callable[[str], list[str]]) -> Iterator[Sentence]:
    """A sentence for every line, empty ones too, named by its number from 0."""
    for number, line in numbered_lines(text.path, text.name):
        line = line.strip()
        yield Sentence(str(number - 1), line, split_words(line))


def read_documents(text: TextInput) -> Iterator[Sentence]:
    """The sentences of documents in JSON lines, objects with `doc_key` and `sentences` (lists of words), as
    coreference systems keep them. A sentence's name is the document's key, `/` replaced by `:`, `/` and its number.

    Raises:
        FormatError: naming the file and the line of what is no such document, or has the key of an earlier one.
    """
    keys = set()
    for number, document in numbered_objects(text.path, text.name):
        try:
            key, sentences = document["doc_key"].replace("/", ":"), document["sentences"]
            if not all(
                isinstance(words, list) and all(word and isinstance(word, str) for word in words)
                for words in sentences
            ):
                raise TypeError("a sentence is not a list of words")
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f'{text.name}:{number}: not a document {{"doc_key": ..., "sentences": [[word, ...], ...]}} ({error!r})'
            ) from error
        if key in ("", ".") or "\0" in key:
            raise FormatError(
                f"{text.name}:{number}: the doc_key {document['doc_key']!r} cannot name a group of an HDF5 file"
            )
        if key in keys:
            raise FormatError(f"{text.name}:{number}: an earlier document has the key {document['doc_key']!r} too")
        keys.add(key)
        for index, words in enumerate(sentences):
            yield Sentence(f"{key}/{index}", " ".join(words), words)
