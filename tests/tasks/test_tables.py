"""TSV and JSON lines."""

import pytest

from modeling_elmo.tasks.tables import read_table, write_jsonl
from modeling_elmo.text_files import FormatError


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_tsv(tmp_path):
    path = write(tmp_path / "pairs.tsv", "id\tpremise\tlabel", '1\tHe said "no\tyes', "2\tZürich\tno")
    rows = [{"premise": 'He said "no', "label": "yes"}, {"premise": "Zürich", "label": "no"}]
    assert read_table(path, ["premise", "label"]) == [*enumerate(rows, 2)]
    path.rename(tmp_path / "pairs.txt")
    assert read_table(tmp_path / "pairs.txt", ["premise", "label"], "tsv") == [*enumerate(rows, 2)]
    with pytest.raises(ValueError, match="does not end with .tsv or .jsonl"):
        read_table(tmp_path / "pairs.txt", ["premise"])


def test_jsonl_written_and_read(tmp_path):
    rows = [{"text": "Zürich", "label": ["a", "b"], "more": 1}, {"text": ["two", "words"], "label": []}]
    write_jsonl(tmp_path / "texts.jsonl", rows)
    read = read_table(tmp_path / "texts.jsonl", ["text", "label"])
    assert read == [(number, {"text": row["text"], "label": row["label"]}) for number, row in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.tsv", ["text\tlabels", "a\tb"], "a.tsv:1: no column 'label'"),
        ("a.tsv", ["text\tlabel", "a\tb", "c"], "a.tsv:3: 1 fields; the header has 2"),
        ("a.jsonl", ['{"text": "a", "label": 1}', '{"text": "b"}'], "a.jsonl:2: no key 'label'"),
        ("a.jsonl", ['{"text": "a", "label": 1}', "", '{"text":'], "a.jsonl:3: not JSON"),
        ("a.jsonl", ["[1]"], "a.jsonl:1: a JSON object is needed, not list"),
    ],
)
def test_malformed_rows_are_named(tmp_path, name, lines, message):
    with pytest.raises(FormatError, match=message):
        read_table(write(tmp_path / name, *lines), ["text", "label"])
