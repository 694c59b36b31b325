"""Helpers of the tokenizer tests: reference character rows, made word by word."""

from collections.abc import Callable

import pytest

from tokenization_elmo import ElmoTokenizer

WIDTH = 50
VOCABULARY = ["the", "cat", "sat", "on", "mat", ".", ",", "Anna", "'s"]


def reference_byte_row(word: str, boundary: int | None = None) -> list[int]:
    """The row of a word by the published rule; `boundary` is 256 or 257 for `<S>` and `</S>`."""
    middle = list(word.encode("utf-8", "ignore"))[: WIDTH - 2] if boundary is None else [boundary]
    row = [258, *middle, 259]
    return [symbol + 1 for symbol in row + [260] * (WIDTH - len(row))]


@pytest.fixture
def byte_row() -> Callable[..., list[int]]:
    return reference_byte_row


@pytest.fixture
def begin_row() -> list[int]:
    return reference_byte_row("", boundary=256)


@pytest.fixture
def end_row() -> list[int]:
    return reference_byte_row("", boundary=257)


@pytest.fixture
def tokenizer() -> ElmoTokenizer:
    """Ids: 0 <S>, 1 </S>, 2 <UNK>, 3 the, 4 cat, 5 sat, 6 on, 7 mat, 8 ".", 9 ",", 10 Anna, 11 's; 12 <pad>."""
    return ElmoTokenizer(VOCABULARY)
