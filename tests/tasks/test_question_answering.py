"""Windows, scores and answers of question answering."""

import math

import numpy as np
import pytest

from modeling_elmo import ElmoForQuestionAnswering, ElmoTokenizer
from modeling_elmo.tasks import question_answering
from modeling_elmo.tasks.question_answering import (
    QuestionWindows,
    answer,
    answer_or_none,
    checked,
    score,
    search_thresholds,
)
from modeling_elmo.tasks.squad import Question

CONTEXT = "The Normans (Nourmands) lived in Normandy, France. " + "They sailed far. " * 10 + "Rollo led them in 911."


def question(key: str, text: str, answer_text: str = "") -> Question:
    starts = (CONTEXT.index(answer_text),) if answer_text else ()
    return Question(key, text, CONTEXT, (answer_text,) if answer_text else (), starts)


QUESTIONS = [
    question("a", "Who led them?", "Rollo"),
    question("b", "Where did they live?", "Normandy, France"),
    question("c", "Why?"),
]


@pytest.mark.parametrize("questions_per_call", [1, 2, 256])
def test_gold_positions_give_back_the_answers(monkeypatch, questions_per_call):
    monkeypatch.setattr(question_answering, "QUESTIONS_PER_CALL", questions_per_call)
    windows = QuestionWindows(ElmoTokenizer(), QUESTIONS, max_length=24, stride=8)
    assert len(windows.examples) > len(QUESTIONS)
    assert all(len(example["input_ids"]) == len(example["character_ids"]) <= 24 for example in windows.examples)
    logits = []
    for name in ("start_positions", "end_positions"):
        rows = np.full((len(windows.examples), 24), -10.0)
        rows[np.arange(len(rows)), [int(example[name]) for example in windows.examples]] = 10.0
        logits.append(rows)
    found = windows.answers(*logits)
    # Where a window does not hold the answer it says "none"; one that does outweighs it only without a threshold.
    assert answer_or_none(found["c"], 0.0)["text"] == ""
    assert (found["a"]["text"], found["b"]["text"]) == ("Rollo", "Normandy, France")
    scores = score(QUESTIONS, found, null_threshold=math.inf)
    assert scores["answerable_f1"] == 1 and scores["unanswerable_accuracy"] == 0


def test_windows_of_a_tokenizer_that_pads_at_the_left(make_model):
    left = ElmoTokenizer(padding_side="left")
    model = make_model(ElmoForQuestionAnswering, head_hidden_size=4)
    first, second = (QuestionWindows(each, QUESTIONS, 24, 8) for each in (ElmoTokenizer(), left))
    assert len({len(example["input_ids"]) for example in first.examples}) > 1
    for one, other in zip(first.examples, second.examples, strict=True):
        assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
    options = {"max_length": 24, "stride": 8}
    one, other = (answer(model, each, "Who led them?", CONTEXT, **options) for each in (ElmoTokenizer(), left))
    assert one == other


def test_score_of_partly_right_answers():
    texts = {"a": "Rollo led", "b": "Normandy France!", "c": ""}
    found = {key: {"text": text, "score": 1.0, "null_score": 0.0} for key, text in texts.items()}
    scores = score(QUESTIONS, found, null_threshold=0.0)
    assert scores == pytest.approx(
        {"exact_match": 2 / 3, "f1": (2 / 3 + 2) / 3, "answerable_f1": (2 / 3 + 1) / 2, "unanswerable_accuracy": 1.0}
    )
    assert set(score(QUESTIONS[:2], found)) == {"exact_match", "f1"}


def test_thresholds_are_those_of_the_best_exact_match_and_f1():
    # Odds -2 (half right), -1 (right), 3 (has no answer).
    found = {
        "a": {"text": "Rollo led", "score": 2.0, "null_score": 0.0},
        "b": {"text": "Normandy, France", "score": 1.0, "null_score": 0.0},
        "c": {"text": "sailed", "score": 0.0, "null_score": 3.0},
    }
    best = {"best_exact": 2 / 3, "best_exact_threshold": -1.0, "best_f1_threshold": -1.0}
    assert search_thresholds(QUESTIONS, found) == pytest.approx(best | {"best_f1": (2 / 3 + 2) / 3})
    scores = score(QUESTIONS, found, null_threshold=-1.0)
    assert scores["exact_match"] == pytest.approx(2 / 3) and scores["unanswerable_accuracy"] == 1
    assert score(QUESTIONS, found, null_threshold=3.0)["unanswerable_accuracy"] == 0


def test_questions_are_checked():
    assert checked(QUESTIONS, True, "f") == QUESTIONS
    with pytest.raises(ValueError, match="f: 1 questions have no answer, 'c' for one: give --version_2"):
        checked(QUESTIONS, False, "f")
    with pytest.raises(ValueError, match="f: two questions have the id 'a'"):
        checked([QUESTIONS[0], QUESTIONS[0]], False, "f")
    with pytest.raises(ValueError, match="f: question 'e' or its text has no words"):
        checked([Question("e", " ", CONTEXT, ("The",), (0,))], False, "f")


def test_answer_does_not_depend_on_the_batches(make_model):
    model, tokenizer = make_model(ElmoForQuestionAnswering, head_hidden_size=8), ElmoTokenizer()
    options = {"max_length": 24, "stride": 8, "max_answer_length": 3}
    found = answer(model, tokenizer, "Who led them?", CONTEXT, **options)
    assert found["text"] and found["text"] == CONTEXT[found["start"] : found["end"]]
    other = answer(model, tokenizer, "Who led them?", CONTEXT, batch_size=1, **options)
    assert other["text"] == found["text"] and other["score"] == pytest.approx(found["score"], abs=1e-4)
    none = answer(model, tokenizer, "Who led them?", CONTEXT, null_threshold=-1e9, **options)
    assert none["text"] == ""
    model.config.null_threshold = -1e9  # as the recipe leaves it
    assert answer(model, tokenizer, "Who led them?", CONTEXT, **options)["text"] == ""
    assert answer(model, tokenizer, "Who led them?", CONTEXT, null_threshold=math.inf, **options)["text"]
    with pytest.raises(ValueError, match="the context has no words"):
        answer(model, tokenizer, "Who led them?", " \n")
