"""Dealing records to rows: every record once, balanced, and the same from any position."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from modeling_elmo.pretraining.corpus import CorpusError, open_corpus
from modeling_elmo.pretraining.record_feed import RecordFeed, StreamPlan

NUM_RECORDS = 600


@pytest.fixture(scope="module")
def lines() -> list[str]:
    lengths = np.random.default_rng(0).integers(1, 40, size=NUM_RECORDS)
    return [" ".join([f"n{number}", *["word"] * (length - 1)]) for number, length in enumerate(lengths)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, lines):
    folder: Path = tmp_path_factory.mktemp("corpus")
    for shard in range(5):
        (folder / f"{shard}.txt").write_text("\n".join(lines[shard::5]))
    return open_corpus(folder)


def sharded_dataset(lines, num_shards):
    from datasets import Dataset

    return open_corpus(Dataset.from_dict({"text": lines}).to_iterable_dataset(num_shards=num_shards))


def rows_of(corpus, plan, rows=None, lane=0) -> dict[int, list[str]]:
    rows = range(plan.batch_size) if rows is None else rows
    feed = RecordFeed(corpus, plan, lane, rows)
    return {row: rest_of(feed, index) for index, row in enumerate(rows)}


def rows_of_lane(corpus, plan, lane) -> list[list[str]]:
    width = plan.batch_size // plan.num_lanes(corpus)
    return list(rows_of(corpus, plan, range(lane * width, (lane + 1) * width), lane).values())


def rest_of(feed, index) -> list[str]:
    return list(iter(lambda: feed.take(index), None))


def rows_of_epochs(corpus, plan) -> list[dict[int, list[str]]]:
    """What the rows have in each epoch, where those with fewer epochs begin those with more."""
    until = [rows_of(corpus, replace(plan, num_epochs=count)) for count in range(plan.num_epochs + 1)]
    epochs = []
    for before, after in pairwise(until):
        assert all(after[row][: len(before[row])] == before[row] for row in before)
        epochs.append({row: after[row][len(before[row]) :] for row in after})
    return epochs


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_record_once_an_epoch_and_rows_equally_long(corpus, lines, shuffle):
    plan = StreamPlan(7, shuffle=shuffle, shuffle_buffer=100, num_epochs=3)
    epochs = rows_of_epochs(corpus, plan)
    assert len(epochs) == 3
    for rows in epochs:
        assert Counter(record for row in rows.values() for record in row) == Counter(lines)
        lengths = [sum(map(corpus.weight, row)) for row in rows.values()]
        assert max(lengths) - min(lengths) <= 41


def test_the_order_depends_on_seed_and_epoch_and_nothing_else(corpus):
    plan = StreamPlan(4, seed=1, shuffle_buffer=100, num_epochs=2)
    rows = rows_of(corpus, plan)
    assert rows_of(corpus, plan) == rows
    first, second = rows_of_epochs(corpus, plan)
    assert first[0] != second[0]
    assert rows_of(corpus, StreamPlan(4, seed=2, shuffle_buffer=100, num_epochs=2)) != rows
    assert rows_of(corpus, StreamPlan(4, seed=1, shuffle_buffer=100, num_epochs=1)) == first


def test_without_shuffling_a_single_row_is_the_corpus(corpus):
    in_order = [record for shard in range(5) for record in corpus.records(shard)]
    for buffer in (1, 17, 10_000):
        plan = StreamPlan(1, shuffle=False, shuffle_buffer=buffer, num_epochs=1)
        assert rows_of(corpus, plan)[0] == in_order
        # Several have theirs whatever is read at once.
        assert rows_of(corpus, replace(plan, batch_size=4)) == rows_of(
            corpus, StreamPlan(4, shuffle=False, num_epochs=1)
        )


def test_a_row_is_the_same_whoever_else_is_kept(corpus):
    plan = StreamPlan(6, shuffle_buffer=50, num_epochs=2)
    rows = rows_of(corpus, plan)
    for own in (range(2), range(2, 3), range(3, 6)):
        assert rows_of(corpus, plan, own) == {row: rows[row] for row in own}


@pytest.mark.parametrize(
    ("num_shards", "batch_size", "lanes"), [(1, 8, 1), (3, 8, 2), (4, 8, 4), (9, 8, 8), (5, 6, 3)]
)
def test_lanes_share_the_shards_of_remote_data(lines, num_shards, batch_size, lanes):
    corpus = sharded_dataset(lines, num_shards)
    plan = StreamPlan(batch_size, shuffle_buffer=100, num_epochs=2)
    assert plan.num_lanes(corpus) == lanes
    dealt = [each for lane in range(lanes) for row in rows_of_lane(corpus, plan, lane) for each in row]
    assert Counter(dealt) == Counter(2 * lines)


@pytest.mark.parametrize("shuffle", [True, False])
def test_it_goes_on_from_any_position(corpus, shuffle):
    plan = StreamPlan(6, shuffle=shuffle, shuffle_buffer=70, num_epochs=3)
    own = range(2, 5)
    expected = rows_of(corpus, plan, own)
    generator = np.random.default_rng(0)
    for _ in range(25):
        feed = RecordFeed(corpus, plan, 0, own)
        taken = [0, 0, 0]
        for _ in range(generator.integers(0, 3 * NUM_RECORDS // 2)):
            row = int(np.argmin(taken)) if generator.random() < 0.8 else int(generator.integers(3))
            if feed.take(row) is not None:
                taken[row] += 1
        state = json.loads(json.dumps(feed.state(taken)))
        resumed = RecordFeed(corpus, plan, 0, own, state, taken)
        for index, row in enumerate(own):
            assert rest_of(resumed, index) == expected[row][taken[index] :]


def test_a_position_does_not_grow(corpus):
    plan = StreamPlan(3, shuffle_buffer=20, num_epochs=None)
    feed = RecordFeed(corpus, plan, 0, range(3))
    taken = [0, 0, 0]
    for step in range(3000):
        feed.take(step % 3)
        taken[step % 3] += 1
        size = len(json.dumps(feed.state(taken)))
        assert size < 200
    assert feed.state(taken)["epoch"] >= 4


def test_a_corpus_without_text_is_an_error(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(CorpusError, match="the corpus has no text"):
        RecordFeed(open_corpus(tmp_path), StreamPlan(2), 0, range(2)).take(0)


def test_where_epochs_end_a_lane_may_have_no_record(lines):
    corpus = sharded_dataset([*lines[:3], ""], 4)
    plan = StreamPlan(4, num_epochs=1)
    assert plan.num_lanes(corpus) > 1
    dealt = [
        record for lane in range(plan.num_lanes(corpus)) for row in rows_of_lane(corpus, plan, lane) for record in row
    ]
    assert Counter(dealt) == Counter(lines[:3])


def test_streams_without_a_record_are_an_error(corpus):
    """In training, where epochs never end, their turn would never come; in evaluation they are just empty."""
    with pytest.raises(CorpusError, match=rf"{NUM_RECORDS} records for 601 streams.*lower batch_size"):
        RecordFeed(corpus, StreamPlan(NUM_RECORDS + 1), 0, [NUM_RECORDS]).take(0)
    rows = rows_of(corpus, StreamPlan(NUM_RECORDS + 1, num_epochs=1))
    assert sorted(map(len, rows.values())) == [0] + [1] * NUM_RECORDS
