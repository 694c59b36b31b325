"""Sentences with a label for every word: CoNLL-2003 columns and CoNLL-U; IOB1, BIO and BIOES."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..text_files import FormatError, as_field, numbered_lines, split_columns

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


@dataclass
class TaggedSentence:
    words: list[str]
    labels: list[str]


def read_columns(path: str | Path, column: int = -1) -> list[TaggedSentence]:
    """Sentences in the columns of CoNLL-2003: a word a line, the word first, blank lines between sentences; fields
    are separated by tabs or spaces. `-DOCSTART-` lines are skipped.

    Args:
        path: plain or compressed.
        column: where the label stands; by default last.

    Raises:
        FormatError: naming file and line, where a line has another number of columns than the first.
    """
    sentences, words, labels, width = [], [], [], None
    for number, line in [*numbered_lines(path), (0, "")]:
        fields = split_columns(line)
        if not line.strip() or fields[0] == "-DOCSTART-":
            if words:
                sentences.append(TaggedSentence(words, labels))
            words, labels = [], []
            continue
        width = len(fields) if width is None else width
        if len(fields) != width or not all(fields):
            raise FormatError(f"{path}:{number}: {len([*filter(None, fields)])} columns, {width} expected: {line!r}")
        if not -width <= column < width or width < 2:
            raise FormatError(f"{path}:{number}: there is no column {column} among {width}: {line!r}")
        words.append(fields[0])
        labels.append(fields[column])
    return sentences


def read_conllu(path: str | Path, column: str = "upos") -> list[TaggedSentence]:
    """Sentences in CoNLL-U; ranges of multi-word tokens and empty nodes are left out.

    Args:
        path: plain or compressed.
        column: what the label is: `"upos"`, `"xpos"` or another of the format's ten columns.

    Raises:
        ValueError: if the format has no such column.
        FormatError: naming file and line, for a line without ten columns, or word numbers out of order.
    """
    if column not in CONLLU_COLUMNS:
        raise ValueError(f"{path}: CoNLL-U has no column {column!r}, only {CONLLU_COLUMNS}")
    place = CONLLU_COLUMNS.index(column)
    sentences, words, labels = [], [], []
    for number, line in [*numbered_lines(path), (0, "")]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if words:
                sentences.append(TaggedSentence(words, labels))
            words, labels = [], []
            continue
        fields = line.split("\t")
        if len(fields) != len(CONLLU_COLUMNS):
            raise FormatError(f"{path}:{number}: {len(fields)} columns separated by tabs, 10 expected: {line!r}")
        if re.fullmatch(r"\d+[-.]\d+", fields[0]):
            continue
        if fields[0] != str(len(words) + 1):
            raise FormatError(f"{path}:{number}: word number {fields[0]!r}, {len(words) + 1} expected")
        if not fields[1] or not fields[place]:
            raise FormatError(f"{path}:{number}: an empty field: {line!r}")
        words.append(fields[1])
        labels.append(fields[place])
    return sentences


def write_columns(path: str | Path, sentences: Iterable[Sequence[Sequence[str]]]):
    """Writes sentences as columns: each is a list of rows such as `(word, gold, predicted)`. Spaces separate them, or
    tabs if some word has a space in it, as in Vietnamese. Line ends and tabs in a word become spaces."""
    sentences = [[[as_field(field) for field in row] for row in rows] for rows in sentences]
    separator = "\t" if any(" " in field for rows in sentences for row in rows for field in row) else " "
    with open(path, "w", encoding="utf-8") as file:
        for rows in sentences:
            file.writelines(separator.join(row) + "\n" for row in rows)
            file.write("\n")


def to_bio(labels: Sequence[str]) -> list[str]:
    """IOB1, where `B-` only stands between two entities of a kind that touch, and BIOES as BIO; BIO stays as it is."""
    converted, before = [], "O"
    for label in labels:
        label = {"E-": "I-", "S-": "B-"}.get(label[:2], label[:2]) + label[2:]
        begins = label.startswith("I-") and before[:2] not in ("B-", "I-")
        begins |= label.startswith("I-") and before[2:] != label[2:]
        converted.append("B-" + label[2:] if begins else label)
        before = label
    return converted


def to_bioes(labels: Sequence[str]) -> list[str]:
    """BIO as BIOES: an entity's last word is `E-`, an only word `S-`."""
    converted = []
    for label, after in zip(labels, [*labels[1:], "O"], strict=True):
        ends = after != "I-" + label[2:]
        if ends and label.startswith("B-"):
            label = "S-" + label[2:]
        elif ends and label.startswith("I-"):
            label = "E-" + label[2:]
        converted.append(label)
    return converted
