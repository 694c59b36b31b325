"""Words per second of ElmoTokenizer on one core, from text to padded tensors, beside plain nested lists.

    python scripts/benchmark_tokenizer.py                       # a million words of Python's own documentation
    python scripts/benchmark_tokenizer.py --text corpus.txt     # one sentence a line

The baseline does what bilm-tf's code does: for every word a list of character ids, padded in Python, made a tensor at
the end. Times are those of the process, so that other programs on the machine matter little.
"""

import argparse
import os
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from pydoc_data.topics import topics

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core; read by the Rust library when it is loaded

import torch

from tokenization_elmo import ElmoTokenizer

Batch = list[str] | list[list[str]]


def repeated_lines(path: Path | None, words: int) -> list[str]:
    """Lines of raw text with at least `words` words in all; the text is repeated where it is too short."""
    text = path.read_text(encoding="utf-8") if path else "\n".join(topics.values())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"{path} holds no text")
    counts = cycle(len(line.split()) for line in lines)
    sentences, total = 0, 0
    while total < words:
        total += next(counts)
        sentences += 1
    return list(islice(cycle(lines), sentences))


def in_batches(sentences: Batch, batch_size: int) -> list[Batch]:
    """Sentences of similar length together, as a loader that sorts by length gives them."""
    ordered = sorted(sentences, key=len)
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def nested_lists(vocab: dict[str, int], sentences: list[list[str]]) -> dict[str, torch.Tensor]:
    """Pre-split words to padded tensors with nothing but lists."""
    unknown, pad = vocab["<UNK>"], vocab["<pad>"]
    boundaries = [[259, 257, 260] + [261] * 47, [259, 258, 260] + [261] * 47]
    length = max(map(len, sentences)) + 2
    batch = {"input_ids": [], "token_type_ids": [], "attention_mask": [], "character_ids": []}
    for words in sentences:
        missing = length - len(words) - 2
        rows = [boundaries[0]]
        for word in words:
            row = [258, *word.encode("utf-8", "ignore")[:48], 259]
            rows.append([symbol + 1 for symbol in row + [260] * (50 - len(row))])
        rows += [boundaries[1], *([0] * 50 for _ in range(missing))]
        batch["input_ids"].append([0, *(vocab.get(word, unknown) for word in words), 1] + [pad] * missing)
        batch["token_type_ids"].append([0] * length)
        batch["attention_mask"].append([1] * (length - missing) + [0] * missing)
        batch["character_ids"].append(rows)
    return {name: torch.tensor(values) for name, values in batch.items()}


def words_per_second(encode: Callable[[Batch], dict[str, torch.Tensor]], batches: list[Batch]) -> float:
    encode(batches[0])
    words = 0
    start = time.process_time()
    for batch in batches:
        words += int(encode(batch)["attention_mask"].sum()) - 2 * len(batch)
    return words / (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="UTF-8 text, one sentence a line (default: Python's documentation)")
    parser.add_argument("--words", type=int, default=1_000_000, help="words to encode (default: %(default)s)")
    parser.add_argument("--vocab_size", type=int, default=4_000, help="rows of the vocabulary (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=512, help="sentences a batch (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    sentences = repeated_lines(arguments.text, arguments.words)
    trained = ElmoTokenizer.train_from_iterator(sentences, vocab_size=arguments.vocab_size)
    split = [trained.split_words(sentence) for sentence in sentences]
    raw, split = in_batches(sentences, arguments.batch_size), in_batches(split, arguments.batch_size)
    vocab = trained.get_vocab()
    unknown = sum(word not in vocab for batch in split for words in batch for word in words)
    total = sum(len(words) for batch in split for words in batch)
    print(f"{total:,} words in {len(sentences):,} sentences, batches of {arguments.batch_size}, one core")
    print(f"vocabulary of {trained.vocab_size:,} rows, {unknown / total:.1%} of the words unknown\n")

    baseline = words_per_second(lambda batch: nested_lists(vocab, batch), split)
    print(f"{'plain nested lists, pre-split words':44}{baseline:12,.0f} words/s")
    for name, tokenizer in (("", trained), (", no vocabulary", ElmoTokenizer())):
        for kind, batches, is_split in (("pre-split words", split, True), ("raw text", raw, False)):
            speed = words_per_second(
                lambda batch, tokenizer=tokenizer, is_split=is_split: tokenizer(
                    batch, is_split_into_words=is_split, padding=True, return_tensors="pt"
                ),
                batches,
            )
            label = f"ElmoTokenizer, {kind}{name}"
            print(f"{label:44}{speed:12,.0f} words/s{speed / baseline:8.1f} x   {1e6 / speed:.2f} s for a million")


if __name__ == "__main__":
    main()
