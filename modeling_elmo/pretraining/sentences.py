"""Splitting raw text into sentences, by the rules of the sentencex library for some 300 languages."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..extras import require

# A full stop inside a word, such as of a file or an attribute, is not the end of a sentence.
_GOES_ON = re.compile(r"\w\.\Z")
# What sentencex fails on: white space of several bytes before a full stop, as in "plan B\N{NO-BREAK SPACE}.", and half
# a surrogate pair.
_UNFIT = re.compile(r"[^\S\x00-\x7f](?=\.)|[\ud800-\udfff]")
# Characters that sentencex is given at once: in text without spaces, such as Chinese, its time grows with the square.
_CHARACTERS_AT_ONCE = 5000


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Sentences of a paragraph, without the white space around them. `language` is an ISO 639-1 code."""
    sentencex = require("sentencex", "train", "splitting raw text into sentences")
    sentences: list[str] = []
    goes_on, start = False, 0
    for part in _segments(partial(sentencex.segment, language), _UNFIT.sub(" ", text)):
        segment, start = text[start : start + len(part)], start + len(part)
        if goes_on and segment[:1].isalnum():
            sentences[-1] += segment
        else:
            sentences.append(segment)
        goes_on = _GOES_ON.search(segment) is not None
    return [sentence for sentence in map(str.strip, sentences) if sentence]


def _segments(segment: Callable[[str], Iterable[str]], text: str) -> Iterator[str]:
    """What sentencex makes of a text, which is given to it piece by piece. Sentences in a piece's second half begin
    the next one, since a bracket or a quotation there may end behind it."""
    start, size = 0, _CHARACTERS_AT_ONCE
    while start < len(text):
        parts = list(segment(text[start : start + size]))
        if start + size < len(text):
            parts = parts[: len(parts) // 2]
        yield from parts
        start, size = start + sum(map(len, parts)), _CHARACTERS_AT_ONCE if parts else 2 * size
