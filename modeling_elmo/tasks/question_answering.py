"""The recipe for extractive question answering: SQuAD 1.1 and 2.0, and answers to questions about any text."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering, BatchEncoding, EvalPrediction, set_seed

from tokenization_elmo import ElmoTokenizer

from ..modeling_elmo import evaluation_mode
from .arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments
from .examples import PaddingCollator
from .finetuning import finetune, load_model
from .metrics import answer_f1, best_null_threshold, exact_match
from .reports import write_summary
from .splits import load_splits
from .squad import Question, best_answers, encode_questions, questions_from_dataset, read_squad

QUESTIONS_PER_CALL = 256

USAGE = """\
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
from modeling_elmo.tasks.question_answering import answer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForQuestionAnswering.from_pretrained("{name}")
context = "The Normans came to England in 1066. They spoke French."
answer(model, tokenizer, "When did the Normans come?", context)  # text, start, end (characters), score"""


@dataclass
class QuestionArguments(DataArguments):
    version_2: bool = field(
        default=False, metadata={"help": "SQuAD 2.0: some questions have no answer in their text, and get none."}
    )
    null_threshold: float | None = field(
        default=None,
        metadata={
            "help": "With --version_2: no answer where its score is above the best answer's by more than this. By "
            "default what gives the best F1 on the validation data, as SQuAD's scorer searches it."
        },
    )
    max_length: int = field(default=384, metadata={"help": "Words of a window, question and boundary marks included."})
    stride: int = field(default=128, metadata={"help": "Words by which the windows of a long text overlap."})
    max_answer_length: int = field(default=30, metadata={"help": "Words of the longest answer."})

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.stride < self.max_length:
            raise ValueError(f"--stride is {self.stride}; it must be less than --max_length ({self.max_length})")
        if self.max_answer_length < 1:
            raise ValueError(f"--max_answer_length is {self.max_answer_length}; it must be at least 1")
        if self.null_threshold is not None and not self.version_2:
            raise ValueError("--null_threshold goes with --version_2: without it every question is answered")


def main(description: str | None = None) -> dict[str, dict[str, float]]:
    """Runs the recipe on the command line's options; the metrics of each split."""
    return run(*parse_arguments(QuestionArguments, description))


def run(data: QuestionArguments, model_arguments: ModelArguments, training: FinetuningArguments):
    """Trains, evaluates and writes model, card, metrics, and `predictions_<split>.json`, the answer to each question
    by its id as SQuAD's scorer reads it; of 2.0 also `null_odds_<split>.json`, by how much "no answer" scores above
    the best answer, and in the model's configuration the `null_threshold`."""
    set_seed(training.seed)
    splits = load_splits(
        data,
        training.split_seed,
        lambda path, name: checked(read_squad(path), data.version_2, path),
        lambda rows: checked(questions_from_dataset(rows, data.dataset_name), data.version_2, data.dataset_name),
        lambda question: question.context,
    )
    tokenizer, model = load_model(
        model_arguments,
        AutoModelForQuestionAnswering,
        texts_of(splits["train"]),
        null_threshold=data.null_threshold,
    )
    windows = {
        name: QuestionWindows(tokenizer, questions, data.max_length, data.stride, keep_places=name != "train")
        for name, questions in splits.items()
    }

    def answers(name: str, logits: tuple[np.ndarray, np.ndarray]) -> dict[str, dict[str, Any]]:
        return windows[name].answers(*logits, data.max_answer_length)

    def metrics_of(name: str):
        def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
            found = answers(name, prediction.predictions)
            if not data.version_2:
                return score(splits[name], found)
            best = search_thresholds(splits[name], found)
            # Trainer evaluates on the validation data before it saves, and before anything else is predicted.
            if name == "validation" and data.null_threshold is None:
                model.config.null_threshold = best["best_f1_threshold"]
            return score(splits[name], found, model.config.null_threshold) | best

        return compute_metrics

    training.prefer("f1")
    _, predictions, metrics = finetune(
        model,
        tokenizer,
        {name: kept.examples for name, kept in windows.items()},
        metrics_of,
        data,
        model_arguments,
        training,
        summary="ELMo with BiDAF and self-attention, which finds the answer to a question in a text.",
        usage=USAGE,
        train_size=len(splits["train"]),
    )
    threshold = model.config.null_threshold
    if training.should_save:
        for name, output in predictions.items():
            found = answers(name, output.predictions)
            texts = {key: answer_or_none(each, threshold)["text"] for key, each in found.items()}
            write_json(training.output_dir, f"predictions_{name}.json", texts)
            if data.version_2:
                all_odds = {key: odds(each) for key, each in found.items()}
                write_json(training.output_dir, f"null_odds_{name}.json", all_odds)
    write_summary(training, metrics=metrics, null_threshold=threshold)
    return metrics


# Data


def checked(questions: Iterable[Question], version_2: bool, source: str) -> list[Question]:
    """The questions, if they are what the options say.

    Raises:
        ValueError: on questions without an answer that are not announced, on two with the same id, and on a question
            or a text without words.
    """
    questions = list(questions)
    without = [question.key for question in questions if not question.answers]
    if without and not version_2:
        raise ValueError(
            f"{source}: {len(without)} questions have no answer, {without[0]!r} for one: give --version_2 (SQuAD 2.0)"
        )
    keys: set[str] = set()
    for question in questions:
        if question.key in keys:
            raise ValueError(f"{source}: two questions have the id {question.key!r}")
        keys.add(question.key)
        if not question.question.strip() or not question.context.strip():
            raise ValueError(f"{source}: question {question.key!r} or its text has no words")
    return questions


def texts_of(questions: Sequence[Question]) -> list[str]:
    """All questions and each distinct text."""
    return [*dict.fromkeys(question.context for question in questions), *(question.question for question in questions)]


class QuestionWindows:
    """Questions as examples for Trainer, a window of the text each; and from the windows' scores back to answers."""

    def __init__(
        self,
        tokenizer: ElmoTokenizer,
        questions: Sequence[Question],
        max_length: int = 384,
        stride: int = 128,
        keep_places: bool = True,
    ):
        """
        Args:
            max_length: longest window, question and boundary marks included, in words.
            stride: words by which two windows of a text overlap.
            keep_places: whether the words' places in the texts are kept, which `answers` needs.
        """
        self.examples: list[dict[str, np.ndarray]] = []
        self.chunks: list[tuple[Sequence[Question], BatchEncoding]] = []
        for start in range(0, len(questions), QUESTIONS_PER_CALL):
            chunk = questions[start : start + QUESTIONS_PER_CALL]
            # Padding at the right, which positions do not count.
            options = {"padding": True, "padding_side": "right", "return_tensors": "np"}
            encoding = encode_questions(chunk, tokenizer, max_length, stride, **options)
            inputs = {name: encoding.pop(name) for name in ("input_ids", "character_ids", "token_type_ids")}
            mask = encoding.pop("attention_mask")
            for window, is_token in enumerate(mask.astype(bool)):
                # A copy, so that the batch's padding is not kept in memory.
                example = {name: values[window][is_token].copy() for name, values in inputs.items()}
                example["attention_mask"] = mask[window][is_token]
                for name in ("start_positions", "end_positions"):
                    example[name] = np.array(encoding[name][window])
                self.examples.append(example)
            if keep_places:
                self.chunks.append((chunk, encoding))

    def answers(
        self,
        start_logits: Sequence[np.ndarray],
        end_logits: Sequence[np.ndarray],
        max_answer_length: int = 30,
    ) -> dict[str, dict[str, Any]]:
        """What [`best_answers`] gives, from the scores of all windows in the order of `examples`."""
        found, first = {}, 0
        for questions, encoding in self.chunks:
            last = first + len(encoding["overflow_to_sample_mapping"])
            logits = start_logits[first:last], end_logits[first:last]
            found |= best_answers(questions, encoding, *logits, max_answer_length)
            first = last
        return found


def odds(answer: dict[str, Any]) -> float:
    """By how much "no answer" scores above the best answer."""
    return answer["null_score"] - answer["score"]


def answer_or_none(answer: dict[str, Any], null_threshold: float | None) -> dict[str, Any]:
    """The best answer, or with empty text none where the odds are above the threshold (SQuAD 2.0); without a threshold
    always the best answer (SQuAD 1.1)."""
    is_answered = null_threshold is None or odds(answer) <= null_threshold
    return answer if is_answered else answer | {"text": "", "start": 0, "end": 0}


def search_thresholds(questions: Sequence[Question], found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The best exact match and F1 that any threshold gives, and these thresholds; `found` are answers to all."""
    best = {}
    for name, measure in (("exact", exact_match), ("f1", answer_f1)):
        answered = [measure(found[question.key]["text"], question.answers) for question in questions]
        unanswered = [measure("", question.answers) for question in questions]
        value, threshold = best_null_threshold(
            answered, unanswered, [odds(found[question.key]) for question in questions]
        )
        best |= {f"best_{name}": value, f"best_{name}_threshold": threshold}
    return best


def score(
    questions: Sequence[Question], found: dict[str, dict[str, Any]], null_threshold: float | None = None
) -> dict[str, float]:
    """Exact match and F1 of words, in [0, 1], as SQuAD's scorer counts them; with `null_threshold` (SQuAD 2.0) also
    the F1 of the questions that have an answer, and the share of the others that were given none."""
    rows = [(answer_or_none(found[question.key], null_threshold)["text"], question.answers) for question in questions]
    scores = {
        "exact_match": _mean([exact_match(text, answers) for text, answers in rows]),
        "f1": _mean([answer_f1(text, answers) for text, answers in rows]),
    }
    if null_threshold is not None:
        scores["answerable_f1"] = _mean([answer_f1(text, answers) for text, answers in rows if answers])
        scores["unanswerable_accuracy"] = _mean([float(not text) for text, answers in rows if not answers])
    return scores


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def write_json(folder: str | Path, name: str, content: dict[str, Any]):
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    (Path(folder) / name).write_text(text, encoding="utf-8")


# Any text


@torch.no_grad()
def answer(
    model,
    tokenizer: ElmoTokenizer,
    question: str,
    context: str,
    null_threshold: float | None = None,
    max_answer_length: int = 30,
    max_length: int = 384,
    stride: int = 128,
    batch_size: int = 16,
) -> dict[str, Any]:
    """The answer to a question in a text of any length.

    Args:
        model: an [`ElmoForQuestionAnswering`].
        null_threshold: no answer where its score is above the best answer's by more. By default what the model's
            configuration says: of models trained with `--version_2` the best one in training; of others none, they
            always answer. `math.inf`: always answer.
        max_answer_length: words of the longest answer.
        max_length, stride: words of a window, and by which two windows overlap.
        batch_size: windows read at once.

    Returns:
        `text` as it stands in the context (empty: no answer), `start` and `end` in characters, `score` (sum of
        logits), `null_score` (that of no answer).

    Raises:
        ValueError: if the question or the text has no words.
    """
    for name, text in (("question", question), ("context", context)):
        if not text.strip():
            raise ValueError(f"the {name} has no words")
    windows = QuestionWindows(tokenizer, [Question("", question, context, (), ())], max_length, stride)
    if null_threshold is None:
        null_threshold = model.config.null_threshold
    collate = PaddingCollator(tokenizer)
    start_logits, end_logits = [], []
    for first in range(0, len(windows.examples), batch_size):
        batch = collate(windows.examples[first : first + batch_size])
        with evaluation_mode(model):
            outputs = model(**{name: values.to(model.device) for name, values in batch.items()}, return_dict=True)
        start_logits.extend(outputs.start_logits.float().cpu().numpy())
        end_logits.extend(outputs.end_logits.float().cpu().numpy())
    return answer_or_none(windows.answers(start_logits, end_logits, max_answer_length)[""], null_threshold)
