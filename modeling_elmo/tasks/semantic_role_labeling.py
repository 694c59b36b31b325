"""The recipe for semantic role labelling: who did what to whom, for given predicates as in the shared tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from tokenization_elmo import ElmoTokenizer

from ..modeling_elmo_semantic_role_labeling import ElmoForSemanticRoleLabeling
from .arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments
from .conll2012 import Document, Sentence, read_conll2012, write_conll2012
from .examples import words_labels
from .finetuning import finetune, label_options, load_model
from .ontonotes_rows import documents_from_dataset
from .raw_text import LocatedSentence, locate_sentences
from .reports import write_summary
from .semantic_roles import label_spans, role_examples, role_score
from .splits import load_splits

USAGE = """\
import modeling_elmo
from modeling_elmo.tasks.semantic_role_labeling import label_roles
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = modeling_elmo.ElmoForSemanticRoleLabeling.from_pretrained("{name}")
# The predicates are given, as words of the text or as the characters where they begin.
for frame in label_roles(model, tokenizer, "Ann sold the boat to Bo.", predicates=["sold"]):
    print(frame["rendering"])  # beside it frame["arguments"]: role, text, start and end in characters"""


@dataclass
class RoleSentence:
    """A sentence with its predicates, and the document part that it is from."""

    key: str
    part: int
    sentence: Sentence


def main(description: str | None = None) -> dict[str, dict[str, float]]:
    """Runs the recipe on the command line's options; the metrics of each split."""
    return run(*parse_arguments(DataArguments, description))


def run(data: DataArguments, model_arguments: ModelArguments, training: FinetuningArguments):
    """Trains, evaluates and writes model, card, metrics and `predictions_<split>.conll`: in the columns of CoNLL-2012
    the sentences with the arguments predicted for their predicates."""
    set_seed(training.seed)
    splits = load_splits(
        data,
        training.split_seed,
        lambda path, name: role_sentences(read_conll2012(path)),
        lambda rows: role_sentences(documents_from_dataset(rows)),
        lambda item: item.key,
    )
    for name, items in splits.items():
        if not any(item.sentence.frames for item in items):
            raise ValueError(f"the {name} data have no predicates: columns 7 and 8 name their lemmas and senses")
    labels = role_labels(splits["train"])
    tokenizer, model = load_model(
        model_arguments,
        ElmoForSemanticRoleLabeling,
        (item.sentence.words for item in splits["train"]),
        **label_options(labels),
        label_scheme="BIO",
    )
    examples = {
        name: role_examples(tokenizer, (item.sentence for item in items), model.config.label2id)
        for name, items in splits.items()
    }

    def arguments_of(name: str, logits: np.ndarray) -> list[list[tuple[str, tuple[int, int]]]]:
        return [label_spans(row) for row in words_labels(logits, examples[name], labels)]

    def metrics_of(name: str):
        gold = [frame.arguments for item in splits[name] for frame in item.sentence.frames]
        return lambda prediction: role_score(gold, arguments_of(name, prediction.predictions))

    training.prefer("f1")
    _, predictions, metrics = finetune(
        model,
        tokenizer,
        examples,
        metrics_of,
        data,
        model_arguments,
        training,
        summary="ELMo with a labeller of semantic roles (PropBank) for given predicates.",
        usage=USAGE,
    )
    if training.should_save:
        for name, output in predictions.items():
            documents = with_arguments(splits[name], arguments_of(name, output.predictions))
            write_conll2012(documents, Path(training.output_dir) / f"predictions_{name}.conll")
    write_summary(training, metrics=metrics, labels=labels)
    return metrics


# Data


def role_sentences(documents: Iterable[Document]) -> list[RoleSentence]:
    """All sentences of some documents."""
    return [
        RoleSentence(document.key, document.part, sentence)
        for document in documents
        for sentence in document.sentences
    ]


def role_labels(items: Sequence[RoleSentence]) -> list[str]:
    """`O`, and of every role that occurs the beginning and the inside."""
    frames = [frame for item in items for frame in item.sentence.frames]
    roles = sorted({role for frame in frames for role, _ in frame.arguments})
    return ["O", *(f"{place}-{role}" for role in roles for place in "BI")]


def with_arguments(
    items: Sequence[RoleSentence], predicted: Sequence[list[tuple[str, tuple[int, int]]]]
) -> list[Document]:
    """The sentences' documents with predicted arguments, given for each predicate in order."""
    arguments = iter(predicted)
    documents = []
    for (key, part), group in groupby(items, key=lambda item: (item.key, item.part)):
        sentences = []
        for item in group:
            frames = [replace(frame, arguments=next(arguments)) for frame in item.sentence.frames]
            sentences.append(replace(item.sentence, frames=frames))
        documents.append(Document(key, part, sentences, []))
    return documents


# Any text


@torch.no_grad()
def label_roles(
    model: ElmoForSemanticRoleLabeling,
    tokenizer: ElmoTokenizer,
    text: str,
    predicates: Sequence[str | int],
    language: str = "en",
    batch_size: int = 32,
) -> list[dict[str, Any]]:
    """The arguments of given predicates in a text of any length. What is a predicate the model does not decide.

    Args:
        predicates: words, all of whose occurrences are meant, or numbers of the characters where a predicate begins.
        language: of the text (ISO 639-1), for splitting it into sentences.
        batch_size: predicates at once.

    Returns:
        for each predicate, in the order of the text: `predicate`, `start`, `end` (characters), `arguments` (each with
        `role`, `text`, `start`, `end`) and `rendering`, the sentence with its arguments in brackets.

    Raises:
        ValueError: if a predicate is no word of the text.
    """
    sentences = locate_sentences(tokenizer, text, language)
    wanted, missing = set(predicates), set(predicates)
    chosen: list[tuple[LocatedSentence, int]] = []
    for sentence in sentences:
        for number, (word, (start, _)) in enumerate(zip(sentence.words, sentence.offsets, strict=True)):
            if word in wanted or start in wanted:
                chosen.append((sentence, number))
                missing -= {word, start}
    if missing:
        raise ValueError(f"no word of the text is, or begins at, {sorted(missing, key=str)}")
    frames = []
    for first in range(0, len(chosen), batch_size):
        batch = chosen[first : first + batch_size]
        labels = model.label([sentence.words for sentence, _ in batch], [number for _, number in batch], tokenizer)
        for (sentence, number), row in zip(batch, labels, strict=True):
            frames.append(located_frame(text, sentence, number, label_spans(row)))
    return frames


def located_frame(
    text: str, sentence: LocatedSentence, predicate: int, arguments: list[tuple[str, tuple[int, int]]]
) -> dict[str, Any]:
    """A predicate and its arguments with their places in the text, and the sentence with them in brackets."""
    start, end = sentence.offsets[predicate]
    found, rendering, position = [], "", sentence.offsets[0][0]
    for role, (first, last) in arguments:
        begin, stop = sentence.offsets[first][0], sentence.offsets[last][1]
        rendering += f"{text[position:begin]}[{role} {text[begin:stop]}]"
        position = stop
        if role != "V":
            found.append({"role": role, "text": text[begin:stop], "start": begin, "end": stop})
    rendering += text[position : sentence.offsets[-1][1]]
    return {"predicate": text[start:end], "start": start, "end": end, "arguments": found, "rendering": rendering}
