"""The words of a tiny language model: with the three special ones as many as a tiny configuration has."""

WORDS = [
    "the",
    "river",
    "bank",
    "was",
    "closed",
    ".",
    "old",
    "by",
    "The",
    "ist",
    "said",
    "a",
    "of",
    "to",
    "in",
    "on",
    "it",
]
