"""The embedded corpus, made of the documentation of the installed packages."""

import re
import unittest
from pathlib import Path

import pytest

from modeling_elmo.pretraining import embedded_corpus
from modeling_elmo.pretraining.corpus import open_corpus
from modeling_elmo.pretraining.embedded_corpus import build_embedded_corpus


@pytest.fixture(scope="module")
def sentences():
    return build_embedded_corpus(packages=())  # of the standard library alone, which takes seconds


def test_it_is_large_enough_to_learn_from(sentences):
    assert len(sentences) > 5_000
    assert sum(map(len, sentences)) > 80_000


def test_it_reads_like_english(sentences):
    words = [word for sentence in sentences for word in sentence]
    assert sum(word.lower() in {"the", "a", "of", "to", "is", "and", "in"} for word in words) > 0.15 * len(words)
    assert not [word for word in words if re.search(r"[{}<>=|\\`_*#@\[\]]", word)]
    assert all(
        sentence[-1] in {".", "!", "?", '"', ")", "'", "’", "”"} or sentence[-1].endswith(".")
        for sentence in sentences
    )


def test_it_has_no_sentence_twice(sentences):
    assert len({" ".join(sentence) for sentence in sentences}) == len(sentences)


def test_its_order_does_not_depend_on_the_processes(monkeypatch):
    monkeypatch.setattr(embedded_corpus, "_FILES_PER_TASK", 3)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": Path(unittest.__file__).parent})
    expected = build_embedded_corpus(packages=("email",), num_processes=1)
    assert len(expected) > 200
    assert build_embedded_corpus(packages=("email",), num_processes=3) == expected


def test_no_foreign_module_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "a_foreign_package"
    package.mkdir()
    (package / "__init__.py").write_text('"""This module is never to be imported by anyone."""\nraise SystemExit\n')
    (package / "broken.py").write_text('"""This file is for some other version of Python."""\nprint "hello"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": tmp_path / "empty"})
    found = build_embedded_corpus(packages=("a_foreign_package", "a_package_that_is_missing"), num_processes=1)
    assert [" ".join(words) for words in found[-2:]] == [
        "This module is never to be imported by anyone .",
        "This file is for some other version of Python .",
    ]


def test_it_is_made_once_and_split_by_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def build():
        calls.append(None)
        return [["sentence", str(number), "."] for number in range(1000)]

    monkeypatch.setattr("modeling_elmo.pretraining.embedded_corpus.build_embedded_corpus", build)
    train, held_out = open_corpus("embedded").split(0.05)
    again = open_corpus()
    assert len(calls) == 1
    assert [file.suffix for file in (tmp_path / "modeling_elmo").iterdir()] == [".txt"]
    sizes = [sum(1 for _ in corpus.sentences(str.split)) for corpus in (again, train, held_out)]
    assert sizes[0] == 1000 == sizes[1] + sizes[2]
    assert 20 < sizes[2] < 90
