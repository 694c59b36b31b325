"""Vocabularies: counting the words of a corpus of any size, and the vocabulary file.

The file has one word a line: `<S>`, `</S>`, `<UNK>`, then words by falling count, an order that the log-uniform
sampler of the softmax relies on.
"""

import gzip
import heapq
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from .corpus import Corpus

SPECIAL_WORDS = ("<S>", "</S>", "<UNK>")
# Readers of the file skip the line of this word, which would shift every id after it.
_NEVER_WORDS = frozenset((*SPECIAL_WORDS, "!!!MAXTERMID"))


@dataclass(frozen=True)
class WordCounts:
    """Words of a corpus with their counts.

    Attributes:
        counts: word -> count of the words of the vocabulary, without the special ones, by falling count; words that
            are equally frequent in the order of their code points.
        num_words, num_sentences: of the whole corpus.
    """

    counts: dict[str, int]
    num_words: int
    num_sentences: int

    @property
    def vocabulary(self) -> list[str]:
        """The rows of the softmax: special words, then words by falling count."""
        return [*SPECIAL_WORDS, *self.counts]

    @property
    def num_positions(self) -> int:
        """Positions of a stream of one direction over the corpus once: every word, and the end of every sentence."""
        return self.num_words + self.num_sentences


def count_words(
    corpus: Corpus,
    split_words: Callable[[str], list[str]],
    *,
    min_count: int = 1,
    max_size: int | None = None,
    num_processes: int = 1,
    max_words_in_memory: int = 4_000_000,
) -> WordCounts:
    """Counts exactly, in bounded memory: a process whose table is full writes it out, sorted, and all are merged.

    Args:
        corpus: from `open_corpus`.
        split_words: splits raw text into words (`ElmoTokenizer.split_words`).
        min_count: words that are rarer are left out.
        max_size: rows of the vocabulary at most, special words included; `None` keeps all words.
        num_processes: how many processes read and count.
        max_words_in_memory: distinct words that a process keeps at most before it writes them out.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, not {min_count}")
    if num_processes < 1:
        raise ValueError(f"num_processes must be at least 1, not {num_processes}")
    if max_size is not None and max_size <= len(SPECIAL_WORDS):
        raise ValueError(f"max_size must leave room for words beside {', '.join(SPECIAL_WORDS)}, not be {max_size}")
    with tempfile.TemporaryDirectory(prefix="word-counts-") as name:
        folder = Path(name)
        count = partial(_count_share, corpus, split_words, num_processes, max_words_in_memory, folder)
        if num_processes > 1:
            with ProcessPoolExecutor(num_processes) as pool:
                totals = list(pool.map(count, range(num_processes)))
        else:
            totals = [count(0)]
        counted = (each for each in _merge(sorted(folder.iterdir())) if each[1] >= min_count)
        # Readers strip lines too, and what str.strip takes for white space (U+001C, say) may be in a word: such a word
        # would come back as another one and take that one's row.
        counted = (each for each in counted if each[0] not in _NEVER_WORDS and each[0] == each[0].strip())

        def by_count(each: tuple[str, int]) -> tuple[int, str]:
            return -each[1], each[0]

        if max_size is None:
            counts = dict(sorted(counted, key=by_count))
        else:
            counts = dict(heapq.nsmallest(max_size - len(SPECIAL_WORDS), counted, key=by_count))
    num_words, num_sentences = map(sum, zip(*totals, strict=True))
    return WordCounts(counts, num_words, num_sentences)


def write_vocabulary(path: str | Path, vocabulary: Iterable[str]) -> None:
    """Writes the words (`WordCounts.vocabulary`) one a line, in UTF-8; gzipped where the name ends in .gz."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\n" for word in vocabulary)


def unigram_perplexity(counts: WordCounts, sentences: Iterable[list[str]]) -> float:
    """Perplexity of `sentences`, sentence ends included, under word frequencies: what a model without context reaches.

    Add-one smoothing over the rows of the softmax that can be predicted: the words, `<UNK>`, which stands for all
    words outside the vocabulary, and the sentence end.
    """
    unknown = counts.num_words - sum(counts.counts.values())
    total = counts.num_positions + len(counts.counts) + 2
    log_likelihood, num_targets = 0.0, 0
    for words in sentences:
        frequencies = [counts.num_sentences, *(counts.counts.get(word, unknown) for word in words)]
        log_likelihood += sum(math.log((frequency + 1) / total) for frequency in frequencies)
        num_targets += len(frequencies)
    if not num_targets:
        raise ValueError("there are no sentences to take the perplexity of")
    return math.exp(-log_likelihood / num_targets)


def _count_share(
    corpus: Corpus, split_words: Callable[[str], list[str]], shares: int, most: int, folder: Path, share: int
) -> tuple[int, int]:
    """Counts one of `shares` shares of the corpus into files in `folder`; returns its words and sentences."""
    counts: Counter[str] = Counter()
    num_words = num_sentences = runs = 0
    for record in _records_of_share(corpus, shares, share):
        for words in corpus.split_record(record, split_words):
            counts.update(words)
            num_words += len(words)
            num_sentences += 1
        if len(counts) >= most:
            _write_run(folder / f"{share}-{runs}", counts)
            runs += 1
    _write_run(folder / f"{share}-{runs}", counts)
    return num_words, num_sentences


def _records_of_share(corpus: Corpus, shares: int, share: int) -> Iterator[str]:
    """Every so many'th record of files, which are cheap to skip in; every so many'th shard of remote data."""
    every = range(len(corpus.shards))
    if corpus.is_local:
        records = (record for shard in every for record in corpus.records(shard))
        return islice(records, share, None, shares)
    return (record for shard in every[share::shares] for record in corpus.records(shard))


def _write_run(path: Path, counts: Counter[str]) -> None:
    """Writes the counts sorted by word, and empties them."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word} {count}\n" for word, count in sorted(counts.items()))
    counts.clear()


def _merge(runs: list[Path]) -> Iterator[tuple[str, int]]:
    """(word, count) over all runs, sorted by word, one run entry of each in memory at a time."""
    for word, entries in groupby(heapq.merge(*map(_read_run, runs)), key=itemgetter(0)):
        yield word, sum(count for _, count in entries)


def _read_run(path: Path) -> Iterator[tuple[str, int]]:
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            word, _, count = line.rpartition(" ")
            yield word, int(count)
