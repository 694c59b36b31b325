"""Documents for coreference resolution: as examples for Trainer, as batches, cut for training.

An example is a document: the arrays of its sentences one after the other, `token_type_ids` numbering the sentences, so
that the biLM reads each alone; `speaker_ids`, a number for each token; `labels` (mentions, 3), first word, last word
and chain of each, words counted without boundary marks; and `genre` where the model uses it.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokenization_elmo import ElmoTokenizer

from .conll2012 import Document, Sentence, Span
from .examples import PaddingCollator, encode_texts

logger = logging.getLogger(__name__)

UNKNOWN_SPEAKERS = ("-", "_", "*", "")


def gold_chains(document: Document, singletons: bool) -> list[list[Span]]:
    """A document's chains, each mention in one of them: a span that stands in two belongs to the first.

    Args:
        singletons: whether chains of one mention count.
    """
    seen: set[Span] = set()
    chains = []
    for cluster in document.clusters:
        chain = [span for span in dict.fromkeys(cluster) if span not in seen]
        seen.update(chain)
        if len(chain) > (0 if singletons else 1):
            chains.append(chain)
    if len(seen) < sum(map(len, document.clusters)):
        logger.warning("%s: some mentions stand in two chains; the first counts", document.key)
    return chains


def document_example(
    tokenizer: ElmoTokenizer,
    document: Document,
    chains: Sequence[Sequence[Span]] | None = None,
    genre: int | None = None,
) -> dict[str, np.ndarray]:
    """A document's example; without `chains` it has no labels. An empty document is one of an empty sentence."""
    rows = document.sentences or [Sentence([], [], [])]
    sentences = encode_texts(tokenizer, [sentence.words for sentence in rows])
    example = {
        name: np.concatenate([sentence[name] for sentence in sentences])
        for name in ("character_ids", "input_ids", "attention_mask")
    }
    example["token_type_ids"] = np.repeat(np.arange(len(sentences)), [len(each["input_ids"]) for each in sentences])
    numbers: dict[str, int] = dict.fromkeys(UNKNOWN_SPEAKERS, 0)
    speakers = []
    for sentence in rows:
        row = [numbers.setdefault(speaker, len(numbers) - len(UNKNOWN_SPEAKERS) + 1) for speaker in sentence.speakers]
        speakers += [0, *row, 0]  # boundary marks
    example["speaker_ids"] = np.array(speakers)
    if chains is not None:
        mentions = [(first, last, number) for number, chain in enumerate(chains) for first, last in chain]
        example["labels"] = np.array(mentions, dtype=np.int64).reshape(-1, 3)
    if genre is not None:
        example["genre"] = np.array(genre)
    return example


def cut_document(
    example: dict[str, np.ndarray], generator: np.random.Generator, max_sentences: int
) -> dict[str, np.ndarray]:
    """Some neighbouring sentences of a document, chosen at random, and the mentions that they hold; the document
    itself if it has no more."""
    sentences = example["token_type_ids"]
    count = int(sentences[-1]) + 1
    if count <= max_sentences:
        return example
    first = int(generator.integers(count - max_sentences + 1))
    tokens = (sentences >= first) & (sentences < first + max_sentences)
    # Of each sentence two tokens are boundary marks.
    start = int((sentences < first).sum()) - 2 * first
    end = start + int(tokens.sum()) - 2 * max_sentences
    cut = {name: values[tokens] for name, values in example.items() if name not in ("labels", "genre")}
    labels = example["labels"]
    cut["labels"] = labels[(labels[:, 0] >= start) & (labels[:, 1] < end)] - (start, start, 0)
    if "genre" in example:
        cut["genre"] = example["genre"]
    return cut


class DocumentCollator:
    """A batch is one document, its rows the sentences."""

    def __init__(self, tokenizer: ElmoTokenizer):
        self.pad = PaddingCollator(tokenizer)

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if len(examples) != 1:
            raise ValueError(f"a batch is one document, not {len(examples)}: batch sizes must be 1")
        example = dict(examples[0])
        whole = {name: torch.as_tensor(example.pop(name)) for name in ("labels", "genre") if name in example}
        edges = np.flatnonzero(np.diff(example.pop("token_type_ids"))) + 1
        columns = {name: np.split(np.asarray(values), edges) for name, values in example.items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        batch = self.pad(rows)
        if "labels" in whole:
            batch["labels"] = whole["labels"][None]
        if "genre" in whole:
            batch["genre"] = whole["genre"]
        return batch
