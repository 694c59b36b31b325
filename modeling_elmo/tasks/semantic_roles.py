"""PropBank roles: frames as BIO labels and back, examples for Trainer, and the score of the shared tasks."""

from collections.abc import Iterable, Sequence

import numpy as np

from tokenization_elmo import ElmoTokenizer

from .conll2012 import Frame, Sentence, Span
from .examples import encode_tagged
from .metrics import Score


def frame_labels(frame: Frame, length: int) -> list[str]:
    """BIO labels of a sentence's words for one predicate; the predicate's own span has the role `V`."""
    labels = ["O"] * length
    for role, (first, last) in frame.arguments:
        labels[first : last + 1] = [f"B-{role}", *[f"I-{role}"] * (last - first)]
    return labels


def label_spans(labels: Sequence[str]) -> list[tuple[str, Span]]:
    """The spans of BIO labels, in order."""
    spans: list[tuple[str, Span]] = []
    for position, label in enumerate(labels):
        if label.startswith("B-"):
            spans.append((label[2:], (position, position)))
        elif label.startswith("I-") and spans and spans[-1] == (label[2:], (spans[-1][1][0], position - 1)):
            spans[-1] = (label[2:], (spans[-1][1][0], position))
        elif label != "O":
            raise ValueError(f"label {label!r} of word {position} goes on with a span that is not there")
    return spans


def role_examples(
    tokenizer: ElmoTokenizer, sentences: Iterable[Sentence], label2id: dict[str, int]
) -> list[dict[str, np.ndarray]]:
    """An example for each predicate, with `predicate_mask`; labels that `label2id` lacks are -100."""
    rows = [(sentence.words, frame) for sentence in sentences for frame in sentence.frames]
    labels = [[label2id.get(name, -100) for name in frame_labels(frame, len(words))] for words, frame in rows]
    examples = encode_tagged(tokenizer, [words for words, _ in rows], labels)
    for example, (_, frame) in zip(examples, rows, strict=True):
        example["predicate_mask"] = np.zeros_like(example["attention_mask"])
        example["predicate_mask"][frame.predicate + 1] = 1  # behind the boundary mark
    return examples


def joined_arguments(arguments: Iterable[tuple[str, Span]]) -> set[tuple[str, tuple[Span, ...]]]:
    """Arguments as they are scored: `C-X` goes on with the last `X` before it; `V` and its parts are left out."""
    joined: list[tuple[str, list[Span]]] = []
    for role, span in sorted(arguments, key=lambda argument: argument[1]):
        if role.startswith("C-"):
            role = role[2:]
            before = next((entry for entry in reversed(joined) if entry[0] == role), None)
            if before is not None:
                before[1].append(span)
                continue
        joined.append((role, [span]))
    return {(role, tuple(spans)) for role, spans in joined if role != "V"}


def role_score(
    gold: Iterable[Iterable[tuple[str, Span]]], predicted: Iterable[Iterable[tuple[str, Span]]]
) -> dict[str, float]:
    """Precision, recall and F1 of arguments, as the scorer of CoNLL-2005 and 2012 counts them.

    An argument is right if its role and all its words are; references (`R-X`) are roles of their own.

    Args:
        gold, predicted: for each predicate its arguments, `(role, (first, last))`.
    """
    right = wanted = found = 0
    for gold_arguments, predicted_arguments in zip(gold, predicted, strict=True):
        gold_set, predicted_set = joined_arguments(gold_arguments), joined_arguments(predicted_arguments)
        right += len(gold_set & predicted_set)
        wanted += len(gold_set)
        found += len(predicted_set)
    score = Score(right / max(found, 1), right / max(wanted, 1))
    return {"precision": score.precision, "recall": score.recall, "f1": score.f1}
