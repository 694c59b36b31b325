"""The recipe for coreference resolution in the columns of CoNLL-2012, and chains in any text."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import EvalPrediction, set_seed

from tokenization_elmo import ElmoTokenizer

from ..modeling_elmo import evaluation_mode
from ..modeling_elmo_coreference import ElmoForCoreferenceResolution, clusters_of
from .arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments
from .conll2012 import Document, Sentence, Span, read_conll2012, write_conll2012
from .coreference_documents import DocumentCollator, cut_document, document_example, gold_chains
from .finetuning import finetune, load_model
from .gap import AmbiguousPronoun, TextSpan, decide, gap_scores, read_gap
from .metrics import CoreferenceScorer
from .ontonotes_rows import documents_from_dataset
from .raw_text import locate_sentences
from .reports import write_summary
from .splits import load_splits

Chains = list[list[Span]]

USAGE = """\
import modeling_elmo
from modeling_elmo.tasks.coreference import resolve_text
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = modeling_elmo.ElmoForCoreferenceResolution.from_pretrained("{name}")
result = resolve_text(model, tokenizer, "Ann met Bo. She liked him.")
print(result["rendering"])  # beside it result["clusters"]: text, start and end in characters"""


@dataclass
class CoreferenceArguments(DataArguments):
    max_training_sentences: int = field(
        default=50, metadata={"help": "Of a longer document each epoch trains on so many neighbouring sentences."}
    )
    singletons: bool = field(
        default=False,
        metadata={"help": "Learn, predict and score mentions that nothing else refers to (LitBank). Else left out."},
    )
    genres: bool = field(
        default=False, metadata={"help": "Use the genre, which OntoNotes names at the beginning of a document's key."}
    )
    max_span_width: int = field(default=30, metadata={"help": "Words of the longest mention."})
    top_span_ratio: float = field(default=0.4, metadata={"help": "Mention candidates for each word."})
    gap_file: str | None = field(default=None, metadata={"help": "After training: F1 and bias on GAP's TSV."})
    winobias_files: list[str] = field(
        default_factory=list, metadata={"help": "After training: the share of documents whose links are all found."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.max_training_sentences < 1:
            raise ValueError(f"--max_training_sentences is {self.max_training_sentences}; it must be at least 1")
        names = [winobias_name(path) for path in self.winobias_files]
        if len(set(names)) < len(names):
            raise ValueError(f"--winobias_files would share a name in the results ({names}): rename one of them")


@dataclass
class CoreferenceTraining(FinetuningArguments):
    per_device_train_batch_size: int = 1
    per_device_eval_batch_size: int = 1
    remove_unused_columns: bool = False

    def __post_init__(self):
        super().__post_init__()
        if (self.per_device_train_batch_size, self.per_device_eval_batch_size) != (1, 1):
            raise ValueError("a batch is one document: leave the batch sizes at 1, use --gradient_accumulation_steps")


def main(description: str | None = None) -> dict[str, dict[str, float]]:
    """Runs the recipe on the command line's options; the metrics of each split."""
    return run(*parse_arguments(CoreferenceArguments, description, CoreferenceTraining))


def run(data: CoreferenceArguments, model_arguments: ModelArguments, training: CoreferenceTraining):
    """Trains, evaluates on whole documents and writes model, card, metrics and `predictions_<split>.conll`, the
    documents with their predicted chains."""
    set_seed(training.seed)
    splits = load_splits(
        data,
        training.split_seed,
        lambda path, name: list(read_conll2012(path)),
        documents_from_dataset,
        lambda document: document.key,
    )
    gold = {
        name: [gold_chains(document, data.singletons) for document in documents] for name, documents in splits.items()
    }
    if not any(gold["train"]):
        raise ValueError("the training data have no chains in their last column")
    # What is evaluated at the end is read now: a wrong file must not cost the training.
    gap = read_gap(data.gap_file) if data.gap_file else None
    winobias = {winobias_name(path): read_winobias(path) for path in data.winobias_files}
    genres = (
        [genre for genre, _ in Counter(each.genre for each in splits["train"]).most_common()] if data.genres else []
    )
    tokenizer, model = load_model(
        model_arguments,
        ElmoForCoreferenceResolution,
        (sentence.words for document in splits["train"] for sentence in document.sentences),
        predict_singletons=data.singletons,
        coreference_genres=genres,
        max_span_width=data.max_span_width,
        top_span_ratio=data.top_span_ratio,
    )
    examples = {
        name: [
            document_example(tokenizer, document, chains, genre_number(model.config, document.genre))
            for document, chains in zip(documents, gold[name], strict=True)
        ]
        for name, documents in splits.items()
    }

    def metrics_of(name: str):
        def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
            return score(gold[name], predicted_chains(prediction.predictions, data.singletons))

        return compute_metrics

    training.prefer("conll_f1")
    trainer, predictions, metrics = finetune(
        model,
        tokenizer,
        examples,
        metrics_of,
        data,
        model_arguments,
        training,
        summary="ELMo with coreference resolution: which expressions of a text refer to the same.",
        usage=USAGE,
        collator=DocumentCollator(tokenizer),
        change=partial(cut_document, max_sentences=data.max_training_sentences),
    )
    if training.should_save:
        for name, output in predictions.items():
            chains = predicted_chains(output.predictions, data.singletons)
            documents = [replace(each, clusters=found) for each, found in zip(splits[name], chains, strict=True)]
            write_conll2012(documents, Path(training.output_dir) / f"predictions_{name}.conll")
    if gap is not None:
        metrics["gap"] = evaluate_gap(model, tokenizer, gap)
        trainer.log_metrics("gap", metrics["gap"])
    for name, documents in winobias.items():
        metrics[name] = {"accuracy": link_accuracy(model, tokenizer, documents)}
        trainer.log_metrics(name, metrics[name])
    write_summary(training, metrics=metrics, genres=genres)
    return metrics


def predicted_chains(outputs: Sequence[Any], singletons: bool) -> list[Chains]:
    """The chains of each document by what Trainer collects of [`ElmoCoreferenceOutput`]: spans, antecedents and
    mention scores, padded by -100."""
    documents = []
    for spans, antecedents, scores in zip(*outputs, strict=True):
        count = int((spans[:, 0] >= 0).sum())
        rows = spans[:count].tolist(), antecedents[:count].tolist()
        documents.append(clusters_of(*rows, scores[:count].tolist() if singletons else None))
    return documents


def score(gold: Sequence[Chains], predicted: Sequence[Chains]) -> dict[str, float]:
    """The measures of CoNLL-2012 in per cent, `conll_f1` the average of three."""
    scorer = CoreferenceScorer()
    for chains, found in zip(gold, predicted, strict=True):
        scorer.add(chains, found)
    return scorer.as_dict()


def genre_number(config, genre: str | None) -> int | None:
    """What the model knows a genre by: None for a model without genres; by default the commonest in training.

    Raises:
        ValueError: if training had no such genre.
    """
    genres = config.coreference_genres
    if not genres:
        return None
    if genre is None:
        return 0
    if genre not in genres:
        raise ValueError(f"the model has not seen the genre {genre!r} in training, only {genres}")
    return genres.index(genre)


# Whole documents


@torch.no_grad()
def resolve_document(
    model: ElmoForCoreferenceResolution, tokenizer: ElmoTokenizer, document: Document, genre: str | None = None
) -> Chains:
    """The chains of a document of any length, sorted; the model reads it by segments, in bounded memory.

    Args:
        document: its sentences and their speakers are read.
        genre: where the model uses genres; by default the commonest in its training.
    """
    if not document.sentences:
        return []
    example = document_example(tokenizer, document, genre=genre_number(model.config, genre))
    batch = DocumentCollator(tokenizer)([example])
    batch = {name: values.to(model.device) for name, values in batch.items()}
    with evaluation_mode(model):
        return sorted(model.clusters(model(**batch, return_dict=True)))


# Any text


def resolve_text(
    model: ElmoForCoreferenceResolution,
    tokenizer: ElmoTokenizer,
    text: str,
    genre: str | None = None,
    language: str = "en",
) -> dict[str, Any]:
    """The chains of a raw text of any length.

    Args:
        genre: where the model uses genres; by default the commonest in its training.
        language: of the text (ISO 639-1), for splitting it into sentences.

    Returns:
        `clusters`, each a list of mentions with `text`, `start` and `end` in characters; and `rendering`, the text
        with its mentions in brackets, those of a chain with the same number: `[Ann]_1 met [Bo]_2`.
    """
    chains = text_chains(model, tokenizer, text, genre, language)
    clusters = [[{"text": text[start:end], "start": start, "end": end} for start, end in chain] for chain in chains]
    return {"clusters": clusters, "rendering": render(text, chains)}


def text_chains(model, tokenizer, text: str, genre: str | None = None, language: str = "en") -> list[list[TextSpan]]:
    """The chains of a raw text in characters."""
    sentences = locate_sentences(tokenizer, text, language)
    offsets = [place for sentence in sentences for place in sentence.offsets]
    rows = [
        Sentence(sentence.words, ["-"] * len(sentence.words), ["-"] * len(sentence.words)) for sentence in sentences
    ]
    chains = resolve_document(model, tokenizer, Document("text", 0, rows, []), genre)
    return [[(offsets[first][0], offsets[last][1]) for first, last in chain] for chain in chains]


def render(text: str, chains: Sequence[Sequence[TextSpan]]) -> str:
    """The text with its mentions in brackets, numbered by chain from 1."""
    opened: dict[int, str] = defaultdict(str)
    closed: dict[int, str] = defaultdict(str)
    mentions = [(start, end, number) for number, chain in enumerate(chains, 1) for start, end in chain]
    # What begins later ends first.
    for start, end, number in sorted(mentions, key=lambda mention: (-mention[0], mention[1])):
        opened[start] += "["
        closed[end] += f"]_{number}"
    edges = sorted({0, len(text), *opened, *closed})
    pieces = [closed[start] + opened[start] + text[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    return "".join(pieces) + closed[len(text)] if edges[1:] else text


# Other tests


def evaluate_gap(
    model: ElmoForCoreferenceResolution, tokenizer: ElmoTokenizer, examples: Sequence[AmbiguousPronoun]
) -> dict[str, float]:
    """What [`gap_scores`] says of the chains predicted for the raw texts of GAP's examples."""
    decisions = [
        decide(example, text_chains(model, tokenizer, example.text)) for example in tqdm(examples, desc="GAP")
    ]
    return gap_scores(examples, decisions)


def winobias_name(path: str) -> str:
    """What a file is called in the results."""
    return "winobias_" + Path(path).name.partition(".")[0]


def read_winobias(path: str | Path) -> list[Document]:
    documents = list(read_conll2012(path))
    if not documents:
        raise ValueError(f"{path} has no documents")
    return documents


def link_accuracy(
    model: ElmoForCoreferenceResolution, tokenizer: ElmoTokenizer, documents: Sequence[Document]
) -> float:
    """The share of documents in per cent each of whose gold chains lies in one predicted chain: for WinoBias (Zhao et
    al., 2018), where a document is a sentence with one pronoun and its referent."""
    right = []
    for document in tqdm(documents, desc="WinoBias"):
        found = [set(chain) for chain in resolve_document(model, tokenizer, document)]
        chains = gold_chains(document, singletons=False)
        right.append(all(any(set(chain) <= other for other in found) for chain in chains))
    return 100 * sum(right) / len(right)
