"""Columns, CoNLL-U, and the ways to write entities."""

import gzip

import pytest

from modeling_elmo.tasks.tagged_text import read_columns, read_conllu, to_bio, to_bioes, write_columns
from modeling_elmo.text_files import FormatError

CONLL2003 = """\
-DOCSTART- -X- O O

Anna NNP I-NP I-PER
lives VBZ I-VP O

Zürich NNP I-NP I-LOC
"""

CONLLU = """\
# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\twent\tgo\tVERB\tVB\t_\t_\t_\t_\t_

1\ttốt đẹp\t_\tADJ\tA\t_\t0\troot\t_\t_
"""


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def as_pairs(sentences):
    return [list(zip(sentence.words, sentence.labels, strict=True)) for sentence in sentences]


@pytest.mark.parametrize("name", ["eng.train", "eng.train.gz"])
def test_columns(tmp_path, name):
    path = write(tmp_path / name, CONLL2003)
    expected = [[("Anna", "I-PER"), ("lives", "O")], [("Zürich", "I-LOC")]]
    assert as_pairs(read_columns(path)) == expected
    assert as_pairs(read_columns(path, column=1))[0] == [("Anna", "NNP"), ("lives", "VBZ")]


def test_written_columns_are_read_again(tmp_path):
    rows = [[("Anna", "B-PER", "B-PER"), ("lives", "O", "O")], [("Oslo", "B-LOC", "O")]]
    for sentences in (rows, [*rows, [("con gái", "O", "O")]]):
        write_columns(tmp_path / "predictions.txt", sentences)
        expected = [[row[::2] for row in rows] for rows in sentences]
        assert as_pairs(read_columns(tmp_path / "predictions.txt")) == expected
    # A data set's words may be line ends, as those of spaCy.
    write_columns(tmp_path / "predictions.txt", [[("Anna", "B-PER"), ("\r\n", "O"), ("a\tb", "O")]])
    assert as_pairs(read_columns(tmp_path / "predictions.txt")) == [[("Anna", "B-PER"), ("  ", "O"), ("a b", "O")]]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("Anna NNP O\nlives O\n", -1, r"train:2: 2 columns, 3 expected"),
        ("\nAnna NNP O\n", 7, r"train:2: there is no column 7 among 3"),
        ("Anna\n", -1, r"train:1: there is no column"),
        ("Anna\t\tO\n", -1, r"train:1: 2 columns, 3 expected"),
    ],
)
def test_malformed_columns_are_named(tmp_path, text, column, message):
    with pytest.raises(FormatError, match=message):
        read_columns(write(tmp_path / "train", text), column)


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "latin1").write_bytes(b"Anna O\nZ\xfcrich O\n")
    with pytest.raises(FormatError, match="latin1:2: not UTF-8"):
        read_columns(tmp_path / "latin1")


def test_conllu(tmp_path):
    path = write(tmp_path / "dev.conllu", CONLLU)
    assert as_pairs(read_conllu(path)) == [
        [("Do", "AUX"), ("n't", "PART"), ("go", "VERB")],
        [("tốt đẹp", "ADJ")],
    ]
    assert read_conllu(path, "xpos")[0].labels == ["VB", "RB", "VB"]
    with pytest.raises(ValueError, match="dev.conllu: CoNLL-U has no column 'ner', only"):
        read_conllu(path, "ner")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 Do do AUX VB _ 3 aux _ _", "dev.conllu:1: 1 columns separated by tabs, 10 expected"),
        ("2\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_", "dev.conllu:1: word number '2', 1 expected"),
        ("1\t\tdo\tAUX\tVB\t_\t3\taux\t_\t_", "dev.conllu:1: an empty field"),
    ],
)
def test_malformed_conllu_is_named(tmp_path, line, message):
    with pytest.raises(FormatError, match=message):
        read_conllu(write(tmp_path / "dev.conllu", line + "\n"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC I-LOC O I-LOC", "B-PER B-LOC I-LOC O B-LOC"),
        ("B-PER I-PER O B-LOC B-LOC", "B-PER I-PER O B-LOC B-LOC"),
        ("O", "O"),
    ],
)
def test_to_bio(labels, expected):
    assert to_bio(labels.split()) == expected.split()
    assert to_bio(expected.split()) == expected.split()


def test_to_bioes():
    labels = "B-PER I-PER I-PER O B-LOC B-LOC I-LOC B-PER"
    assert to_bioes(labels.split()) == ["B-PER", "I-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "S-PER"]
    assert to_bio(to_bioes(labels.split())) == labels.split()


def test_real_files(shared_data):
    sentences = read_columns(shared_data / "ner_conll2003" / "eng.testa.gz")
    assert len(sentences) == 3250
    assert sum(label.startswith("B-") for item in sentences for label in to_bio(item.labels)) == 5942
    assert len(read_conllu(shared_data / "pos_ud_ewt" / "en_ewt-ud-dev.conllu.gz")) == 2001
