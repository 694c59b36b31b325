"""Reading shards: formats, compressions, and errors that name the place."""

import gzip
import json

import pytest
import zstandard

from modeling_elmo.pretraining.shards import JsonLinesShard, ParquetShard, TextShard, file_shard
from modeling_elmo.text_files import FormatError

LINES = ["Az első sor .", "", "a second line", "絵文字 😀"]
TEXT = "\n".join(LINES) + "\n"


def compress(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    if suffix == ".zst":
        return zstandard.ZstdCompressor().compress(data)
    return data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_text_lines(tmp_path, suffix):
    path = tmp_path / f"corpus.txt{suffix}"
    path.write_bytes(compress(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode(), suffix))
    shard = file_shard(path, "text")
    assert isinstance(shard, TextShard)
    assert list(shard.texts()) == LINES
    assert list(shard.texts()) == LINES  # again from the start


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_concatenated_members_and_a_missing_last_line_end(tmp_path, suffix):
    path = tmp_path / f"corpus.txt{suffix}"
    path.write_bytes(compress(b"one\ntwo ", suffix) + compress(b"and\nthree", suffix))
    assert list(TextShard(path).texts()) == ["one", "two and", "three"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_json_lines(tmp_path, suffix):
    rows = [{"text": "One ."}, {"text": ["two", "words"]}, {"text": None}]
    path = tmp_path / f"corpus.jsonl{suffix}"
    path.write_bytes(compress("\n\n".join(map(json.dumps, rows)).encode(), suffix))
    assert list(file_shard(path, "text").texts()) == ["One .", "two words", ""]


def test_json_escapes_of_half_a_surrogate_pair_become_replacement_characters(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(r'{"text": "a \ud83d b \ud83d\ude00"}')
    assert list(JsonLinesShard(path, "text").texts()) == ["a \N{REPLACEMENT CHARACTER} b 😀"]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "corpus.parquet"
    texts = [f"row {number}" for number in range(3000)]
    parquet.write_table(pyarrow.table({"id": list(range(3000)), "text": texts}), path, row_group_size=1000)
    assert list(file_shard(path, "text").texts()) == texts
    with pytest.raises(FormatError, match=r"corpus\.parquet: no column 'words'; it has 'id', 'text'"):
        list(ParquetShard(path, "words").texts())
    with pytest.raises(FormatError, match=r"corpus\.parquet, row 1: column 'id' must hold text.*not int"):
        list(ParquetShard(path, "id").texts())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"corpus\.parquet, after row 0: cannot be read as Parquet"):
        list(ParquetShard(path, "text").texts())


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_file_is_an_error_that_names_file_and_line(tmp_path, suffix):
    path = tmp_path / f"corpus.txt{suffix}"
    lines = [f"{number * 7919 % 10007} is line {number}\n" for number in range(50_000)]
    whole = compress("".join(lines).encode(), suffix)
    path.write_bytes(whole[: len(whole) // 2])
    read = []
    with pytest.raises(FormatError, match=rf"corpus\.txt\{suffix}, after line [1-9]\d*: cannot be read"):
        read.extend(f"{line}\n" for line in TextShard(path).texts())
    assert read == lines[: len(read)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_is_an_error(tmp_path, suffix):
    path = tmp_path / f"corpus.txt{suffix}"
    path.write_text("plain text\n")
    with pytest.raises(FormatError, match=rf"corpus\.txt\{suffix}, after line 0: cannot be read"):
        list(TextShard(path).texts())


def test_invalid_utf8_names_file_and_line(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes("jó\nrossz: ő\n".encode() + "latin-2: ő\n".encode("iso8859-2"))
    with pytest.raises(FormatError, match=r"corpus\.txt:3: not UTF-8"):
        list(TextShard(path).texts())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', ":2: not JSON"),
        ('["text"]', ":2: a JSON object is needed, not list"),
        ('{"body": "x", "id": 1}', ":2: no column 'text'; it has 'body', 'id'"),
        ('{"text": 7}', ":2: column 'text' must hold text or a list of words, not int"),
        ('{"text": [["nested"]]}', ":2: column 'text' must hold text or a list of words, not list"),
    ],
)
def test_malformed_json_lines_name_file_and_line(tmp_path, line, message):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(FormatError, match=r"corpus\.jsonl" + message.replace("[", r"\[")):
        list(JsonLinesShard(path, "text").texts())
