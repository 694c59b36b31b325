"""Lines of files, and what is wrong with files."""

import gzip
import json
import os

import pytest
import zstandard

from modeling_elmo.text_files import (
    FormatError,
    numbered_lines,
    numbered_objects,
    read_object,
    replace_file,
    require_free,
    split_columns,
    suffix,
)

# What str.splitlines takes for line ends, but other tools do not.
SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("a.txt", bytes),
        ("a.txt.gz", gzip.compress),
        ("a.txt.zst", zstandard.compress),
        ("downloaded", gzip.compress),
        ("downloaded", zstandard.compress),
    ],
)
def test_lines(tmp_path, name, compress):
    (tmp_path / name).write_bytes(compress(f"\ufeffone\r\nü{SEPARATORS}\n\n\ufefflast".encode()))
    expected = [(1, "one"), (2, f"ü{SEPARATORS}"), (3, ""), (4, "\ufefflast")]
    assert list(numbered_lines(tmp_path / name)) == expected


def test_lines_in_many_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("modeling_elmo.text_files._READ_BYTES", 3)
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"one\n\ntw") + zstandard.compress(b"o\nthree"))
    assert [line for _, line in numbered_lines(tmp_path / "a.zst")] == ["one", "", "two", "three"]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(FormatError, match=r"a\.txt:2: not UTF-8 \(byte 0xff at place 1\)"):
        list(numbered_lines(tmp_path / "a.txt"))
    with pytest.raises(FormatError, match="^standard input:2: not UTF-8"):
        list(numbered_lines(tmp_path / "a.txt", "standard input"))
    (tmp_path / "b.gz").write_bytes(b"no gzip")
    with pytest.raises(FormatError, match=r"b\.gz, after line 0: cannot be read"):
        list(numbered_lines(tmp_path / "b.gz"))
    whole = gzip.compress(b"one\ntwo\n" * 1000, mtime=0)
    (tmp_path / "c.gz").write_bytes(whole[:-12])
    with pytest.raises(FormatError, match=r"c\.gz, after line [0-9]+: cannot be read"):
        list(numbered_lines(tmp_path / "c.gz"))
    (tmp_path / "d.gz").write_bytes(whole[:15] + b"\xff\xff\xff" + whole[18:])
    with pytest.raises(FormatError, match=r"d\.gz, after line [0-9]+: cannot be read"):
        list(numbered_lines(tmp_path / "d.gz"))


def test_objects(tmp_path):
    path = tmp_path / "a.jsonl"
    text = f"{SEPARATORS} \\ud83d \\ud83d\\ude00 \\\\ud83d".replace("\x0b\x0c\x1c\x1d\x1e", "")
    path.write_text(f'\n{{"text": "{text}"}}\n', encoding="utf-8")
    assert list(numbered_objects(path)) == [(2, {"text": "\x85\u2028\u2029 \N{REPLACEMENT CHARACTER} 😀 \\ud83d"})]
    for line, message in (
        ("{", "not JSON"),
        ("[" * 10**5, "not JSON"),
        ("9" * 5000, "not JSON"),
        (json.dumps([1]), "a JSON object is needed, not list"),
    ):
        path.write_text(f"{{}}\n{line}\n")
        with pytest.raises(FormatError, match=rf"a\.jsonl:2: {message}"):
            list(numbered_objects(path))


def test_object(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(r'{"text": "\ud83d \ud83d\ude00"}')
    assert read_object(path) == {"text": "\N{REPLACEMENT CHARACTER} 😀"}
    for text, message in (
        ("{", "is not a JSON file"),
        ("[" * 10**5, "is not a JSON file"),
        ("[1]", "holds a JSON list; it must be an object"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError, match=rf"a\.json {message}"):
            read_object(path)


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError("no space")

    path = tmp_path / "a.json"
    replace_file(path, "old")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "fsync", fail)
        replace_file(path, "new")
    assert path.read_text() == "old"
    replace_file(path, "new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


def test_columns():
    assert split_columns("two words\t\tN") == ["two words", "", "N"]
    assert split_columns(f" 1\xa0000{SEPARATORS}  CD O ") == [f"1\xa0000{SEPARATORS}", "CD", "O"]


def test_suffix():
    assert [suffix(name) for name in ("a.b.TSV.gz", "a.jsonl.zst", "a.txt", "a.gz", "a")] == [
        ".tsv",
        ".jsonl",
        ".txt",
        "",
        "",
    ]


def test_nothing_is_written_over_without_being_asked(tmp_path):
    path = tmp_path / "file"
    require_free(path, overwrite=False)
    path.write_text("")
    require_free(path, overwrite=True)
    with pytest.raises(FileExistsError, match="file exists already; pass --overwrite"):
        require_free(path, overwrite=False)
    for overwrite in (False, True):
        with pytest.raises(IsADirectoryError, match="is a folder"):
            require_free(tmp_path, overwrite)
