"""From words and labels to the examples that Trainer reads, and from examples to batches.

An example is a dict of arrays without padding: what the tokenizer makes of one text or pair, and `labels`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tokenization_elmo import ElmoTokenizer

Text = str | Sequence[str]

TEXTS_PER_CALL = 256


def encode_texts(
    tokenizer: ElmoTokenizer, texts: Sequence[Text], pairs: Sequence[Text] | None = None
) -> list[dict[str, np.ndarray]]:
    """An example for each text or pair, which are raw strings or (all of them) lists of words."""
    return [example for example, _ in _encoded(tokenizer, texts, pairs)]


def encode_tagged(
    tokenizer: ElmoTokenizer, sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[int]]
) -> list[dict[str, np.ndarray]]:
    """An example for each sentence; `labels` has a number for each word, boundary marks get -100."""
    examples = []
    for number, (example, word_ids) in enumerate(_encoded(tokenizer, sentences, None)):
        if len(labels[number]) != len(sentences[number]):
            raise ValueError(f"sentence {number} has {len(sentences[number])} words and {len(labels[number])} labels")
        example["labels"] = np.array([-100 if word is None else labels[number][word] for word in word_ids])
        examples.append(example)
    return examples


def words_labels(
    logits: np.ndarray, examples: Sequence[dict[str, np.ndarray]], labels: Sequence[str]
) -> list[list[str]]:
    """Names of the labels predicted for the words of examples of [`encode_tagged`], where they stand between two
    boundary marks."""
    return [
        [labels[label] for label in row[1 : len(example["input_ids"]) - 1].argmax(-1)]
        for row, example in zip(logits, examples, strict=True)
    ]


def _encoded(tokenizer, texts, pairs) -> Iterator[tuple[dict[str, np.ndarray], list[int | None]]]:
    """Examples, and the number of the word that each of their tokens is."""
    is_split = len(texts) > 0 and not isinstance(texts[0], str)
    marks = (tokenizer.bos_token, tokenizer.eos_token)

    def plain(text: Text) -> Text:
        # A word that is written like a boundary mark would be one to the heads, and no word.
        return text if isinstance(text, str) else [word.lower() if word in marks else word for word in text]

    for start in range(0, len(texts), TEXTS_PER_CALL):
        chunk = slice(start, start + TEXTS_PER_CALL)
        batch = tokenizer(
            list(map(plain, texts[chunk])),
            None if pairs is None else list(map(plain, pairs[chunk])),
            is_split_into_words=is_split,
            padding=True,
            return_tensors="np",
        )
        mask = batch["attention_mask"].astype(bool)
        for row in range(len(mask)):
            # A copy, so that the batch's padding is not kept in memory.
            example = {name: values[row][mask[row]].copy() for name, values in batch.items()}
            word_ids = [word for word, is_token in zip(batch.word_ids(row), mask[row], strict=True) if is_token]
            yield example, word_ids


class PaddingCollator:
    """Batches of examples: the arrays of a name padded to the longest one at the right and stacked.

    Word ids are padded by the tokenizer's padding id, labels by -100, all else by 0. Unlike the collators of
    transformers it takes arrays of any shape and so the biLM's layers too.
    """

    def __init__(self, tokenizer: ElmoTokenizer):
        self.padding = {"input_ids": tokenizer.pad_token_id, "labels": -100}

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = {}
        for name in examples[0]:
            values = [torch.as_tensor(np.asarray(example[name])) for example in examples]
            if values[0].dim():
                batch[name] = torch.nn.utils.rnn.pad_sequence(values, True, self.padding.get(name, 0))
            else:
                batch[name] = torch.stack(values)
        return batch
