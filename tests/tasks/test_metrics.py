"""Coreference measures against cases worked out by hand (the examples of the papers that define them)."""

import pytest

pytest.importorskip("scipy")

from modeling_elmo.tasks.metrics import CoreferenceScorer, best_null_threshold


def scorer_of(gold, predicted):
    scorer = CoreferenceScorer()
    scorer.add([list(chain) for chain in gold], [list(chain) for chain in predicted])
    return scorer


def scores_of(gold, predicted):
    scores = scorer_of(gold, predicted).scores
    return [scores[name] for name in ("muc", "b_cubed", "ceaf", "mentions")]


def test_all_right():
    scorer = scorer_of(["abc", "de"], ["de", "abc"])
    assert scorer.average == pytest.approx(1) and scorer.scores["mentions"].f1 == 1


def test_bagga_and_baldwin_example():
    # Chains {1..5}, {6, 7}, {8..C}; the system joins the second and third: MUC 90, B-cubed precision 76.
    gold = ["12345", "67", "89ABC"]
    muc, b_cubed, *_ = scores_of(gold, ["12345", "6789ABC"])
    assert muc.precision == pytest.approx(9 / 10) and muc.recall == 1
    assert b_cubed.precision == pytest.approx((5 + 2 * 2 / 7 + 5 * 5 / 7) / 12) and b_cubed.recall == 1
    # Joining the two large chains instead is worse, which MUC does not see and B-cubed does.
    muc, b_cubed, *_ = scores_of(gold, ["1234589ABC", "67"])
    assert muc.precision == pytest.approx(9 / 10)
    assert b_cubed.precision == pytest.approx((2 + 10 * 5 / 10) / 12)


def test_luo_example():
    # The gold chains of the example above against one chain of all: CEAF aligns it with a chain of five.
    _, _, ceaf, _ = scores_of(["12345", "67", "89ABC"], ["123456789ABC"])
    similarity = 2 * 5 / (5 + 12)
    assert ceaf.precision == pytest.approx(similarity) and ceaf.recall == pytest.approx(similarity / 3)


def test_missing_and_spurious_mentions():
    # Gold {a b c}, {d e f g}; system {a b}, {c d}, {f g h i}.
    muc, b_cubed, ceaf, mentions = scores_of(["abc", "defg"], ["ab", "cd", "fghi"])
    assert (muc.precision, muc.recall) == (pytest.approx(2 / 5), pytest.approx(2 / 5))
    assert b_cubed.recall == pytest.approx((2 * 2 / 3 + 1 / 3 + 1 / 4 + 2 * 2 / 4) / 7)
    assert b_cubed.precision == pytest.approx((2 + 2 * 1 / 2 + 2 * 2 / 4) / 8)
    similarity = 2 * 2 / 5 + 2 * 2 / 8
    assert (ceaf.precision, ceaf.recall) == (pytest.approx(similarity / 3), pytest.approx(similarity / 2))
    assert (mentions.precision, mentions.recall) == (pytest.approx(6 / 8), pytest.approx(6 / 7))


def test_documents_are_summed_before_the_ratio():
    scorer = CoreferenceScorer()
    scorer.add([["a", "b", "c", "d"]], [["a", "b", "c", "d"]])
    scorer.add([["a", "b"]], [])
    muc = scorer.scores["muc"]
    assert muc.recall == pytest.approx(3 / 4) and muc.precision == 1


def test_nothing_is_not_an_error():
    scorer = scorer_of([], [])
    assert scorer.average == 0 and all(score.f1 == 0 for score in scorer.scores.values())
    assert all(score.f1 == 0 for score in scores_of(["ab"], []))


def test_mention_in_two_chains_is_refused():
    with pytest.raises(ValueError, match="twice in the predicted chains"):
        scorer_of(["ab"], ["ab", "bc"])


def test_best_null_threshold():
    # By rising odds: right, wrong where nothing would be right, right, wrong: 1 + (1, 0, 1, 0) of 4 questions.
    assert best_null_threshold([1, 1, 0, 0], [0, 0, 1, 0], [2.0, -3.0, 0.5, 5.0]) == (0.5, -3.0)
    assert best_null_threshold([1, 1, 0, 0], [0, 0, 0, 0], [2.0, -3.0, 0.5, 5.0]) == (0.5, 2.0)
    # Nothing should be answered; and what has equal odds is answered together.
    assert best_null_threshold([0, 0], [1, 1], [1.0, -2.0]) == (1.0, -3.0)
    assert best_null_threshold([1, 0, 0], [0, 1, 1], [1.0, 1.0, 1.0]) == (pytest.approx(2 / 3), 0.0)
