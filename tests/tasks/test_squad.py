"""SQuAD's format, windows over long texts, and answers from scores."""

import gzip
import json

import numpy as np
import pytest
from datasets import Dataset

from modeling_elmo import ElmoTokenizer
from modeling_elmo.tasks.metrics import answer_f1, exact_match
from modeling_elmo.tasks.squad import (
    Question,
    best_answers,
    encode_questions,
    questions_from_dataset,
    read_squad,
)

CONTEXT = "The Normans (Nourmands) lived in Normandy, France. " + "They sailed far. " * 10 + "Rollo led them in 911."


def squad(context=CONTEXT, **changes):
    entry = {
        "id": "q1",
        "question": "Who led?",
        "answers": [{"text": "Rollo", "answer_start": CONTEXT.index("Rollo")}],
    }
    return {"version": "1", "data": [{"title": "N", "paragraphs": [{"context": context, "qas": [entry | changes]}]}]}


def test_reads_answers_and_impossible_questions(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(squad()))
    (question,) = read_squad(tmp_path / "a.json")
    assert question.answers == ("Rollo",) and question.context[question.starts[0] :].startswith("Rollo")
    with gzip.open(tmp_path / "b.json.gz", "wt") as file:
        json.dump(squad(is_impossible=True, answers=[], plausible_answers=[{"text": "x", "answer_start": 0}]), file)
    assert next(read_squad(tmp_path / "b.json.gz")).answers == ()


def test_half_a_surrogate_pair_can_be_written_again(tmp_path):
    answer = {"text": "\ud83d half", "answer_start": 2}
    paragraph = {"context": "a \ud83d half 😀", "qas": [{"id": "q", "question": "x", "answers": [answer]}]}
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    (question,) = read_squad(tmp_path / "a.json")
    assert question.context == "a \N{REPLACEMENT CHARACTER} half 😀"
    assert question.answers == ("\N{REPLACEMENT CHARACTER} half",) and question.starts == (2,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(squad(answers=[{"text": "Rollo", "answer_start": 3}])), "'q1': 'Rollo' is not at character 3"),
        (json.dumps(squad(answers=[{"text": "Rollo"}])), "'q1' lacks 'answer_start'"),
        (json.dumps(squad(answers=[{"text": "", "answer_start": 3}])), "'q1': an answer needs a text .* not '' and 3"),
        (json.dumps(squad(answers=[{"text": "R", "answer_start": "3"}])), "'q1': an answer needs .* not 'R' and '3'"),
        (
            json.dumps(squad(answers=[{"text": "911", "answer_start": -4}])),
            "'q1': an answer needs .* not '911' and -4",
        ),
        (json.dumps(squad(answers=["Rollo"])), "'q1' has answers that are no objects"),
        (json.dumps(squad(id=["q1"])), r"a question has the id \['q1'\]; it must be a text or a number"),
        (json.dumps(squad(question=None)), "question 'q1': the question is None; it must be a text"),
        (json.dumps(squad(context=None)), "question 'q1': the context is None; it must be a text"),
        (
            json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": None}]}]}),
            "article 0 of 'data' has no paragraphs with context and qas",
        ),
        (json.dumps({"data": 5}), "not a SQuAD file"),
        (
            json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": ["x"]}]}]}),
            "article 0 of 'data' has a question that is no object: 'x'",
        ),
        ("[1]", "is not a SQuAD file"),
        ("{", "is not a SQuAD file"),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        list(read_squad(tmp_path / "bad.json"))
    assert "bad.json" in str(error.value)


def test_windows_hold_the_answer_where_they_hold_it():
    start = CONTEXT.index("Rollo")
    questions = [
        Question("a", "Who led them?", CONTEXT, ("Rollo",), (start,)),
        Question("b", "Why?", CONTEXT, (), ()),
        Question("c", "Where?", CONTEXT, ("Normandy, France",), (CONTEXT.index("Normandy"),)),
    ]
    encoding = encode_questions(questions, ElmoTokenizer(), max_length=24, stride=8)
    mapping = encoding["overflow_to_sample_mapping"]
    assert mapping.count(0) > 2
    seen = {0: 0, 1: 0, 2: 0}
    for window, number in enumerate(mapping):
        first, last = encoding["start_positions"][window], encoding["end_positions"][window]
        assert len(encoding["input_ids"][window]) <= 24
        if first:
            offsets = encoding["offset_mapping"][window]
            assert CONTEXT[offsets[first][0] : offsets[last][1]] == questions[number].answers[0]
            seen[number] += 1
    assert seen[0] >= 1 and seen[1] == 0 and seen[2] >= 1


@pytest.mark.parametrize("text", ["Normandy", " Normandy", "Normandy ", "  Normandy "])
def test_white_space_around_an_answer_is_no_part_of_it(text):
    question = Question("a", "Where?", "In  Normandy , France.", (text,), (12 - len(text.rstrip()),))
    encoding = encode_questions([question], ElmoTokenizer())
    (first,), (last,) = encoding["start_positions"], encoding["end_positions"]
    assert first == last and encoding["offset_mapping"][0][first] == (4, 12)


def test_best_answers_are_exact_text_within_the_longest():
    question = Question("a", "Where?", "In  Normandy , France.", (), ())
    encoding = encode_questions([question], ElmoTokenizer())
    words = [i for i, kind in enumerate(encoding.sequence_ids(0)) if kind == 1]
    length = len(encoding["input_ids"][0])
    starts, ends = np.zeros((1, length)), np.zeros((1, length))
    starts[0, words[1]] = ends[0, words[3]] = 5
    ends[0, words[0]] = 50  # before the best start: only an answer of its own
    ends[0, words[4]] = 4
    found = best_answers([question], encoding, starts, ends)["a"]
    assert (found["text"], found["score"]) == ("In", 50)
    ends[0, words[0]] = 0
    assert best_answers([question], encoding, starts, ends)["a"]["text"] == "Normandy , France"
    assert best_answers([question], encoding, starts, ends, max_answer_length=2)["a"]["text"] != "Normandy , France"
    with pytest.raises(ValueError, match="max_answer_length is 0"):
        best_answers([question], encoding, starts, ends, max_answer_length=0)
    starts[0, 0] = 11
    found = best_answers([question], encoding, starts, ends)["a"]
    assert (found["text"], found["score"], found["null_score"]) == ("Normandy , France", 10, 11)


def test_exact_match_and_f1():
    assert exact_match("the Normans!", ["Normans"]) == 1 and exact_match("Norman", ["Normans"]) == 0
    assert exact_match("", []) == 1 and exact_match("x", []) == 0
    assert answer_f1("in the Norman lands", ["Norman lands", "x"]) == pytest.approx(2 * 2 / 5)
    assert answer_f1("", []) == 1 and answer_f1("x", []) == 0
    # Answers without words count only where there are no others.
    assert exact_match("", ["the", "the Normans"]) == answer_f1("", ["the", "the Normans"]) == 0
    assert exact_match("a", ["the"]) == answer_f1("a", ["the"]) == 1


def test_a_question_that_leaves_no_room_for_its_text_is_named():
    question = Question("long", "why " * 20, "one two three four five six seven", (), ())
    for max_length, stride in ((30, 20), (20, 5)):
        with pytest.raises(ValueError, match="question 'long' has 20 words"):
            encode_questions([question], ElmoTokenizer(), max_length, stride)
    assert len(encode_questions([question], ElmoTokenizer(), 30, 5)["input_ids"]) == 2
    assert len(encode_questions([question], ElmoTokenizer(), 31, 20)["input_ids"]) == 1


def rows(*answers):
    return Dataset.from_list(
        [
            {"id": f"q{number}", "title": "N", "question": "Who?", "context": CONTEXT, "answers": each}
            for number, each in enumerate(answers)
        ]
    )


def test_a_data_set_has_questions_with_and_without_answers():
    some, none = {"text": ["The"], "answer_start": [0]}, {"text": [], "answer_start": []}
    questions = list(questions_from_dataset(rows(some, none), "squad"))
    assert [(each.key, each.answers, each.starts) for each in questions] == [("q0", ("The",), (0,)), ("q1", (), ())]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (rows({"text": ["Rollo"], "answer_start": [3]}), "squad: question 'q0': 'Rollo' is not at character 3"),
        (rows({"text": ["The"], "answer_start": []}), "squad: question 'q0' has 1 answers at 0 places"),
        (rows(None), "squad: question 'q0': answers need 'text' and 'answer_start': None"),
        (rows({"text": ["The"]}), "squad: question 'q0': answers need 'text' and 'answer_start'"),
        (rows(None).remove_columns("context"), "squad: no column 'context'; there are"),
    ],
)
def test_malformed_rows_of_a_data_set_are_named(dataset, message):
    with pytest.raises(ValueError, match=message):
        list(questions_from_dataset(dataset, "squad"))
