"""Frames as labels, and the score of arguments against cases worked out by hand."""

import pytest

from modeling_elmo import ElmoTokenizer
from modeling_elmo.tasks.conll2012 import Frame, Sentence
from modeling_elmo.tasks.semantic_roles import frame_labels, joined_arguments, label_spans, role_examples, role_score

ARGUMENTS = [("ARG0", (0, 1)), ("V", (2, 2)), ("ARG1", (3, 3)), ("C-ARG1", (5, 6))]


def test_labels_and_spans_are_inverse():
    labels = frame_labels(Frame(2, "x", "01", ARGUMENTS), 8)
    assert labels == ["B-ARG0", "I-ARG0", "B-V", "B-ARG1", "O", "B-C-ARG1", "I-C-ARG1", "O"]
    assert label_spans(labels) == ARGUMENTS
    assert label_spans(["B-A", "B-A"]) == [("A", (0, 0)), ("A", (1, 1))]


@pytest.mark.parametrize("labels", [["I-A"], ["B-A", "I-B"], ["B-A", "O", "I-A"]])
def test_spans_that_never_began_are_refused(labels):
    with pytest.raises(ValueError, match="goes on with a span that is not there"):
        label_spans(labels)


def test_continuations_are_one_argument_and_predicates_none():
    assert joined_arguments(ARGUMENTS) == {("ARG0", ((0, 1),)), ("ARG1", ((3, 3), (5, 6)))}
    assert joined_arguments([("C-V", (3, 3)), ("V", (2, 2))]) == set()
    assert joined_arguments([("C-ARG1", (0, 0)), ("R-ARG0", (1, 1))]) == {("ARG1", ((0, 0),)), ("R-ARG0", ((1, 1),))}


def test_score_by_hand():
    gold = [ARGUMENTS, [("V", (0, 0)), ("ARG1", (1, 1))]]
    half = [("ARG0", (0, 1)), ("ARG1", (3, 3)), ("ARGM-TMP", (7, 7))]  # one right; ARG1 lacks its continuation
    score = role_score(gold, [half, [("ARG1", (1, 1))]])
    assert score["precision"] == pytest.approx(2 / 4) and score["recall"] == pytest.approx(2 / 3)
    assert role_score(gold, gold)["f1"] == 1 and role_score(gold, [[], []])["f1"] == 0


def test_examples_mark_the_predicate():
    words = ["a", "b", "c"]
    frames = [Frame(0, "a", "01", [("V", (0, 0))]), Frame(2, "c", "01", [("V", (2, 2)), ("ARG9", (0, 1))])]
    sentence = Sentence(words, ["-"] * 3, ["-"] * 3, frames)
    first, second = role_examples(ElmoTokenizer(), [sentence], {"O": 0, "B-V": 1})
    assert first["predicate_mask"].tolist() == [0, 1, 0, 0, 0] and second["predicate_mask"].tolist() == [0, 0, 0, 1, 0]
    assert second["labels"].tolist() == [-100, -100, -100, 1, -100]
