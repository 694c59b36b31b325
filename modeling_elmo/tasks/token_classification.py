"""The recipe for a label at every word: named entities (BIO, BIOES) and parts of speech."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from transformers import AutoModelForTokenClassification, set_seed

from ..text_files import suffix
from .arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments
from .examples import encode_tagged, words_labels
from .finetuning import finetune, label_options, load_model
from .reports import write_summary
from .splits import load_splits
from .tables import require_columns
from .tagged_text import TaggedSentence, read_columns, read_conllu, to_bio, to_bioes, write_columns

FORMATS = ("columns", "conllu")


@dataclass
class TaggingArguments(DataArguments):
    file_format: str | None = field(
        default=None,
        metadata={"help": "columns (CoNLL-2003) or conllu. By default conllu for files that end so, else columns."},
    )
    label_column: str | None = field(
        default=None,
        metadata={
            "help": "In columns a number, by default -1, the last; in CoNLL-U a name, by default upos; in a data set "
            "of the Hub a name, by default tags."
        },
    )
    words_column: str = field(default="tokens", metadata={"help": "In a data set of the Hub."})
    label_scheme: str = field(
        default="BIO", metadata={"help": "What entity labels are converted to: BIO or BIOES. IOB1 is read too."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.file_format not in (None, *FORMATS):
            raise ValueError(f"--file_format is {self.file_format!r}; it must be one of {FORMATS}")
        if self.label_scheme not in ("BIO", "BIOES"):
            raise ValueError(f"--label_scheme is {self.label_scheme!r}; it must be BIO or BIOES")


def main(description: str | None = None) -> dict[str, dict[str, float]]:
    """Runs the recipe on the command line's options; the metrics of each split."""
    return run(*parse_arguments(TaggingArguments, description))


def run(data: TaggingArguments, model_arguments: ModelArguments, training: FinetuningArguments):
    """Trains, evaluates and writes model, card, metrics and `predictions_<split>.txt` in the columns word, label,
    prediction."""
    set_seed(training.seed)
    splits = load_splits(
        data,
        training.split_seed,
        lambda path, name: read_tagged(path, data),
        lambda rows: from_dataset(rows, data),
        lambda sentence: " ".join(sentence.words),
    )
    entities = all(is_entity_label(label) for item in splits["train"] for label in item.labels)
    if entities:
        for items in splits.values():
            for item in items:
                item.labels = to_bio(item.labels)
                if data.label_scheme == "BIOES":
                    item.labels = to_bioes(item.labels)
    labels = sorted({label for item in splits["train"] for label in item.labels})
    tokenizer, model = load_model(
        model_arguments,
        AutoModelForTokenClassification,
        (item.words for item in splits["train"]),
        **label_options(labels),
        label_scheme=data.label_scheme if entities else "none",
    )
    # A label that training never showed cannot be learnt: at such a word any prediction is wrong.
    examples = {
        name: encode_tagged(
            tokenizer,
            [item.words for item in items],
            [[model.config.label2id.get(label, -100) for label in item.labels] for item in items],
        )
        for name, items in splits.items()
    }

    def predicted_labels(name: str, logits: np.ndarray) -> list[list[str]]:
        return words_labels(logits, examples[name], labels)

    def metrics_of(name: str):
        # Of the words themselves, with labels that training never showed.
        gold = [item.labels for item in splits[name]]
        return lambda prediction: score(gold, predicted_labels(name, prediction.predictions), entities)

    training.prefer("f1" if entities else "accuracy")
    _, predictions, metrics = finetune(
        model,
        tokenizer,
        examples,
        metrics_of,
        data,
        model_arguments,
        training,
        summary="ELMo with a tagger that finds named entities." if entities else "ELMo with a tagger of words.",
    )
    if training.should_save:
        for name, output in predictions.items():
            rows = [
                list(zip(item.words, item.labels, row, strict=True))
                for item, row in zip(splits[name], predicted_labels(name, output.predictions), strict=True)
            ]
            write_columns(Path(training.output_dir) / f"predictions_{name}.txt", rows)
    write_summary(training, metrics=metrics, labels=labels)
    return metrics


def read_tagged(path: str, data: TaggingArguments) -> list[TaggedSentence]:
    """A file's sentences."""
    file_format = data.file_format or ("conllu" if suffix(path) == ".conllu" else "columns")
    if file_format == "conllu":
        return read_conllu(path, data.label_column or "upos")
    try:
        column = int(data.label_column or -1)
    except ValueError:
        raise ValueError(f"--label_column is {data.label_column!r}; in columns it must be a number") from None
    return read_columns(path, column)


def from_dataset(dataset, data: TaggingArguments) -> list[TaggedSentence]:
    """The sentences of a `datasets.Dataset`; classes get their names."""
    column = data.label_column or "tags"
    require_columns(dataset, [data.words_column, column], data.dataset_name)
    for each in (data.words_column, column):
        if not hasattr(dataset.features[each], "feature"):
            raise ValueError(f"{data.dataset_name}: the column {each!r} has no lists, with a value for each word")
    feature = dataset.features[column].feature
    name = feature.int2str if hasattr(feature, "int2str") else str
    return [
        TaggedSentence(list(row[data.words_column]), [name(label) for label in row[column]])
        for row in dataset
        if row[data.words_column]
    ]


def is_entity_label(label: str) -> bool:
    return label == "O" or label[:2] in ("B-", "I-", "E-", "S-")


def score(gold: list[list[str]], predicted: list[list[str]], entities: bool) -> dict[str, float]:
    """Accuracy of words, and of entities precision, recall and F1."""
    scores = {"accuracy": accuracy_score(gold, predicted)}
    if entities:
        names = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
        scores |= {name: float(measure(gold, predicted, zero_division=0)) for name, measure in names.items()}
    return scores
