"""`elmo score CHECKPOINT INPUT`"""

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from ..embedding.text_input import TextInput, read_sentences
from ..scoring import SentenceScore, TextScore, load_language_model, score
from ..text_files import require_free

HEADER = ("sentence", "position", "word", "known", "forward", "backward")


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("checkpoint", help="folder or repository that transformers loads, with a softmax")
    parser.add_argument(
        "input",
        help="UTF-8 text, plain, .gz or .zst, one sentence a line (empty ones are left out); '-' is standard input",
    )
    parser.add_argument(
        "--output",
        help="file for every word's surprisal in nats: .tsv, a row a position (0 is <S>), or .jsonl, an object a "
        "sentence; '-' is a .tsv on standard output. Sentences are named by their line, from 0",
    )
    parser.add_argument(
        "--tokenized",
        action="store_true",
        help="words are what stands between white space; otherwise the checkpoint's tokenizer splits the lines",
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU if there is one)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --output")


def run(args: argparse.Namespace):
    suffix = ".tsv" if args.output in (None, "-") else Path(args.output).suffix
    if suffix not in WRITERS:
        raise ValueError(f"{args.output}: unknown kind of file; the name must end in one of {', '.join(WRITERS)}")
    if args.output not in (None, "-"):
        require_free(Path(args.output), args.overwrite)
    total = TextScore()
    with TextInput(args.input) as text:
        model, tokenizer = load_language_model(args.checkpoint, device=args.device)
        names: deque[str] = deque()

        def sentences() -> Iterator[list[str]]:
            for sentence in read_sentences(text, str.split if args.tokenized else tokenizer.split_words):
                if sentence.words:
                    names.append(sentence.name)
                    yield sentence.words

        with open_output(args.output) as file, tqdm(unit=" words", unit_scale=True, disable=None) as bar:
            writer = None if file is None else WRITERS[suffix](file, tokenizer)
            for result in score(model, sentences(), tokenizer):
                name = names.popleft()
                if writer is not None:
                    writer.write(name, result)
                total.add(result)
                bar.update(len(result.words))
    print(report(total), file=sys.stderr if args.output == "-" else sys.stdout)


@contextmanager
def open_output(path: str | None) -> Iterator[TextIO | None]:
    """The file has its name when it is complete, and is not there, or as it was, after an error."""
    if path in (None, "-"):
        yield sys.stdout if path else None
        return
    partial = Path(f"{path}.partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class TsvWriter:
    """A row a position; numbers are empty where nothing is predicted."""

    def __init__(self, file: TextIO, tokenizer):
        self.file = file
        self.boundaries = tokenizer.bos_token, tokenizer.eos_token
        self.file.write("\t".join(HEADER) + "\n")

    def write(self, name: str, score: SentenceScore) -> None:
        words = [self.boundaries[0], *score.words, self.boundaries[1]]
        known = [True, *score.known.tolist(), True]
        for position, (word, is_known) in enumerate(zip(words, known, strict=True)):
            numbers = (
                "" if part is None or np.isnan(part[position]) else f"{part[position]:.6f}"
                for part in (score.forward, score.backward)
            )
            self.file.write("\t".join((name, str(position), word, str(int(is_known)), *numbers)) + "\n")


class JsonLinesWriter:
    """An object a sentence; `null` where nothing is predicted."""

    def __init__(self, file: TextIO, tokenizer):
        self.file = file

    def write(self, name: str, score: SentenceScore) -> None:
        record = {"sentence": int(name), "words": score.words, "known": score.known.tolist()}
        for direction in ("forward", "backward"):
            part = getattr(score, direction)
            record[direction] = (
                part if part is None else [None if np.isnan(number) else number for number in part.tolist()]
            )
        self.file.write(json.dumps(record, ensure_ascii=False) + "\n")


WRITERS = {".tsv": TsvWriter, ".jsonl": JsonLinesWriter}


def report(total: TextScore) -> str:
    """The totals as lines of text."""
    share = 100 * total.unknown_words / max(total.words, 1)
    lines = [
        f"{total.sentences:,} sentences, {total.words:,} words; {total.unknown_words:,} unknown ({share:.2f} %), "
        "scored as <UNK>"
    ]
    for name in ("forward", "backward"):
        direction = getattr(total, name)
        if direction.tokens:
            mean = direction.surprisal / direction.tokens
            lines.append(
                f"{name}: perplexity {direction.perplexity:.4f}, {mean:.6f} nats a token, {direction.tokens:,} tokens "
                "(words and one boundary a sentence)"
            )
    return "\n".join(lines)
