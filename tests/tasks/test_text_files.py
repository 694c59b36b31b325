"""Lines of files, and what is wrong with files."""

import gzip

import pytest

from modeling_elmo.tasks.text_files import FormatError, numbered_lines


def test_lines_plain_and_gzip(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\n\xc3\xbc\n\nlast")
    with gzip.open(tmp_path / "a.txt.gz", "wb") as file:
        file.write((tmp_path / "a.txt").read_bytes())
    expected = [(1, "one"), (2, "ü"), (3, ""), (4, "last")]
    assert list(numbered_lines(tmp_path / "a.txt")) == list(numbered_lines(tmp_path / "a.txt.gz")) == expected


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(FormatError, match="a.txt:2: not UTF-8"):
        list(numbered_lines(tmp_path / "a.txt"))
    (tmp_path / "b.gz").write_bytes(b"no gzip")
    with pytest.raises(FormatError, match="b.gz, after line 0: the gzip file is broken"):
        list(numbered_lines(tmp_path / "b.gz"))
    whole = gzip.compress(b"one\ntwo\n" * 1000, mtime=0)
    (tmp_path / "c.gz").write_bytes(whole[:-12])
    with pytest.raises(FormatError, match="c.gz, after line [0-9]+: the gzip file is broken"):
        list(numbered_lines(tmp_path / "c.gz"))
    (tmp_path / "d.gz").write_bytes(whole[:15] + b"\xff\xff\xff" + whole[18:])
    with pytest.raises(FormatError, match="d.gz, after line [0-9]+: the gzip file is broken"):
        list(numbered_lines(tmp_path / "d.gz"))
