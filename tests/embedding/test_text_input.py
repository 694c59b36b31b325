"""Where text comes from, and bad text."""

import gzip
import io
import os
import random
import sys

import pytest
from embedding.texts import random_text

from modeling_elmo.embedding import embed_file
from modeling_elmo.embedding.text_input import TextInput, read_sentences


def test_the_file_is_the_same_from_gzip_and_standard_input(checkpoint, tmp_path, monkeypatch):
    text = "".join(" ".join(words) + "\n" for words in random_text(20, seed=3)).encode()
    (tmp_path / "text.txt").write_bytes(text)
    (tmp_path / "text.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    files = []
    for number, source in enumerate([tmp_path / "text.txt", tmp_path / "text.gz", "-"]):
        files.append(tmp_path / f"{number}.hdf5")
        embed_file(checkpoint, source, files[-1])
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the system has no /dev/fd")
def test_a_pipe_gives_its_text_once(checkpoint, tmp_path):
    text = b"the old bank\nby the river\n"
    (tmp_path / "text.txt").write_bytes(text)
    source, sink = os.pipe()  # as in `elmo embed checkpoint <(zcat text.gz) vectors.npz`
    with open(sink, "wb") as file:
        file.write(text)
    embed_file(checkpoint, f"/dev/fd/{source}", tmp_path / "pipe.npz")
    os.close(source)
    embed_file(checkpoint, tmp_path / "text.txt", tmp_path / "text.npz")
    assert (tmp_path / "pipe.npz").read_bytes() == (tmp_path / "text.npz").read_bytes()


def test_lines_end_at_line_feeds_only(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\r\ntwo \u2028 three\x0cfour\x85\n\nfive".encode())
    with TextInput(path) as text:
        for _ in range(2):
            sentences = read_sentences(text, str.split)
            assert [sentence.text for sentence in sentences] == ["one", "two \u2028 three\x0cfour", "", "five"]


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress])
def test_text_that_is_not_utf8_is_located(checkpoint, tmp_path, compress):
    path = tmp_path / "latin1.txt"
    path.write_bytes(compress("fine\nna\u00efve\n".encode("latin-1")))
    with pytest.raises(ValueError, match=r"latin1\.txt:2: not UTF-8 \(byte 0xef at place 3\)"):
        embed_file(checkpoint, path, tmp_path / "vectors.npz")
    assert os.listdir(tmp_path) == ["latin1.txt"]


def test_a_broken_gzip_file_is_named(checkpoint, tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(random.Random(0).randbytes(5000).hex().encode())[:-2000])
    with pytest.raises(ValueError, match=r"text\.gz, after line 0: cannot be read"):
        embed_file(checkpoint, path, tmp_path / "vectors.npz")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: not JSON"),
        ('{"doc_key": "x"}', ":2: not a document .*sentences"),
        ('{"doc_key": "x", "sentences": ["the bank"]}', ":2: not a document .*not a list of words"),
        ('{"doc_key": "", "sentences": []}', ":2: the doc_key '' cannot name a group"),
        (r'{"doc_key": "a\u0000b", "sentences": []}', ":2: the doc_key .* cannot name a group"),
        ('{"doc_key": "a:b", "sentences": []}', ":2: an earlier document has the key 'a:b' too"),
    ],
)
def test_bad_documents_are_located(checkpoint, tmp_path, line, message):
    path = tmp_path / "documents.jsonl"
    path.write_text(f'{{"doc_key": "a/b", "sentences": [["the"]]}}\n{line}\n')
    with pytest.raises(ValueError, match=message):
        embed_file(checkpoint, path, tmp_path / "cache.hdf5", layout="e2e-coref")
