"""Measures of the field that no library gives.

Coreference: MUC (Vilain et al., 1995), B-cubed (Bagga and Baldwin, 1998), CEAF-phi4 (Luo, 2005) and their average,
as in the CoNLL-2012 shared task; and the F1 of mentions. A chain is a list of mentions, a mention anything hashable.
Sums are over all documents before any ratio is taken.

Question answering: exact match and F1 of words, as SQuAD counts them (Rajpurkar et al., 2016, section 6.1), and the
best threshold for giving no answer (Rajpurkar et al., 2018).
"""

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Chains = Sequence[Sequence[Hashable]]


@dataclass(frozen=True)
class Score:
    """Precision, recall and their harmonic mean, in [0, 1]; 0 where nothing is counted."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


class CoreferenceScorer:
    """Adds up documents; then `scores` and `average` are of all of them.

    As in the official scorer, chains of one mention count in B-cubed, CEAF and the mentions wherever they are given.
    """

    def __init__(self):
        # For each measure: what is right in precision, its count, what is right in recall, its count.
        self._sums = {name: np.zeros(4) for name in ("mentions", "muc", "b_cubed", "ceaf")}

    def add(self, gold: Chains, predicted: Chains):
        """One document.

        Raises:
            ValueError: a mention stands in two chains, or twice in one.
        """
        gold, predicted = _as_sets(gold, "gold"), _as_sets(predicted, "predicted")
        of_gold = {mention: number for number, chain in enumerate(gold) for mention in chain}
        of_predicted = {mention: number for number, chain in enumerate(predicted) for mention in chain}
        common = len(of_gold.keys() & of_predicted.keys())
        self._sums["mentions"] += (common, len(of_predicted), common, len(of_gold))
        self._sums["muc"] += (*_muc(predicted, of_gold), *_muc(gold, of_predicted))
        self._sums["b_cubed"] += (*_b_cubed(predicted, gold, of_gold), *_b_cubed(gold, predicted, of_predicted))
        similarity = _ceaf(gold, predicted)
        self._sums["ceaf"] += (similarity, len(predicted), similarity, len(gold))

    @property
    def scores(self) -> dict[str, Score]:
        """`mentions`, `muc`, `b_cubed` and `ceaf`."""
        return {
            name: Score(right / found if found else 0.0, covered / wanted if wanted else 0.0)
            for name, (right, found, covered, wanted) in self._sums.items()
        }

    @property
    def average(self) -> float:
        """Mean F1 of MUC, B-cubed and CEAF-phi4: the CoNLL score."""
        return sum(score.f1 for name, score in self.scores.items() if name != "mentions") / 3

    def as_dict(self) -> dict[str, float]:
        """All of it in per cent, as the field reports it."""
        scores = {"conll_f1": 100 * self.average}
        for name, score in self.scores.items():
            scores |= {f"{name}_f1": 100 * score.f1}
            scores |= {f"{name}_precision": 100 * score.precision, f"{name}_recall": 100 * score.recall}
        return scores


def _as_sets(chains: Iterable[Sequence[Hashable]], which: str) -> list[set]:
    sets = [set(chain) for chain in chains]
    if len(set().union(*sets)) != sum(map(len, chains)):
        raise ValueError(f"a mention stands twice in the {which} chains; each belongs to one chain")
    return sets


def _muc(chains: list[set], other: dict) -> tuple[int, int]:
    """Links kept and links wanted: a chain falls into as many parts as the other side has chains for its mentions."""
    kept = wanted = 0
    for chain in chains:
        parts = len({other[mention] for mention in chain if mention in other})
        parts += sum(mention not in other for mention in chain)
        kept += len(chain) - parts
        wanted += len(chain) - 1
    return kept, wanted


def _b_cubed(chains: list[set], others: list[set], other: dict) -> tuple[float, int]:
    """For each mention the share of its chain that the other side's chain of that mention holds too."""
    right = sum(
        len(chain & others[other[mention]]) / len(chain) for chain in chains for mention in chain if mention in other
    )
    return right, sum(map(len, chains))


def _ceaf(gold: list[set], predicted: list[set]) -> float:
    """Similarity of the best one-to-one alignment of chains, phi4 = 2 |G and P| / (|G| + |P|)."""
    from scipy.optimize import linear_sum_assignment

    if not gold or not predicted:
        return 0.0
    similarity = np.array([[2 * len(g & p) / (len(g) + len(p)) for p in predicted] for g in gold])
    return similarity[linear_sum_assignment(similarity, maximize=True)].sum()


def normalize_answer(text: str) -> list[str]:
    """The words that count: lower case, without punctuation and articles."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 if the prediction is one of the answers, up to normalisation. No answers: 1.0 for the empty prediction."""
    return float(any(normalize_answer(prediction) == answer for answer in _gold_words(answers)))


def answer_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the words shared with the best of the answers."""
    return max(_overlap_f1(normalize_answer(prediction), answer) for answer in _gold_words(answers))


def _gold_words(answers: Sequence[str]) -> list[list[str]]:
    """The words of each answer that has some; if none has, no words: a prediction of nothing is then right. So SQuAD
    2.0's scorer does it."""
    return [*filter(None, map(normalize_answer, answers))] or [[]]


def _overlap_f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    common = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * common / (len(predicted) + len(gold))


def best_null_threshold(
    answered: Sequence[float], unanswered: Sequence[float], odds: Sequence[float]
) -> tuple[float, float]:
    """The best mean score that answering only some questions reaches, and the threshold that does it: those are
    answered whose odds are not above it.

    As SQuAD 2.0's scorer searches it; but questions of equal odds stay together, and where nothing should be answered
    the threshold is below all odds.

    Args:
        answered, unanswered: the score of each question with its best answer, and with none.
        odds: of each question, by how much "no answer" scores above the best answer.
    """
    order = np.argsort(odds, kind="stable")
    rising = np.asarray(odds, np.float64)[order]
    gains = np.subtract(answered, unanswered, dtype=np.float64)[order]
    totals = np.sum(unanswered) + np.concatenate([[0.0], np.cumsum(gains)])  # the first none, one, two ... answered
    totals[1:-1][rising[1:] == rising[:-1]] = -np.inf
    best = int(totals.argmax())
    threshold = rising[best - 1] if best else rising[0] - 1.0
    return float(totals[best] / len(rising)), float(threshold)
