"""Streams of windows: what is read and predicted, over rows, processes, workers, epochs and resumed runs."""

import json
import pickle
from collections import Counter
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
import torch

from modeling_elmo import ElmoTokenizer
from modeling_elmo.pretraining import streams
from modeling_elmo.pretraining.corpus import open_corpus
from modeling_elmo.pretraining.streams import IGNORED_TARGET
from modeling_elmo.pretraining.windows import Window, WindowLoader, merge_states

KNOWN = [f"word{number}" for number in range(40)]
BOS, EOS, UNK = 0, 1, 2


@pytest.fixture(scope="module")
def sentences() -> list[list[str]]:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 30, size=400)
    return [[f"word{number}" for number in generator.zipf(1.4, size=length) % 90] for length in lengths]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, sentences):
    folder = tmp_path_factory.mktemp("corpus")
    for shard in range(3):
        (folder / f"{shard}.txt").write_text("\n".join(" ".join(words) for words in sentences[shard::3]))
    return open_corpus(folder)


@pytest.fixture(scope="module")
def tokenizer() -> ElmoTokenizer:
    return ElmoTokenizer(vocab=["<S>", "</S>", "<UNK>", *KNOWN])


def loader(corpus, tokenizer, **options) -> WindowLoader:
    defaults = {"batch_size": 4, "unroll_steps": 7, "num_epochs": 2, "shuffle_buffer": 90, "seed": 3}
    return WindowLoader(corpus, tokenizer, **defaults | options)


def assert_equal(window: Window, other: Window):
    for field in fields(Window):
        value, other_value = getattr(window, field.name), getattr(other, field.name)
        if isinstance(value, torch.Tensor):
            assert value.dtype == other_value.dtype
            assert torch.equal(value, other_value), field.name
        else:
            assert value == other_value, field.name


def assert_all_equal(windows: list[Window], others: list[Window]):
    assert len(windows) == len(others)
    for window, other in zip(windows, others, strict=True):
        assert_equal(window, other)


def words_of(character_ids: torch.Tensor) -> list[str]:
    """The words that rows of characters stand for (FORMATS: bytes + 1 between 259 and 260)."""
    words = []
    for row in character_ids.tolist():
        inner = row[1 : row.index(260)]
        words.append({(257,): "<S>", (258,): "</S>"}.get(tuple(inner)) or bytes(each - 1 for each in inner).decode())
    return words


def rows_of(windows: list[Window], direction: str) -> list[list[tuple[str, int]]]:
    """For every batch row, the (input word, target id) of its positions that have a target."""
    rows = [[] for _ in windows[0].forward_index]
    for window in windows:
        words = words_of(window.character_ids)
        index, targets = getattr(window, f"{direction}_index"), getattr(window, f"{direction}_targets")
        for row, places, ids in zip(rows, index.tolist(), targets.tolist(), strict=True):
            row += [(words[place], id) for place, id in zip(places, ids, strict=True) if id != IGNORED_TARGET]
    return rows


def split_at(row: list[tuple[str, int]], boundary: str) -> list[list[tuple[str, int]]]:
    """The sentences of a row, each beginning with the boundary word."""
    starts = [i for i, (word, _) in enumerate(row) if word == boundary]
    return [row[start:stop] for start, stop in zip(starts, [*starts[1:], len(row)], strict=True)]


def ids_of(words: list[str]) -> list[int]:
    return [KNOWN.index(word) + 3 if word in KNOWN else UNK for word in words]


def test_both_directions_read_and_predict_every_sentence_once_an_epoch(corpus, tokenizer, sentences):
    windows = list(loader(corpus, tokenizer))
    expected = Counter(" ".join(words) for words in sentences * 2)
    forward_rows, backward_rows = (rows_of(windows, direction) for direction in ("forward", "backward"))
    read = Counter()
    for forward, backward in zip(forward_rows, backward_rows, strict=True):
        of_forward, of_backward = split_at(forward, "<S>"), split_at(backward, "</S>")
        for sentence, reverse in zip(of_forward, of_backward, strict=True):
            words = [word for word, _ in sentence[1:]]
            read[" ".join(words)] += 1
            assert [target for _, target in sentence] == [*ids_of(words), EOS]
            assert [word for word, _ in reverse] == ["</S>", *reversed(words)]
            assert [target for _, target in reverse] == [*reversed(ids_of(words)), BOS]
    assert read == expected


def test_shapes_and_types(corpus, tokenizer):
    window = next(iter(loader(corpus, tokenizer)))
    distinct = len(window.input_ids)
    assert window.character_ids.shape == (distinct, 50)
    assert window.character_ids.dtype == torch.int16
    assert len(torch.unique(window.character_ids, dim=0)) == distinct
    for name in ("forward_index", "forward_targets", "backward_index", "backward_targets"):
        tensor = getattr(window, name)
        assert tensor.shape == (4, 7)
        assert tensor.dtype == torch.int64
    assert set(window.forward_index.flatten().tolist()) | set(window.backward_index.flatten().tolist()) == set(
        range(distinct)
    )
    assert window.num_targets == 28


def test_characters_and_ids_of_the_distinct_words(corpus, tokenizer):
    for window in loader(corpus, tokenizer):
        words = words_of(window.character_ids)
        assert len(set(words)) == len(words)
        np.testing.assert_array_equal(window.character_ids.numpy(), tokenizer.encode_words(words))
        boundaries = {"<S>": BOS, "</S>": EOS}
        expected = [boundaries[word] if word in boundaries else ids_of([word])[0] for word in words]
        assert window.input_ids.tolist() == expected


def test_a_window_holds_the_same_sentences_in_both_directions(corpus, tokenizer):
    for window in loader(corpus, tokenizer, num_epochs=1):
        forward, backward = window.forward_targets, window.backward_targets
        assert torch.equal(forward == IGNORED_TARGET, backward == IGNORED_TARGET)
        assert torch.equal(forward == EOS, backward == BOS)  # sentences end at the same positions


def test_forward_only(corpus, tokenizer):
    both = list(loader(corpus, tokenizer))
    forward = list(loader(corpus, tokenizer, bidirectional=False))
    assert all(window.backward_index is None and window.backward_targets is None for window in forward)
    assert rows_of(forward, "forward") == rows_of(both, "forward")


def test_word_input_models_read_word_ids_only(corpus, tokenizer):
    with_characters = list(loader(corpus, tokenizer))
    word_ids = list(loader(corpus, tokenizer, characters=False))
    assert len(with_characters) == len(word_ids)
    for window, other in zip(with_characters, word_ids, strict=True):
        assert other.character_ids is None
        assert len(set(other.input_ids.tolist())) == len(other.input_ids)
        assert torch.equal(window.input_ids[window.backward_index], other.input_ids[other.backward_index])
        assert torch.equal(window.forward_targets, other.forward_targets)


def test_only_the_last_windows_of_the_last_epoch_lack_targets(corpus, tokenizer, sentences):
    windows = list(loader(corpus, tokenizer))
    targets = [window.num_targets for window in windows]
    assert sum(targets) == 2 * sum(len(words) + 1 for words in sentences)
    assert all(count == 28 for count in targets[:-10])
    assert targets == [int((window.forward_targets != IGNORED_TARGET).sum()) for window in windows]


def test_an_endless_loader_goes_on(corpus, tokenizer):
    finite = list(loader(corpus, tokenizer))
    endless = iter(loader(corpus, tokenizer, num_epochs=None))
    for _, window in zip(range(3 * len(finite)), endless, strict=False):
        assert window.num_targets == 28


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing(corpus, tokenizer, num_workers):
    assert_all_equal(list(loader(corpus, tokenizer, num_workers=num_workers)), list(loader(corpus, tokenizer)))


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_rows_of_the_global_batch(corpus, tokenizer, world_size):
    whole = rows_of(list(loader(corpus, tokenizer)), "backward")
    shared = []
    for rank in range(world_size):
        of_rank = loader(corpus, tokenizer, rank=rank, world_size=world_size)
        assert of_rank.rows == range(4 * rank // world_size, 4 * (rank + 1) // world_size)
        shared += rows_of(list(of_rank), "backward")
    assert shared == whole


def test_processes_share_remote_shards(tokenizer, sentences):
    from datasets import Dataset

    texts = [" ".join(words) for words in sentences]
    corpus = open_corpus(Dataset.from_dict({"text": texts}).to_iterable_dataset(num_shards=5))
    whole = list(loader(corpus, tokenizer))
    assert sum(window.num_targets for window in whole) == 2 * sum(len(words) + 1 for words in sentences)
    shared = [list(loader(corpus, tokenizer, rank=rank, world_size=2, num_workers=2)) for rank in (0, 1)]
    rows = [row for windows in shared for row in rows_of(windows, "forward")]
    assert rows == rows_of(whole, "forward")


@pytest.mark.parametrize(("shuffle", "few_unknown"), [(True, False), (True, True), (False, False)])
def test_a_resumed_loader_goes_on_exactly(corpus, tokenizer, shuffle, few_unknown, monkeypatch):
    expected = list(loader(corpus, tokenizer, shuffle=shuffle))
    if few_unknown:
        monkeypatch.setattr(streams, "_MAX_UNKNOWN_WORDS", 3)  # forgotten all the time
    generator = np.random.default_rng(0)
    stops = [1, len(expected) - 1, len(expected), *generator.integers(2, len(expected) - 1, size=3)]
    for number, stop in enumerate(stops):
        interrupted = loader(corpus, tokenizer, shuffle=shuffle, num_workers=2 if number % 4 == 0 else 0)
        windows = [window for _, window in zip(range(stop), interrupted, strict=False)]
        state = json.loads(json.dumps(interrupted.state_dict()))
        resumed = loader(corpus, tokenizer, shuffle=shuffle, num_workers=3 if number % 4 == 1 else 0)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert_all_equal(windows + list(resumed), expected)


def test_every_process_resumes_with_its_own_position(corpus, tokenizer):
    for rank in (0, 1):
        expected = list(loader(corpus, tokenizer, rank=rank, world_size=2))
        interrupted = loader(corpus, tokenizer, rank=rank, world_size=2)
        for _ in zip(range(33), interrupted, strict=False):
            pass
        resumed = loader(corpus, tokenizer, rank=rank, world_size=2)
        resumed.load_state_dict(interrupted.state_dict())
        assert_all_equal(list(resumed), expected[33:])
    other = loader(corpus, tokenizer, rank=0, world_size=2)
    with pytest.raises(ValueError, match="the position lacks row 0 of the global batch: it is of another process"):
        other.load_state_dict(interrupted.state_dict())


@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 2)])
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
def test_another_number_of_processes_goes_on_exactly(corpus, tokenizer, sentences, before, after, remote):
    if remote:
        from datasets import Dataset

        texts = [" ".join(words) for words in sentences]
        corpus = open_corpus(Dataset.from_dict({"text": texts}).to_iterable_dataset(num_shards=5))
    expected = rows_of(list(islice(loader(corpus, tokenizer, num_epochs=None), 60)), "forward")
    states, read = [], []
    for rank in range(before):
        windows = loader(corpus, tokenizer, rank=rank, world_size=before, num_epochs=None, num_workers=2 * (rank == 3))
        read += rows_of(list(islice(windows, 37)), "forward")
        states.append(windows.state_dict())
    state = merge_states(json.loads(json.dumps(states)))
    then = []
    for rank in range(after):
        windows = loader(
            corpus,
            tokenizer,
            rank=rank,
            world_size=after,
            num_epochs=None,
            num_workers=2 * (before == 1 and rank == 1),
        )
        windows.load_state_dict(state)
        then += rows_of(list(islice(windows, 23)), "forward")
    assert [first + second for first, second in zip(read, then, strict=True)] == expected


def test_states_from_before_the_first_window_merge(corpus, tokenizer):
    ranks = [loader(corpus, tokenizer, rank=rank, world_size=2) for rank in (0, 1)]
    whole = loader(corpus, tokenizer)
    whole.load_state_dict(merge_states([each.state_dict() for each in ranks]))
    assert_all_equal(list(whole), list(loader(corpus, tokenizer)))


def test_iterating_goes_on_and_begins_again_after_the_end(corpus, tokenizer):
    expected = list(loader(corpus, tokenizer))
    windows = loader(corpus, tokenizer)
    first = [window for _, window in zip(range(10), windows, strict=False)]
    assert_all_equal(first + list(windows), expected)
    assert_all_equal(list(windows), expected)


def test_long_records_are_read_in_pieces(corpus, tokenizer, tmp_path, sentences):
    (tmp_path / "a.txt").write_text("\n".join(" ".join(words) for words in sentences))
    documents = open_corpus(tmp_path / "a.txt", lines_per_record=100)
    expected = list(loader(documents, tokenizer, batch_size=2, num_epochs=1))
    assert sum(window.num_targets for window in expected) == sum(len(words) + 1 for words in sentences)
    interrupted = loader(documents, tokenizer, batch_size=2, num_epochs=1)
    for _ in zip(range(101), interrupted, strict=False):
        pass
    resumed = loader(documents, tokenizer, batch_size=2, num_epochs=1)
    resumed.load_state_dict(interrupted.state_dict())
    assert_all_equal(list(resumed), expected[101:])


def test_a_single_unshuffled_row_is_the_text_in_order(tokenizer, tmp_path, sentences):
    (tmp_path / "a.txt").write_text("\n".join(" ".join(words) for words in sentences))
    text = open_corpus(tmp_path / "a.txt")
    windows = list(WindowLoader(text, tokenizer, batch_size=1, shuffle=False, num_epochs=1))
    (row,) = rows_of(windows, "forward")
    assert [[word for word, _ in sentence[1:]] for sentence in split_at(row, "<S>")] == sentences


def test_another_stream_is_refused_by_name(corpus, tokenizer):
    windows = loader(corpus, tokenizer)
    next(iter(windows))
    with pytest.raises(ValueError, match="other streams: seed was 3, and now it is 4"):
        loader(corpus, tokenizer, seed=4).load_state_dict(windows.state_dict())
    loader(corpus, tokenizer, unroll_steps=5).load_state_dict(windows.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"unroll_steps": 0}, "unroll_steps must be at least 1"),
        ({"shuffle_buffer": 0}, "shuffle_buffer must be at least 1"),
        ({"world_size": 3}, "a batch of 4 rows cannot be divided equally among 3 processes"),
        ({"rank": 2, "world_size": 2}, "rank must be at least 0 and below world_size 2"),
    ],
)
def test_bad_options(corpus, tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        loader(corpus, tokenizer, **options)


def test_moving_a_window(corpus, tokenizer):
    window = next(iter(loader(corpus, tokenizer, bidirectional=False))).to("meta")
    assert window.character_ids.device.type == "meta"
    assert window.backward_index is None


def test_workers_can_be_started_without_a_fork(corpus, tokenizer):
    windows = loader(corpus, tokenizer)
    next(iter(windows))
    copied = pickle.loads(pickle.dumps(windows))
    assert_all_equal(list(copied), list(windows))
