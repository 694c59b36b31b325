"""The recipe for texts and pairs of texts: classes, several labels at once, or numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from transformers import AutoModelForSequenceClassification, set_seed

from tokenization_elmo import ElmoTokenizer

from .arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments
from .examples import Text, encode_texts
from .finetuning import finetune, label_options, load_model
from .reports import write_summary
from .sentiment_trees import read_trees
from .splits import load_splits
from .tables import read_table, require_columns, write_jsonl

FORMATS = ("trees", "tsv", "jsonl")


@dataclass
class LabelledText:
    """A text or a pair, each a string or a list of words; `label` is a class's name, a list of them, or a number."""

    text: Text
    pair: Text | None
    label: Any

    @property
    def texts(self) -> list[Text]:
        return [self.text] if self.pair is None else [self.text, self.pair]


@dataclass
class TextArguments(DataArguments):
    file_format: str | None = field(
        default=None,
        metadata={
            "help": "tsv, jsonl or trees (in brackets, a class at every phrase). By default tsv or jsonl, as the "
            "file's name ends."
        },
    )
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = field(default="label", metadata={"help": "In JSON lines a list means several labels."})
    ignored_labels: list[str] = field(
        default_factory=list, metadata={"help": "Rows with these labels are left out, as SNLI's '-'."}
    )
    regression: bool = field(default=False, metadata={"help": "The labels are numbers."})
    sentences_only: bool = field(
        default=False, metadata={"help": "Of trees train on whole sentences only, not on every phrase."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.file_format not in (None, *FORMATS):
            raise ValueError(f"--file_format is {self.file_format!r}; it must be one of {FORMATS}")
        if self.file_format == "trees" and self.validation_fraction and not self.sentences_only:
            raise ValueError(
                "--validation_fraction would hold out phrases of sentences that are trained on: "
                "give --validation_file, or --sentences_only"
            )

    @property
    def columns(self) -> list[str]:
        return [self.text_column, self.label_column, *([self.text_pair_column] if self.text_pair_column else [])]


def main(
    description: str | None = None, arguments: type[TextArguments] = TextArguments
) -> dict[str, dict[str, float]]:
    """Runs the recipe on the command line's options; the metrics of each split."""
    return run(*parse_arguments(arguments, description))


def run(data: TextArguments, model_arguments: ModelArguments, training: FinetuningArguments):
    """Trains, evaluates and writes model, card, metrics, `predictions_<split>.jsonl` and, in `summary.json`, what a
    bag of words with a linear model reaches."""
    set_seed(training.seed)
    splits = load_splits(
        data,
        training.split_seed,
        lambda path, name: read_texts(path, data, is_training=name == "train"),
        lambda rows: from_dataset(rows, data),
        lambda item: str(item.text),
    )
    task = Task.of(splits["train"], data.regression)
    tokenizer, model = load_model(
        model_arguments,
        AutoModelForSequenceClassification,
        (text for item in splits["train"] for text in item.texts),
        **task.config,
    )
    examples = {name: task.encode(tokenizer, items) for name, items in splits.items()}
    training.prefer(task.main_metric)
    _, predictions, metrics = finetune(
        model,
        tokenizer,
        examples,
        lambda name: task.compute_metrics,
        data,
        model_arguments,
        training,
        summary="ELMo with a head that classifies texts." if task.labels else "ELMo that rates texts.",
    )
    if not training.should_save:
        return metrics
    for name, output in predictions.items():
        rows = task.describe(splits[name], output.predictions)
        write_jsonl(Path(training.output_dir) / f"predictions_{name}.jsonl", rows)
    baseline = bag_of_words(task, splits)
    for name, values in baseline.items():
        scores = ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        print(f"bag of words, {name}: {scores}")
    write_summary(training, metrics=metrics, bag_of_words=baseline, labels=task.labels)
    return metrics


# Reading


def read_texts(path: str, data: TextArguments, is_training: bool) -> list[LabelledText]:
    """A file's items; of trees every phrase once for training, else whole sentences."""
    if data.file_format == "trees":
        trees = read_trees(path)
        if not is_training or data.sentences_only:
            return [LabelledText(tree.words, None, tree.label) for tree in trees]
        phrases = {(tuple(phrase.words), phrase.label) for tree in trees for phrase in tree.phrases()}
        return [LabelledText(list(words), None, label) for words, label in sorted(phrases)]
    rows = read_table(path, data.columns, data.file_format)
    return _from_rows(((f"{path}:{number}", row) for number, row in rows), data)


def from_dataset(dataset, data: TextArguments) -> list[LabelledText]:
    """The items of a `datasets.Dataset`; classes get their names."""
    require_columns(dataset, data.columns, data.dataset_name)
    name = data.label_column
    classes = getattr(dataset.features[name], "feature", dataset.features[name])  # of a list: that of its entries
    rows: Iterable[tuple[int, dict[str, Any]]] = enumerate(dataset)
    if hasattr(classes, "int2str"):
        rows = (
            (number, row if row[name] is None else row | {name: classes.int2str(row[name])})
            for number, row in rows
            if row[name] != -1
        )
    return _from_rows(((f"{data.dataset_name}, row {number}", row) for number, row in rows), data)


def _from_rows(rows: Iterable[tuple[str, dict[str, Any]]], data: TextArguments) -> list[LabelledText]:
    """The items of rows; where each of them stands begins the message if it is malformed."""
    items: list[LabelledText] = []
    for where, row in rows:
        label = row[data.label_column]
        if str(label) in data.ignored_labels:
            continue
        text, pair = (
            None if column is None else _text(row[column], f"{where}: {column!r}")
            for column in (data.text_column, data.text_pair_column)
        )
        if pair is not None and isinstance(text, list) != isinstance(pair, list):
            raise ValueError(f"{where}: of a pair both must be texts, or both lists of words: {row}")
        items.append(LabelledText(text, pair, _label(label, data.regression, where)))
        if _shape(items[-1]) != _shape(items[0]):
            raise ValueError(f"{where}: lists stand in other columns than in the first row: {row}")
    return items


def _text(value: Any, what: str) -> Text:
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in words):
        raise ValueError(f"{what} is {value!r}; it must be a text, or a list of words")
    return value


def _label(value: Any, regression: bool, where: str) -> Any:
    if regression:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{where}: the label {value!r} is no number, but --regression is given")
        return number
    if value is None:
        raise ValueError(f"{where}: there is no label; leave such rows out by --ignored_labels None")
    return [str(part) for part in value] if isinstance(value, list) else str(value)


def _shape(item: LabelledText) -> list[bool]:
    return [isinstance(value, list) for value in (item.text, item.pair, item.label)]


# The task


@dataclass
class Task:
    """What the labels are: `config` says it to the model, `labels` are the classes' names (none for numbers)."""

    kind: str
    labels: list[str]

    @classmethod
    def of(cls, items: Sequence[LabelledText], regression: bool) -> "Task":
        if regression:
            return cls("regression", [])
        if isinstance(items[0].label, list):
            names = {name for item in items for name in item.label}
            if not names:
                raise ValueError("no row of the training data has a label")
            return cls("multi_label_classification", sorted(names))
        labels = sorted({item.label for item in items})
        if len(labels) < 2:
            raise ValueError(f"the training data have {len(labels)} classes ({labels}); there must be at least 2")
        return cls("single_label_classification", labels)

    @property
    def config(self) -> dict[str, Any]:
        if not self.labels:
            return {"problem_type": self.kind, "num_labels": 1}
        return {"problem_type": self.kind, **label_options(self.labels)}

    @property
    def main_metric(self) -> str:
        names = {"regression": "pearson", "multi_label_classification": "micro_f1"}
        return names.get(self.kind, "accuracy")

    def targets(self, items: Sequence[LabelledText]) -> np.ndarray:
        """Numbers `(n,)`, classes `(n,)`, or 0 and 1 for each label `(n, labels)`."""
        if self.kind == "regression":
            return np.array([item.label for item in items], dtype=np.float32)
        numbers = {label: index for index, label in enumerate(self.labels)}
        several = self.kind == "multi_label_classification"
        for item in items:
            if isinstance(item.label, list) != several:
                raise ValueError(
                    f"the label {item.label!r} is {'no' if several else 'a'} list, unlike in the training data"
                )
            for label in item.label if several else [item.label]:
                if label not in numbers:
                    raise ValueError(f"the label {label!r} does not occur in the training data ({self.labels})")
        if self.kind == "single_label_classification":
            return np.array([numbers[item.label] for item in items])
        return np.array([[label in item.label for label in self.labels] for item in items], dtype=np.float32)

    def encode(self, tokenizer: ElmoTokenizer, items: Sequence[LabelledText]) -> list[dict[str, np.ndarray]]:
        pairs = None if items[0].pair is None else [item.pair for item in items]
        examples = encode_texts(tokenizer, [item.text for item in items], pairs)
        for example, target in zip(examples, self.targets(items), strict=True):
            example["labels"] = target
        return examples

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """What the logits say, in the form of `targets`."""
        if self.kind == "regression":
            return logits.reshape(-1)
        return logits.argmax(-1) if self.kind == "single_label_classification" else (logits > 0).astype(np.float32)

    def score(self, targets: np.ndarray, decisions: np.ndarray) -> dict[str, float]:
        if self.kind == "regression":
            return {
                "pearson": correlation(pearsonr, targets, decisions),
                "spearman": correlation(spearmanr, targets, decisions),
                "mse": float(mean_squared_error(targets, decisions)),
            }
        classes = None
        if targets.shape[1:] == (1,):  # one label of many: scikit-learn would take its absence for another class
            targets, decisions, classes = targets.reshape(-1), decisions.reshape(-1), [1]
        scores = {
            "accuracy": float(accuracy_score(targets, decisions)),
            "macro_f1": float(f1_score(targets, decisions, average="macro", labels=classes, zero_division=0)),
        }
        if self.kind == "multi_label_classification":
            scores["micro_f1"] = float(f1_score(targets, decisions, average="micro", labels=classes, zero_division=0))
        return scores

    def compute_metrics(self, prediction) -> dict[str, float]:
        return self.score(prediction.label_ids, self.decide(prediction.predictions))

    def describe(self, items: Sequence[LabelledText], logits: np.ndarray) -> list[dict[str, Any]]:
        """A readable row for each item."""
        rows = []
        for item, decision, scores in zip(items, self.decide(logits), logits.reshape(len(items), -1), strict=True):
            row = {"text": item.text} | ({"pair": item.pair} if item.pair is not None else {})
            if self.kind == "regression":
                rows.append(row | {"label": item.label, "prediction": float(decision)})
                continue
            if self.kind == "single_label_classification":
                shares = softmax(scores)
                predicted = self.labels[decision]
            else:
                shares = expit(scores)
                predicted = [label for label, chosen in zip(self.labels, decision, strict=True) if chosen]
            named = {label: round(float(share), 4) for label, share in zip(self.labels, shares, strict=True)}
            rows.append(row | {"label": item.label, "prediction": predicted, "scores": named})
        return rows


def correlation(measure: Callable, targets: np.ndarray, decisions: np.ndarray) -> float:
    """A coefficient of correlation; 0 where one side is constant, for which it is not defined."""
    constant = np.ptp(targets) == 0 or np.ptp(decisions) == 0
    return 0.0 if constant else float(measure(targets, decisions).statistic)


# Bag of words


def bag_of_words(task: Task, splits: dict[str, list[LabelledText]]) -> dict[str, dict[str, float]]:
    """What a linear model over words and pairs of neighbours reaches, as a yardstick: logistic regression, or ridge
    regression for numbers. Of a pair of texts each has its own features."""
    split_words = ElmoTokenizer().split_words
    rows = {
        name: [[split_words(text) if isinstance(text, str) else text for text in item.texts] for item in items]
        for name, items in splits.items()
    }
    # One for each text of a pair; the texts are lists of words already.
    counters = [
        CountVectorizer(
            preprocessor=itemgetter(side), tokenizer=list, token_pattern=None, ngram_range=(1, 2), binary=True
        )
        for side in range(1 if splits["train"][0].pair is None else 2)
    ]
    linear = Ridge() if task.kind == "regression" else LogisticRegression(max_iter=1000)
    if task.kind == "multi_label_classification":
        linear = OneVsRestClassifier(linear)
    model = make_pipeline(make_union(*counters), linear).fit(rows["train"], task.targets(splits["train"]))
    return {
        name: task.score(task.targets(splits[name]), model.predict(rows[name])) for name in rows if name != "train"
    }
