"""Finding English prose in technical documentation: docstrings, reStructuredText and Markdown."""

import re
from collections.abc import Iterator
from itertools import groupby

MIN_WORDS, MAX_WORDS = 4, 60
_MIN_FUNCTION_WORDS = 0.2
_MIN_PLAIN_WORDS = 0.85

# Closed-class words: running English has at least one in five, and lists, signatures and log lines have hardly any.
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about above after again all also although always an and another any are as at back be because been before
        being below between both but by can cannot could did do does done down during each either else even every few
        first for from get given had has have he her here his how however i if in instead into is it its itself just
        last least less like many may me might more most much must my neither never no none nor not now of off on once
        one only onto or other otherwise our out over own rather same see several she should since so some such than
        that the their them then there therefore these they this those though through thus to together too two under
        unless until up upon us use used uses using via was we well were what when where whether which while who whole
        whose why will with within without would yet you your
        """,
    )
)
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+(?:['’-][A-Za-z]?[a-z]+)*|[AI]|[A-Z]{2,5}s?|\d{1,4}(?:\.\d{1,2})?%?")
_SENTENCE = re.compile(r"[\"'(“‘]*[A-Z].*[\w)][.!?][\"')”’]*", re.DOTALL)
_ENUMERATION = re.compile(r"(?<!\w)\d\.$")
_NO_PROSE = re.compile(
    r"[^\w\s.,;:!?'\"()%/’‘“”–—-]|_|//|::|\.\.|--|\(\s*\)|\w\(|\w\.\w+\.\w|\d\.\d\.\d|\w/\w|\.[a-z]"
)
_ABBREVIATIONS = {"i.e.": "that is", "e.g.": "for example"}
_ABBREVIATION = re.compile(r"\b(?:i\.e\.|e\.g\.)(?=[,\s])")

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_BLOCK_START = re.compile(r"[-*+•|>#%$@\\{}<=~]|\.\. |\.\.$|:\w|\(?[0-9a-zA-Z]{1,2}[.)]\s|\[|>>>|\.\.\. ")
_RULE = re.compile(r"[-=~^*#\"'`+.:_ ]{3,}")
_MARKUP_SIGN = re.compile(r"[`*\\\[_]|--|\.[eg]\.|^\w+:")
_MARKUP = (
    (re.compile(r"^(?:note|warning|tip|important)s?:\s+", re.IGNORECASE), ""),
    (re.compile(r"(?<=`) +(?='?s\b)"), ""),  # "`Name` s", "`Name` 's"
    (re.compile(r"!?\[([^\]]+)\]\([^)]*\)"), r"\1"),  # Markdown link
    (re.compile(r"\s?\[[\w, -]+\]_"), ""),  # citation or footnote
    (re.compile(r":[\w:+-]+:`~?[!.]?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # role
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{1,2}"), r"\1"),  # link with a target
    (re.compile(r"``([^`]*)``"), r"\1"),
    (re.compile(r"`([^`]*)`_{0,2}"), r"\1"),
    (re.compile(r"\*\*([^*\s][^*]*?)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*]*?)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_([^_\s][^_]*?)_(?!\w)"), r"\1"),
    (re.compile(r"(?<=\w)\s+--\s+(?=\w)"), ", "),
    (re.compile(r"\\([`*_ \\])"), r"\1"),
    (_ABBREVIATION, lambda match: _ABBREVIATIONS[match[0]]),
)


def paragraphs(documentation: str) -> Iterator[str]:
    """Paragraphs of running text without markup; code, tables, lists, headings and parameter lists are left out.

    A paragraph is a run of lines between empty lines, all equally indented: lists of parameters ("name : type",
    "Args:") indent their second line, and so fall away with everything else that is no running text.
    """
    after_code_mark = False
    for is_empty, lines in groupby(
        _FENCE.sub("\n", documentation).expandtabs().split("\n"), key=lambda line: not line.strip()
    ):
        if is_empty:
            continue
        block = list(lines)
        indents = {len(line) - len(line.lstrip()) for line in block}
        text = " ".join(line.strip() for line in block)
        is_literal = after_code_mark and min(indents) > 0
        after_code_mark = text.endswith("::") or (is_literal and after_code_mark)
        if len(indents) == 1 and not is_literal and not _BLOCK_START.match(text) and not any(map(_is_rule, block)):
            if _MARKUP_SIGN.search(text):
                for pattern, replacement in _MARKUP:
                    text = pattern.sub(replacement, text)
            yield " ".join(text.split())


def is_prose(sentence: str) -> bool:
    """Whether a sentence is complete and reads as plain English: words, few names, no code."""
    if not _SENTENCE.fullmatch(sentence) or _ENUMERATION.search(sentence) or not _is_balanced(sentence):
        return False
    if _NO_PROSE.search(sentence):
        return False
    tokens = [token.strip(".,;:!?'\"()’‘“”") for token in sentence.split()]
    tokens = [token for token in tokens if token]
    if not MIN_WORDS <= len(tokens) <= MAX_WORDS:
        return False
    plain = sum(_PLAIN_WORD.fullmatch(token) is not None for token in tokens)
    function_words = sum(word.lower() in _FUNCTION_WORDS for word in _WORD.findall(sentence))
    return plain >= _MIN_PLAIN_WORDS * len(tokens) and function_words >= _MIN_FUNCTION_WORDS * len(tokens)


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line.strip()) is not None


def _is_balanced(sentence: str) -> bool:
    return sentence.count("(") == sentence.count(")") and sentence.count('"') % 2 == 0
