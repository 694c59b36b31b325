"""GAP (Webster et al., 2018): ambiguous pronouns in raw text, each with two names that it may or may not stand for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..text_files import FormatError
from .metrics import Score
from .tables import read_table

TextSpan = tuple[int, int]  # begin and end in characters, the end not included

COLUMNS = ("ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B", "B-offset", "B-coref")
MASCULINE, FEMININE = ("he", "him", "his"), ("she", "her", "hers")


@dataclass(frozen=True)
class AmbiguousPronoun:
    """A text with a pronoun and two names.

    Attributes:
        key, text: as in the file.
        pronoun: where it stands.
        names: where A and B stand.
        refers: whether the pronoun stands for A, and for B.
        masculine: whether the pronoun is; otherwise it is feminine.
    """

    key: str
    text: str
    pronoun: TextSpan
    names: tuple[TextSpan, TextSpan]
    refers: tuple[bool, bool]
    masculine: bool


def read_gap(path: str | Path) -> list[AmbiguousPronoun]:
    """The rows of a GAP file, plain or compressed.

    Raises:
        FormatError: a malformed row; the message names the file, the line and what is wrong.
    """
    examples = []
    for number, row in read_table(path, COLUMNS, "tsv"):
        where = f"{path}:{number}"
        spans = {name: _span(where, row["Text"], row[name], row[f"{name}-offset"], name) for name in _PARTS}
        pronoun = row["Pronoun"].lower()
        if pronoun not in MASCULINE + FEMININE:
            raise FormatError(f"{where}: the pronoun is {row['Pronoun']!r}; expected one of {MASCULINE + FEMININE}")
        refers = tuple(_truth(where, row[f"{name}-coref"], name) for name in "AB")
        names = (spans["A"], spans["B"])
        examples.append(
            AmbiguousPronoun(row["ID"], row["Text"], spans["Pronoun"], names, refers, pronoun in MASCULINE)
        )
    return examples


_PARTS = ("Pronoun", "A", "B")


def _span(where: str, text: str, part: str, offset: str, name: str) -> TextSpan:
    if not offset.isdecimal() or text[int(offset) : int(offset) + len(part)] != part:
        raise FormatError(f"{where}: {part!r} is not at character {offset} of the text, as {name}-offset says")
    return int(offset), int(offset) + len(part)


def _truth(where: str, value: str, name: str) -> bool:
    if value.upper() not in ("TRUE", "FALSE"):
        raise FormatError(f"{where}: {name}-coref is {value!r}; expected TRUE or FALSE")
    return value.upper() == "TRUE"


def decide(example: AmbiguousPronoun, clusters: Iterable[Sequence[TextSpan]]) -> tuple[bool, bool]:
    """Whether predicted chains say that the pronoun stands for A, and for B: the pronoun's chain has a mention that is
    the name itself, with or without a possessive 's.

    GAP's official scorer reads such decisions and leaves it to the user how spans make them. A longer mention that
    contains the name does not count here: it may be another person (`Ann's son`, `Ann and Eve`).
    """
    chain = next((set(cluster) for cluster in clusters if example.pronoun in cluster), set())
    without_possessive = {
        (start, end - 2)
        for start, end in chain
        if example.text[start:end].endswith(("'s", "\N{RIGHT SINGLE QUOTATION MARK}s"))
    }
    return tuple(name in chain | without_possessive for name in example.names)


def gap_scores(examples: Sequence[AmbiguousPronoun], decisions: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """F1 of the decisions for all names, of those with masculine and with feminine pronouns, all in per cent, and the
    bias, feminine F1 by masculine F1 (0 where the latter is): each name is one decision, as the official scorer counts
    them."""
    scores = {}
    for group, masculine in (("overall", (True, False)), ("masculine", (True,)), ("feminine", (False,))):
        rows = [
            (gold, said)
            for example, decision in zip(examples, decisions, strict=True)
            if example.masculine in masculine
            for gold, said in zip(example.refers, decision, strict=True)
        ]
        right = sum(gold and said for gold, said in rows)
        found, wanted = sum(said for _, said in rows), sum(gold for gold, _ in rows)
        scores[f"{group}_f1"] = 100 * Score(right / max(found, 1), right / max(wanted, 1)).f1
    bias = scores["feminine_f1"] / scores["masculine_f1"] if scores["masculine_f1"] else 0.0
    return scores | {"bias": bias}
