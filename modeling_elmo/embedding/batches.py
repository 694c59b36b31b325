"""Which sentences are computed together.

Sums in floating point depend, in their last bit, on the number of rows of a matrix product. So batches are made by a
fixed rule from the sentences' lengths alone: the same text gives the same numbers in every run, whether it was
interrupted or not, and there is no batch size that could change them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

# Positions, padding included, that are computed at once: about 1 GB with the original model, and enough to keep its
# matrix products busy on a GPU.
BATCH_TOKENS = 4096
# Positions read ahead and sorted by length, so that a batch holds sentences of about one length.
WINDOW_TOKENS = 8 * BATCH_TOKENS

Item = TypeVar("Item")
Result = TypeVar("Result")


def windows(items: Iterable[Item], num_words: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Cuts a stream into runs of consecutive sentences, which are read ahead together."""
    window, tokens = [], 0
    for item in items:
        window.append(item)
        tokens += num_words(item) + 2
        if tokens >= WINDOW_TOKENS:
            yield window
            window, tokens = [], 0
    if window:
        yield window


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Groups the sentences of a window, given their numbers of words, into batches of about one length.

    Yields the sentences' numbers. A batch has at most `BATCH_TOKENS` positions, boundaries and padding included; a
    sentence that is longer stands alone.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        # In rising order the newest sentence is the longest, to which all are padded.
        if batch and (len(batch) + 1) * (lengths[number] + 2) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def in_order(
    sentences: Iterable[list[str]], compute: Callable[[list[list[str]]], Iterable[Result]]
) -> Iterator[Result]:
    """A result for each sentence, in the sentences' order. `compute` gives those of a batch, which holds sentences of
    about one length out of a window that is read ahead."""
    for window in windows(sentences, len):
        results: list[Result | None] = [None] * len(window)
        for batch in batches([len(words) for words in window]):
            computed = compute([window[number] for number in batch])
            for number, result in zip(batch, computed, strict=True):
                results[number] = result
        yield from results


def encode_batch(tokenizer, sentences: Sequence[Sequence[str]], device: torch.device) -> dict[str, torch.Tensor]:
    """Model inputs of sentences given as words: `<S>`, the words, `</S>`, padding on the right."""
    # Framed here, not by the tokenizer's template, so that a sentence without words is no special case.
    framed = [[tokenizer.bos_token, *words, tokenizer.eos_token] for words in sentences]
    encoding = tokenizer(
        framed,
        is_split_into_words=True,
        add_special_tokens=False,
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    names = ("character_ids", "input_ids", "attention_mask")
    return {name: encoding[name].to(device) for name in names}
