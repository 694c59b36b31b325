"""Splitting raw text into sentences, by the rules of the sentencex library for some 300 languages."""

import re

try:
    import sentencex
except ImportError:
    sentencex = None

# A full stop inside a word, such as of a file or an attribute, is not the end of a sentence.
_GOES_ON = re.compile(r"\w\.\Z")
# What sentencex fails on: white space of several bytes before a full stop, as in "plan B\N{NO-BREAK SPACE}.", and half
# a surrogate pair.
_UNFIT = re.compile(r"[^\S\x00-\x7f](?=\.)|[\ud800-\udfff]")


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Sentences of a paragraph, without the white space around them. `language` is an ISO 639-1 code."""
    if sentencex is None:
        raise ImportError("splitting raw text into sentences needs sentencex: pip install 'modeling-elmo[train]'")
    sentences: list[str] = []
    goes_on, start = False, 0
    for part in sentencex.segment(language, _UNFIT.sub(" ", text)):
        segment, start = text[start : start + len(part)], start + len(part)
        if goes_on and segment[:1].isalnum():
            sentences[-1] += segment
        else:
            sentences.append(segment)
        goes_on = _GOES_ON.search(segment) is not None
    return [sentence for sentence in map(str.strip, sentences) if sentence]
