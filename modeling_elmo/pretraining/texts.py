"""Training and held-out text, the vocabulary, and what counting has shown of them."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import AutoTokenizer

from tokenization_elmo import ElmoTokenizer

from ..text_files import replace_file
from .arguments import DataArguments, PretrainingArguments
from .corpus import Corpus, open_corpus
from .vocabulary import SPECIAL_WORDS, WordCounts, count_words, unigram_perplexity, write_vocabulary

VOCABULARY_FILE, FACTS_FILE = "vocab.txt", "text.json"


@dataclass(frozen=True)
class TextFacts:
    """What counting the training text has shown; `None` where it was not counted.

    Attributes:
        num_positions: words and sentence ends of the training text.
        unigram: held-out perplexity of a model that knows only how frequent the words are.
    """

    num_positions: int | None = None
    unigram: float | None = None


def open_texts(data: DataArguments) -> tuple[Corpus, Corpus]:
    """Training and held-out text."""
    options: dict[str, Any] = {
        "text_format": data.text_format,
        "language": data.language,
        "lines_per_record": data.lines_per_record,
        "column": data.column,
    }
    source = data.train_files[0] if len(data.train_files) == 1 else data.train_files
    corpus = open_corpus(source, split=data.dataset_split, configuration=data.dataset_config, **options)
    if not data.validation_files:
        return corpus.split(data.held_out_share)
    held_out = open_corpus(data.validation_files, **options)
    return corpus.without(held_out), held_out


def prepare_vocabulary(
    arguments: PretrainingArguments, corpus: Corpus, held_out: Corpus, accelerator: Accelerator
) -> tuple[ElmoTokenizer, TextFacts]:
    """The tokenizer, and what is known of the text. The main process leaves both in the output folder for the others,
    and for a run that goes on."""
    data, model = arguments.data, arguments.model
    output_dir = Path(arguments.training.output_dir)
    vocabulary_path, facts_path = output_dir / VOCABULARY_FILE, output_dir / FACTS_FILE
    keep = model.init_from is not None and not model.rebuild_vocabulary
    facts = TextFacts(**json.loads(facts_path.read_text(encoding="utf-8"))) if facts_path.exists() else None
    if facts is None or (facts.num_positions is None and arguments.training.max_steps is None):
        if not has_text(corpus):
            raise ValueError(
                f"the training text is empty: there is no text in {', '.join(data.train_files)}"
                + ("" if data.validation_files else ", or none that is not held out: give a smaller held_out_share")
            )
        if not has_text(held_out):
            raise ValueError(
                "the held-out text is empty: give validation_files with text in them, or without them a larger "
                f"held_out_share than {data.held_out_share}"
            )
        tokenizer = counts = None
        if keep:
            tokenizer = AutoTokenizer.from_pretrained(model.init_from)
        elif data.vocab_file:
            tokenizer = ElmoTokenizer.from_vocab_file(data.vocab_file, word_splitting=data.word_splitting)
        splitter = tokenizer or ElmoTokenizer(word_splitting=data.word_splitting)
        if tokenizer is None or arguments.training.max_steps is None:
            accelerator.print("counting the words of the training text ...", flush=True)
            processes = os.cpu_count() or 1
            counts = count_words(
                corpus,
                splitter.split_words,
                min_count=data.min_count if tokenizer is None else 1,
                max_size=data.vocab_size if tokenizer is None else None,
                num_processes=min(8, processes) if corpus.is_local and len(corpus.shards) > 1 else 1,
            )
        if tokenizer is None:
            tokenizer = ElmoTokenizer(vocab=counts.vocabulary, word_splitting=data.word_splitting)
        rows = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
        if not keep:
            write_vocabulary(vocabulary_path, rows)
        facts = describe_text(counts, rows, held_out, splitter)
        if facts.num_positions is not None:
            accelerator.print(f"training text: {facts.num_positions:,} words and sentence ends")
        replace_file(facts_path, json.dumps(asdict(facts)))
    if keep:
        return AutoTokenizer.from_pretrained(model.init_from), facts
    return ElmoTokenizer.from_vocab_file(vocabulary_path, word_splitting=data.word_splitting), facts


def has_text(corpus: Corpus) -> bool:
    return any(True for shard in range(len(corpus.shards)) for _ in corpus.records(shard))


def describe_text(counts: WordCounts | None, rows: list[str], held_out: Corpus, splitter: ElmoTokenizer) -> TextFacts:
    if counts is None:
        return TextFacts()
    # A vocabulary that is given may have words that the text lacks.
    words = {word: counts.counts.get(word, 0) for word in rows if word not in SPECIAL_WORDS}
    counts = replace(counts, counts=words)
    sentences = held_out.sentences(splitter.split_words)
    return TextFacts(counts.num_positions, unigram_perplexity(counts, sentences))
