"""Words per second of the data loader alone: what it gives per core, and with worker processes.

    python scripts/benchmark_loader.py                        # the text that every installation carries, tokenised
    python scripts/benchmark_loader.py --source 'corpus/*.gz' --text_format paragraphs --num_workers 8

A word is a position of a stream, read in both directions. The rate per core is words by processor time, so that other
work on the machine hardly changes it; the rate with workers is by the clock.
"""

import argparse
import os
import time
from typing import get_args

from modeling_elmo import ElmoTokenizer
from modeling_elmo.pretraining.corpus import EMBEDDED, TextFormat, open_corpus
from modeling_elmo.pretraining.vocabulary import count_words
from modeling_elmo.pretraining.windows import WindowLoader


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--source", default=EMBEDDED, help="file, folder, glob, dataset, or 'embedded'")
    parser.add_argument("--text_format", default="sentences", choices=get_args(TextFormat), help="form of the text")
    parser.add_argument("--batch_size", type=int, default=128, help="rows of the batch")
    parser.add_argument("--unroll_steps", type=int, default=20, help="positions in a window")
    parser.add_argument("--max_size", type=int, default=100_000, help="rows of the vocabulary, at most")
    parser.add_argument("--num_workers", type=int, default=os.cpu_count(), help="worker processes of the second run")
    parser.add_argument("--windows", type=int, default=500, help="windows to measure")
    options = parser.parse_args()

    corpus = open_corpus(options.source, text_format=options.text_format)
    counts = count_words(
        corpus, ElmoTokenizer().split_words, max_size=options.max_size, num_processes=os.cpu_count() or 1
    )
    tokenizer = ElmoTokenizer(vocab=counts.vocabulary)
    print(f"{counts.num_words:,} words in {counts.num_sentences:,} sentences, vocabulary {tokenizer.vocab_size:,}")

    for num_workers in (0, options.num_workers):
        loader = WindowLoader(
            corpus,
            tokenizer,
            batch_size=options.batch_size,
            unroll_steps=options.unroll_steps,
            num_workers=num_workers,
        )
        windows = iter(loader)
        next(windows)  # starts the workers, and fills the shuffle buffer for the first time
        clock, processor, words, distinct = time.perf_counter(), time.process_time(), 0, 0
        for _ in range(options.windows):
            window = next(windows)
            words += window.num_targets
            distinct += len(window.input_ids)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        if num_workers == 0:
            print(f"per core: {words / processor:,.0f} words/s")
            print(f"a window: {words // options.windows:,} words, {distinct // options.windows:,} distinct words")
        else:
            print(f"with {num_workers} workers on {os.cpu_count()} cores: {words / clock:,.0f} words/s")
            print(f"the training process spends {1e3 * processor / options.windows:.2f} ms on a window")


if __name__ == "__main__":
    main()
