"""Rows with named columns: TSV with a header line, JSON lines, and data sets."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..text_files import FormatError, numbered_lines, numbered_objects, suffix


def read_table(
    path: str | Path, columns: Sequence[str], file_format: str | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """The number of each row's line, counted from 1, and its named columns.

    Args:
        path: plain or compressed.
        columns: names that must be there; others are left out.
        file_format: `"tsv"` (a header line, tabs, no quoting) or `"jsonl"` (an object a line). By default what the
            file's name ends with.

    Raises:
        FormatError: naming file and line, where a row or a column is not there.
    """
    file_format = file_format or suffix(path).lstrip(".")
    if file_format == "tsv":
        return _read_tsv(path, columns)
    if file_format in ("jsonl", "json"):
        return _read_jsonl(path, columns)
    raise ValueError(f"{path}: the name does not end with .tsv or .jsonl; say which of them the file is (file_format)")


def _read_tsv(path, columns) -> list[tuple[int, dict[str, Any]]]:
    rows, header = [], None
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if header is None:
            header = fields
            missing = [column for column in columns if column not in header]
            if missing:
                raise FormatError(f"{path}:{number}: no column {missing[0]!r}; the header has {header}")
        elif len(fields) != len(header):
            raise FormatError(f"{path}:{number}: {len(fields)} fields; the header has {len(header)}")
        else:
            row = dict(zip(header, fields, strict=True))
            rows.append((number, {column: row[column] for column in columns}))
    return rows


def _read_jsonl(path, columns) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, row in numbered_objects(path):
        missing = [column for column in columns if column not in row]
        if missing:
            raise FormatError(f"{path}:{number}: no key {missing[0]!r}; there are {sorted(row)}")
        rows.append((number, {column: row[column] for column in columns}))
    return rows


def require_columns(dataset, columns: Sequence[str], source: str):
    """Raises a ValueError that names what is there, unless a `datasets.Dataset` has these columns."""
    for column in columns:
        if column not in dataset.column_names:
            raise ValueError(f"{source}: no column {column!r}; there are {dataset.column_names}")


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]):
    """Writes an object a line."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
