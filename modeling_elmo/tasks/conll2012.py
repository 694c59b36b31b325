"""Documents in the columns of the CoNLL-2011/2012 shared tasks (OntoNotes): coreference chains and semantic roles.

Columns: document, part, word number, word, part of speech, parse, predicate lemma and sense, word sense, speaker,
named entity, one column of arguments for each predicate of the sentence, coreference. Fields are separated by tabs or
by runs of spaces.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..text_files import FormatError, as_field, numbered_lines, split_columns

Span = tuple[int, int]  # first and last word, both included

_BEGIN = re.compile(r"#begin document \((?P<key>.*)\); part (?P<part>\d+)\s*$")
_NOTHING = ("-", "_", "*", "")
_FIRST_ARGUMENTS = 11


@dataclass
class Frame:
    """A predicate and its arguments.

    Attributes:
        predicate: word number in the sentence.
        lemma, sense: as in the file, `-` or `?` where unknown.
        arguments: `(role, (first, last))` in order, words counted in the sentence; the predicate itself is role `V`.
    """

    predicate: int
    lemma: str
    sense: str
    arguments: list[tuple[str, Span]]


@dataclass
class Sentence:
    words: list[str]
    tags: list[str]
    speakers: list[str]
    frames: list[Frame] = field(default_factory=list)


@dataclass
class Document:
    """A document part.

    Attributes:
        key, part: of the `#begin document` line.
        sentences: in order.
        clusters: coreference chains, each a sorted list of spans; words counted over the document.
    """

    key: str
    part: int
    sentences: list[Sentence]
    clusters: list[list[Span]]

    @property
    def words(self) -> list[str]:
        return [word for sentence in self.sentences for word in sentence.words]

    @property
    def genre(self) -> str:
        """The first two letters of the key, where OntoNotes keeps the genre (`nw`, `bc`, ...)."""
        return self.key[:2]


def read_conll2012(path: str | Path) -> Iterator[Document]:
    """The documents of a file, plain or compressed.

    Raises:
        FormatError: a malformed line; the message names the file, the line and what is wrong.
    """
    key, part, number, rows, sentences = None, 0, 0, [], []
    for number, line in numbered_lines(path):
        if line.startswith("#begin document"):
            match = _BEGIN.match(line)
            if match is None or key is not None:
                raise FormatError(f"{path}:{number}: expected '#begin document (KEY); part N' after an end: {line!r}")
            key, part, sentences = match["key"], int(match["part"]), []
        elif line.startswith("#end document"):
            if key is None:
                raise FormatError(f"{path}:{number}: '#end document' without a beginning")
            if rows:
                sentences.append(rows)
            yield _document(path, key, part, sentences)
            key, rows = None, []
        elif not line.strip():
            if rows:
                sentences.append(rows)
            rows = []
        elif line.startswith("#"):
            continue
        elif key is None:
            raise FormatError(f"{path}:{number}: a word outside of a document: {line!r}")
        else:
            fields = split_columns(line)
            if len(fields) <= _FIRST_ARGUMENTS:
                raise FormatError(f"{path}:{number}: {len(fields)} columns; a word has at least 12")
            if rows and len(fields) != len(rows[-1][1]):
                raise FormatError(
                    f"{path}:{number}: {len(fields)} columns; the words before it have {len(rows[-1][1])}"
                )
            rows.append((number, fields))
    if key is not None:
        raise FormatError(f"{path}:{number}: the file ends inside document {key!r}; is it cut off?")


def _document(path, key: str, part: int, sentences: list[list[tuple[int, list[str]]]]) -> Document:
    read, clusters, open_spans, offset = [], {}, {}, 0
    for rows in sentences:
        for position, (number, fields) in enumerate(rows, offset):
            _read_chains(f"{path}:{number}", fields[-1], position, open_spans, clusters)
        read.append(_sentence(path, rows))
        offset += len(rows)
    for chain, starts in open_spans.items():
        if starts:
            lines = [number for rows in sentences for number, _ in rows]
            raise FormatError(f"{path}:{lines[starts[-1]]}: chain {chain} begins a mention that never ends")
    return Document(key, part, read, [sorted(spans) for spans in clusters.values()])


def _read_chains(where: str, text: str, position: int, open_spans: dict, clusters: dict):
    if text in _NOTHING:
        return
    for piece in text.split("|"):
        match = re.fullmatch(r"(\()?([^()|]+)(\))?", piece)
        if match is None or not (match[1] or match[3]):
            raise FormatError(f"{where}: {text!r} in the coreference column; expected (N, N), (N) joined by |")
        if match[1]:
            open_spans.setdefault(match[2], []).append(position)
        if match[3]:
            if not open_spans.get(match[2]):
                raise FormatError(f"{where}: chain {match[2]} ends a mention that never began")
            clusters.setdefault(match[2], []).append((open_spans[match[2]].pop(), position))


def _sentence(path, rows: list[tuple[int, list[str]]]) -> Sentence:
    fields = [row for _, row in rows]
    sentence = Sentence([row[3] for row in fields], [row[4] for row in fields], [row[9] for row in fields])
    # Files without roles may have other columns before the last; roles are there if some word has a predicate sense,
    # or every column marks its predicate, whose sense may be unknown.
    predicates = [i for i, row in enumerate(fields) if row[7] not in _NOTHING]
    columns = len(fields[0]) - 1 - _FIRST_ARGUMENTS
    if len(predicates) != columns:
        marked = [
            i
            for column in range(_FIRST_ARGUMENTS, len(fields[0]) - 1)
            for i, row in enumerate(fields)
            if row[column].startswith("(V*")
        ]
        if len(marked) == columns:
            predicates = marked
    if predicates and len(predicates) != columns:
        raise FormatError(
            f"{path}:{rows[0][0]}: a sentence with {len(predicates)} predicates has {columns} columns of arguments"
        )
    for column, predicate in enumerate(predicates, _FIRST_ARGUMENTS):
        arguments = _read_arguments(path, rows, column)
        sentence.frames.append(Frame(predicate, fields[predicate][6], fields[predicate][7], arguments))
    return sentence


def _read_arguments(path, rows: list[tuple[int, list[str]]], column: int) -> list[tuple[str, Span]]:
    arguments, begun = [], None
    for position, (number, fields) in enumerate(rows):
        match = re.fullmatch(r"(?:\(([^()*]+))?\*(\))?", fields[column])
        if match is None or (match[1] and begun) or (match[2] and not match[1] and not begun):
            raise FormatError(f"{path}:{number}: {fields[column]!r} in argument column {column + 1}")
        if match[1]:
            begun = (match[1], position)
        if match[2]:
            arguments.append((begun[0], (begun[1], position)))
            begun = None
    if begun:
        raise FormatError(f"{path}:{rows[-1][0]}: argument {begun[0]} does not end within its sentence")
    return arguments


def write_conll2012(documents: Iterable[Document], path: str | Path):
    """Writes documents in the same columns; what a document does not hold is `-` or `*`."""
    with open(path, "w", encoding="utf-8") as out:
        for document in documents:
            chains = _chain_column(document)
            out.write(f"#begin document ({document.key}); part {document.part:03d}\n")
            position = 0
            for sentence in document.sentences:
                frames = {frame.predicate: frame for frame in sentence.frames}
                columns = [_argument_column(frames[i], len(sentence.words)) for i in sorted(frames)]
                for i, word in enumerate(map(as_field, sentence.words)):
                    lemma, sense = (frames[i].lemma, frames[i].sense) if i in frames else ("-", "-")
                    if i in frames and sense in _NOTHING:
                        sense = "?"  # which says that the word is a predicate
                    fields = [document.key, str(document.part), str(i), word, sentence.tags[i], "*", lemma, sense]
                    fields += ["-", sentence.speakers[i], "*", *(column[i] for column in columns), chains[position]]
                    out.write("\t".join(fields) + "\n")
                    position += 1
                out.write("\n")
            out.write("#end document\n")


def _chain_column(document: Document) -> list[str]:
    marks: list[list[str]] = [[] for _ in document.words]
    for chain, spans in enumerate(document.clusters):
        # A word's mentions end before others begin, so that a chain whose mentions overlap in it reads back as it was.
        for first, last in spans:
            if first != last:
                marks[last].append(f"{chain})")
        for first, last in spans:
            marks[first].append(f"({chain})" if first == last else f"({chain}")
    return ["|".join(mark) or "-" for mark in marks]


def _argument_column(frame: Frame, length: int) -> list[str]:
    column = ["*"] * length
    for role, (first, last) in frame.arguments:
        column[first] = f"({role}{column[first]}"
        column[last] += ")"
    return column
