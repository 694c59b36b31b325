"""Rows of texts and labels, and what is wrong with them."""

import numpy as np
import pytest

from modeling_elmo.tasks.sequence_classification import (
    LabelledText,
    Task,
    TextArguments,
    bag_of_words,
    read_texts,
)
from modeling_elmo.tasks.tables import write_jsonl

GOOD = {"text": "a good film", "label": "good"}


def read(path, rows, **options):
    write_jsonl(path, rows)
    return read_texts(path, TextArguments(train_file="x", validation_file="y", **options), is_training=True)


def test_texts_and_words(tmp_path):
    (item,) = read(tmp_path / "a.jsonl", [{"text": ["a", "film"], "label": 1}])
    assert (item.text, item.pair, item.label) == (["a", "film"], None, "1")
    (item,) = read(tmp_path / "a.jsonl", [{**GOOD, "b": "yes"}], text_pair_column="b")
    assert (item.text, item.pair, item.label) == ("a good film", "yes", "good")
    assert read(tmp_path / "a.jsonl", [{**GOOD, "label": None}], ignored_labels=["None"]) == []


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"text": None, "label": "bad"}, {}, "a.jsonl:2: 'text' is None; it must be a text"),
        ({"text": ["a", 5], "label": "bad"}, {}, r"a.jsonl:2: 'text' is \['a', 5\]; it must be a text"),
        ({"text": ["a", "b"], "label": "bad"}, {}, "a.jsonl:2: lists stand in other columns than in the first row"),
        ({"text": "a b", "label": ["bad"]}, {}, "a.jsonl:2: lists stand in other columns than in the first row"),
        ({"text": "a b", "label": None}, {}, "a.jsonl:2: there is no label"),
        ({"text": "a b", "label": "bad"}, {"regression": True}, "a.jsonl:2: the label 'bad' is no number"),
        ({"text": "a b", "label": float("nan")}, {"regression": True}, "a.jsonl:2: the label nan is no number"),
    ],
)
def test_malformed_rows_are_named(tmp_path, row, options, message):
    first = GOOD | ({"label": 1} if options else {})
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.jsonl", [first, row], **options)


def test_both_of_a_pair_are_texts_or_both_are_words(tmp_path):
    with pytest.raises(ValueError, match="a.jsonl:1: of a pair both must be texts, or both lists of words"):
        read(tmp_path / "a.jsonl", [GOOD | {"b": ["a", "word"]}], text_pair_column="b")


def test_a_single_label_of_many_is_scored_where_it_is(tmp_path):
    task = Task("multi_label_classification", ["toxic"])
    targets, nothing = np.eye(4, 1), np.zeros((4, 1))
    assert task.score(targets, nothing) == {"accuracy": 0.75, "macro_f1": 0.0, "micro_f1": 0.0}
    expected = {"accuracy": 0.75, "macro_f1": pytest.approx(2 / 3), "micro_f1": pytest.approx(2 / 3)}
    assert task.score(targets, np.eye(4, 1) + np.eye(4, 1, -1)) == expected
    items = [LabelledText(text, None, label) for text, label in 3 * [("you fool", ["toxic"]), ("a film", [])]]
    scores = bag_of_words(task, {"train": items, "validation": items})
    assert scores == {"validation": {"accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0}}


def test_a_constant_prediction_correlates_with_nothing(tmp_path):
    items = read(tmp_path / "a.jsonl", [{"text": "x", "label": number} for number in (1, 2, 4)], regression=True)
    task = Task.of(items, regression=True)
    targets = np.array([1.0, 2.0, 4.0])
    assert task.score(targets, np.full(3, 0.5)) == {"pearson": 0.0, "spearman": 0.0, "mse": pytest.approx(14.75 / 3)}
    scores = task.score(targets, -targets)
    assert (scores["pearson"], scores["spearman"]) == pytest.approx((-1, -1))
    assert task.score(targets[:1], targets[:1])["pearson"] == 0.0


def test_several_labels_in_every_file_or_in_none(tmp_path):
    one = read(tmp_path / "one.jsonl", [GOOD, {"text": "x", "label": "bad"}])
    several = read(tmp_path / "several.jsonl", [{"text": "x", "label": ["goodish", "good"]}])
    with pytest.raises(ValueError, match=r"the label \['goodish', 'good'\] is a list, unlike in the training data"):
        Task.of(one, regression=False).targets(several)
    with pytest.raises(ValueError, match="the label 'good' is no list, unlike in the training data"):
        Task.of(several, regression=False).targets(one)
    nothing = read(tmp_path / "nothing.jsonl", [{"text": "x", "label": []}])
    with pytest.raises(ValueError, match="no row of the training data has a label"):
        Task.of(nothing, regression=False)
