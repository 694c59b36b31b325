"""`elmo vocab INPUT ... OUTPUT`"""

import argparse
import time
from pathlib import Path
from typing import get_args

from tokenization_elmo import WORD_SPLITTINGS, ElmoTokenizer

from ..pretraining.corpus import TextFormat, open_corpus
from ..pretraining.vocabulary import count_words, write_vocabulary
from ..text_files import require_free


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "input",
        nargs="+",
        help="files, folders or globs of text (.txt, .jsonl, .parquet; also .gz, .zst), or one dataset of the Hub",
    )
    parser.add_argument("output", help="vocabulary file, one word a line by falling count; .gz is compressed")
    parser.add_argument(
        "--text-format",
        default="sentences",
        choices=get_args(TextFormat),
        help="sentences: tokenised, one a line; paragraphs: raw text, one a line; wrapped: with hard line breaks",
    )
    parser.add_argument("--word-splitting", default="treebank", choices=WORD_SPLITTINGS, help="of raw text")
    parser.add_argument("--language", default="en", help="ISO 639-1 code for the sentences of raw text")
    parser.add_argument("--column", default="text", help="column of a table or dataset that holds the text")
    parser.add_argument("--split", default="train", help="of a dataset of the Hub")
    parser.add_argument("--configuration", help="of a dataset of the Hub")
    parser.add_argument("--min-count", type=int, default=1, help="rarer words are left out")
    parser.add_argument("--max-size", type=int, help="rows at most, the three special words included")
    parser.add_argument("--processes", type=int, default=1, help="that count side by side, each its share of the text")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT")


def run(args: argparse.Namespace):
    require_free(Path(args.output), args.overwrite)  # it is a corpus, where OUTPUT was forgotten
    started = time.perf_counter()
    corpus = open_corpus(
        args.input if len(args.input) > 1 else args.input[0],
        text_format=args.text_format,
        language=args.language,
        column=args.column,
        split=args.split,
        configuration=args.configuration,
    )
    splitter = ElmoTokenizer(word_splitting=args.word_splitting)
    counts = count_words(
        corpus,
        splitter.split_words,
        min_count=args.min_count,
        max_size=args.max_size,
        num_processes=args.processes,
    )
    write_vocabulary(args.output, counts.vocabulary)
    known = 100 * sum(counts.counts.values()) / max(counts.num_words, 1)
    seconds = time.perf_counter() - started
    print(
        f"{args.output}: {len(counts.vocabulary):,} rows, which cover {known:.2f} % of {counts.num_words:,} words in "
        f"{counts.num_sentences:,} sentences ({counts.num_words / seconds:,.0f} words/s)"
    )
