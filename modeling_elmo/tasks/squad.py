"""SQuAD (Rajpurkar et al., 2016, 2018): reading its JSON, cutting texts into windows, and answers from scores."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..text_files import numbered_lines, parse_json
from .tables import require_columns

if TYPE_CHECKING:
    from transformers import BatchEncoding

    from tokenization_elmo import ElmoTokenizer

NUM_MARKS = 4  # boundary marks of a pair


@dataclass(frozen=True)
class Question:
    """A question about a text.

    Attributes:
        key, question, context: as in the file.
        answers: texts of the right answers; empty if the text has none.
        starts: where each begins in `context`, in characters.
    """

    key: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


def read_squad(path: str | Path) -> Iterator[Question]:
    """The questions of a file in the format of SQuAD 1.1 or 2.0, plain or compressed.

    Raises:
        ValueError: naming the file and the question, if a field is missing or an answer does not stand at its place.
    """
    text = "\n".join(line for _, line in numbered_lines(path))
    try:
        articles = list(parse_json(text)["data"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a SQuAD file, a JSON object with a list 'data': {error}") from error
    for number, article in enumerate(articles):
        try:
            paragraphs = [(paragraph["context"], list(paragraph["qas"])) for paragraph in article["paragraphs"]]
        except (KeyError, TypeError) as error:
            what = f"article {number} of 'data' has no paragraphs with context and qas"
            raise ValueError(f"{path}: {what}: {error!r}") from None
        for context, entry in ((context, entry) for context, entries in paragraphs for entry in entries):
            if not isinstance(entry, dict):
                raise ValueError(f"{path}: article {number} of 'data' has a question that is no object: {entry!r}")
            try:
                answers = [] if entry.get("is_impossible") else entry["answers"]
                question = Question(
                    entry["id"],
                    entry["question"],
                    context,
                    tuple(answer["text"] for answer in answers),
                    tuple(answer["answer_start"] for answer in answers),
                )
            except KeyError as error:
                raise ValueError(f"{path}: question {entry.get('id')!r} lacks {error}") from error
            except TypeError:
                raise ValueError(f"{path}: question {entry.get('id')!r} has answers that are no objects") from None
            check_question(question, path)
            yield question


def questions_from_dataset(dataset, source: str) -> Iterator[Question]:
    """The questions of a `datasets.Dataset` with the columns of `squad` and `squad_v2`.

    Raises:
        ValueError: naming `source` and the question, if a column is missing or an answer does not stand at its place.
    """
    require_columns(dataset, ("id", "question", "context", "answers"), source)
    for row in dataset:
        answers = row["answers"]
        if not isinstance(answers, dict) or not {"text", "answer_start"} <= set(answers):
            raise ValueError(f"{source}: question {row['id']!r}: answers need 'text' and 'answer_start': {answers!r}")
        texts, starts = tuple(answers["text"]), tuple(answers["answer_start"])
        if len(texts) != len(starts):
            raise ValueError(f"{source}: question {row['id']!r} has {len(texts)} answers at {len(starts)} places")
        question = Question(row["id"], row["question"], row["context"], texts, starts)
        check_question(question, source)
        yield question


def check_question(question: Question, source: str | Path):
    """Raises a ValueError that names the question unless it and its text are texts, and each answer stands at its
    place."""
    if not isinstance(question.key, str | int):
        raise ValueError(f"{source}: a question has the id {question.key!r}; it must be a text or a number")
    for name, text in (("question", question.question), ("context", question.context)):
        if not isinstance(text, str):
            raise ValueError(f"{source}: question {question.key!r}: the {name} is {text!r}; it must be a text")
    for text, start in zip(question.answers, question.starts, strict=True):
        if not isinstance(text, str) or not text or not isinstance(start, int) or start < 0:
            raise ValueError(
                f"{source}: question {question.key!r}: an answer needs a text that is not empty and a number "
                f"where it begins, not {text!r} and {start!r}"
            )
        if question.context[start : start + len(text)] != text:
            raise ValueError(f"{source}: question {question.key!r}: {text!r} is not at character {start}")


def encode_questions(
    questions: Sequence[Question], tokenizer: "ElmoTokenizer", max_length: int = 384, stride: int = 128, **options
) -> "BatchEncoding":
    """Windows of the texts, each behind its question.

    Args:
        max_length: longest window, question and boundary marks included, in words.
        stride: words by which two windows of a text overlap.

    Returns:
        what the tokenizer gives, with `start_positions` and `end_positions` (of the first answer; 0 where the window
        does not hold all of it), `overflow_to_sample_mapping` (the question of each window) and `offset_mapping`.

    Raises:
        ValueError: naming the question beside which a window has no room for more words than overlap.
    """
    for question in questions:
        length = len(tokenizer.split_words(question.question))
        room = max_length - NUM_MARKS - length
        if room <= stride and room < len(tokenizer.split_words(question.context)):  # Rust would panic
            raise ValueError(
                f"question {question.key!r} has {length} words, too many for windows of {max_length} that overlap by "
                f"{stride}: raise max_length, or lower stride"
            )
    encoding = tokenizer(
        [question.question for question in questions],
        [question.context for question in questions],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **options,
    )
    positions = []
    for window, number in enumerate(encoding["overflow_to_sample_mapping"]):
        question = questions[int(number)]
        positions.append((0, 0))
        if question.answers:
            answer = question.answers[0]
            # White space around it belongs to no word.
            first = question.starts[0] + len(answer) - len(answer.lstrip())
            last = first + len(answer.strip()) - 1
            in_text = np.array(encoding.sequence_ids(window)) == 1
            offsets = np.asarray(encoding["offset_mapping"][window])
            inside = np.flatnonzero(in_text & (offsets[:, 1] > first) & (offsets[:, 0] <= last))
            if len(inside) and offsets[inside[0], 0] <= first and offsets[inside[-1], 1] > last:
                positions[-1] = (int(inside[0]), int(inside[-1]))
    encoding["start_positions"], encoding["end_positions"] = ([pair[i] for pair in positions] for i in (0, 1))
    return encoding


def best_answers(
    questions: Sequence[Question],
    encoding: "BatchEncoding",
    start_logits: Sequence[np.ndarray],
    end_logits: Sequence[np.ndarray],
    max_answer_length: int = 30,
) -> dict[str, dict[str, Any]]:
    """The best answer to each question over all windows of its text.

    Args:
        start_logits, end_logits: of each window, `(sequence,)` or longer.
        max_answer_length: words of the longest answer.

    Returns:
        by key: `text` (as it stands in the context, empty if that has no words), `start` and `end` in characters,
        `score` (sum of logits), `null_score` (that of no answer).

    Raises:
        ValueError: if `max_answer_length` is less than 1.
    """
    if max_answer_length < 1:
        raise ValueError(f"max_answer_length is {max_answer_length}; it must be at least 1")
    windows = defaultdict(list)
    for window, number in enumerate(encoding["overflow_to_sample_mapping"]):
        windows[int(number)].append(window)
    found = {}
    for number, question in enumerate(questions):
        score, start, end, null_score = -np.inf, 0, 0, np.inf
        for window in windows[number]:
            offsets = np.asarray(encoding["offset_mapping"][window])
            words = np.flatnonzero(np.array(encoding.sequence_ids(window)) == 1)
            starts, ends = (np.asarray(logits[window], np.float64) for logits in (start_logits, end_logits))
            null_score = min(null_score, starts[0] + ends[0])
            if not len(words):
                continue
            scores = starts[words][:, None] + ends[words]
            length = words - words[:, None]
            scores[(length < 0) | (length >= max_answer_length)] = -np.inf
            i, j = np.unravel_index(scores.argmax(), scores.shape)
            if scores[i, j] > score:
                score, start, end = float(scores[i, j]), int(offsets[words[i], 0]), int(offsets[words[j], 1])
        places = {"text": question.context[start:end], "start": start, "end": end}
        found[question.key] = places | {"score": score, "null_score": float(null_score)}
    return found
