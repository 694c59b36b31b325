"""Counting words, the vocabulary file, the unigram baseline."""

import gzip
import math
from collections import Counter

import numpy as np
import pytest

from modeling_elmo import ElmoTokenizer
from modeling_elmo.pretraining.corpus import open_corpus
from modeling_elmo.pretraining.vocabulary import count_words, unigram_perplexity, write_vocabulary


@pytest.fixture(scope="module")
def words():
    numbers = np.random.default_rng(0).zipf(1.3, size=20_000) % 3000
    return [f"w{number}" for number in numbers]


@pytest.fixture
def corpus(tmp_path, words):
    for shard in range(4):
        of_shard = words[shard * 5000 : (shard + 1) * 5000]
        lines = [" ".join(of_shard[start : start + 10]) for start in range(0, 5000, 10)]
        (tmp_path / f"{shard}.txt").write_text("\n".join(lines))
    return open_corpus(tmp_path)


def by_falling_count(words) -> dict[str, int]:
    return dict(sorted(Counter(words).items(), key=lambda item: (-item[1], item[0])))


@pytest.mark.parametrize("num_processes", [1, 3])
@pytest.mark.parametrize("max_words_in_memory", [100, 1_000_000])
def test_counts_are_exact_and_sorted(corpus, words, num_processes, max_words_in_memory):
    counted = count_words(corpus, str.split, num_processes=num_processes, max_words_in_memory=max_words_in_memory)
    assert list(counted.counts.items()) == list(by_falling_count(words).items())
    assert (counted.num_words, counted.num_sentences, counted.num_positions) == (20_000, 2_000, 22_000)
    assert counted.vocabulary == ["<S>", "</S>", "<UNK>", *counted.counts]


def test_shards_of_remote_data_are_counted_once(words):
    from datasets import Dataset

    dataset = Dataset.from_dict({"text": [" ".join(words[start : start + 10]) for start in range(0, 20_000, 10)]})
    corpus = open_corpus(dataset.to_iterable_dataset(num_shards=3))
    assert count_words(corpus, str.split, num_processes=2).counts == by_falling_count(words)


def test_minimum_count_and_maximum_size(corpus, words):
    expected = by_falling_count(words)
    frequent = {word: count for word, count in expected.items() if count >= 5}
    assert count_words(corpus, str.split, min_count=5).counts == frequent
    counted = count_words(corpus, str.split, min_count=5, max_size=100)
    assert len(counted.vocabulary) == 100
    assert list(counted.counts) == list(expected)[:97]
    assert counted.num_words == 20_000


def test_special_words_in_the_text_are_not_listed_twice(tmp_path):
    (tmp_path / "a.txt").write_text("<S> a </S> <UNK> !!!MAXTERMID a b\n")
    counted = count_words(open_corpus(tmp_path / "a.txt"), str.split)
    assert counted.vocabulary == ["<S>", "</S>", "<UNK>", "a", "b"]


def test_words_that_the_files_readers_would_strip_are_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("a a\x1c a\x1c \x1d b\x1fc\n")
    counted = count_words(open_corpus(tmp_path / "a.txt", text_format="paragraphs"), ElmoTokenizer().split_words)
    assert counted.counts == {"a": 1, "b\x1fc": 1}
    write_vocabulary(tmp_path / "vocab.txt", counted.vocabulary)
    tokenizer = ElmoTokenizer.from_vocab_file(tmp_path / "vocab.txt")
    assert tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size))) == counted.vocabulary


@pytest.mark.parametrize("name", ["vocab.txt", "deep/vocab.txt.gz"])
def test_the_vocabulary_file_is_what_the_tokenizer_reads(tmp_path, corpus, name):
    vocabulary = [*count_words(corpus, str.split).vocabulary, "é\N{ZERO WIDTH SPACE}x"]
    write_vocabulary(tmp_path / name, vocabulary)
    data = (tmp_path / name).read_bytes()
    assert (gzip.decompress(data) if name.endswith(".gz") else data).decode() == "".join(f"{w}\n" for w in vocabulary)
    tokenizer = ElmoTokenizer.from_vocab_file(tmp_path / name)
    assert tokenizer.vocab_size == len(vocabulary)
    assert tokenizer.convert_ids_to_tokens(list(range(len(vocabulary)))) == vocabulary


def test_unigram_perplexity(tmp_path):
    (tmp_path / "a.txt").write_text("a a b\na c\n")
    counted = count_words(open_corpus(tmp_path / "a.txt"), str.split, min_count=2)
    # a 3, unknown 2, sentence end 2, one more for each of the three: of 10
    expected = math.exp(-(math.log(0.4) + 2 * math.log(0.3) + math.log(0.3)) / 4)
    assert unigram_perplexity(counted, [["a", "x", "c"]]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="no sentences"):
        unigram_perplexity(counted, [])


@pytest.mark.parametrize("options", [{"min_count": 0}, {"max_size": 3}, {"num_processes": 0}])
def test_bad_options(corpus, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        count_words(corpus, str.split, **options)
