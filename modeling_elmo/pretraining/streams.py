"""Continuous streams of words for language models, one for each row of the batch and each direction.

A row of the batch is an endless sequence of sentences. Its forward stream reads `<S> w1 .. wn` of every sentence and
is to predict `w1 .. wn </S>`; its backward stream reads `</S> wn .. w1` and is to predict `wn .. w1 <S>`. Both are
equally long, so a window of `unroll_steps` positions holds the same sentences in both directions, and the distinct
words of the batch go through the character encoder once. `</S>` -> `<S>` is never a target. (Peters et al. 2018,
section 3.1, and the system published with it.)
"""

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from .corpus import Corpus
from .record_feed import RecordFeed, StreamPlan

if TYPE_CHECKING:
    from tokenization_elmo import ElmoTokenizer

IGNORED_TARGET = -100
_MAX_UNKNOWN_WORDS = 1 << 18


@dataclass
class StreamPart:
    """A window of some rows b, as a worker hands it over.

    In `inputs`, the words of `unknown_words` have the keys vocab_size, vocab_size + 1, ...
    """

    inputs: np.ndarray  # (directions, b, T) int32
    targets: np.ndarray  # (directions, b, T) int32
    unknown_words: list[str]  # by their first appearance: row by row, in each row forward before backward
    unknown_rows: np.ndarray | None  # (len(unknown_words), max_characters_per_token), the tokenizer's type
    num_targets: int
    position: dict[str, Any]


class WordKeys(dict):
    """Word -> key: its id, or for an unknown word a number from vocab_size on, given when it is first seen.

    Without characters unknown words are all the same, and have the id of `<UNK>`.
    """

    def __init__(self, tokenizer: "ElmoTokenizer", characters: bool) -> None:
        self.size = tokenizer.vocab_size
        super().__init__((word, key) for word, key in tokenizer.get_vocab().items() if key < self.size)
        self.tokenizer, self.characters = tokenizer, characters
        self.bos, self.eos, self.unk = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
        self.unknown: list[str] = []

    def __missing__(self, word: str) -> int:
        if not self.characters:
            return self.unk
        key = self[word] = self.size + len(self.unknown)
        self.unknown.append(word)
        return key

    def __reduce__(self):
        return WordKeys, (self.tokenizer, self.characters)

    def forget_unknown(self, kept: np.ndarray) -> np.ndarray:
        """Forgets the unknown words whose keys are not in `kept`; returns the new key of every old one."""
        words = [self.unknown[key - self.size] for key in kept]
        renumbered = np.zeros(self.size + len(self.unknown), np.int32)
        renumbered[: self.size] = np.arange(self.size)
        for word in self.unknown:
            del self[word]
        self.unknown = []
        renumbered[kept] = [self[word] for word in words]
        return renumbered


class _Row:
    """What has been read of a row and not yet been handed out, and where the row stands."""

    def __init__(self, feed: RecordFeed, index: int, taken: int, num_buffers: int) -> None:
        self.feed, self.index = feed, index
        self.buffers = [array("i") for _ in range(num_buffers)]  # inputs and targets forward, then backward
        self.start = 0  # of what is left in the buffers
        self.records: deque[int] = deque()  # positions of the records that are begun or waiting
        self.taken, self.offset = taken, 0  # records that are done, positions that are done of the record after them

    def available(self) -> int:
        return len(self.buffers[0]) - self.start

    def advance(self, positions: int) -> None:
        self.start += positions
        self.offset += positions
        while self.records and self.offset >= self.records[0]:
            self.offset -= self.records.popleft()
            self.taken += 1


class RowStreams(IterableDataset):
    """Endless windows of the local rows; in a worker, of its share of them. After the last epoch: without targets.

    Where the text is at fault a worker's last item is the message, for the process that reads its items to raise: an
    error of its own would come with the worker's traceback.
    """

    def __init__(
        self, corpus: Corpus, plan: StreamPlan, rows: range, keys: WordKeys, unroll_steps: int, bidirectional: bool
    ) -> None:
        self._corpus, self._plan, self._rows, self._keys = corpus, plan, rows, keys
        self._steps, self._directions = unroll_steps, 2 if bidirectional else 1
        self._num_bytes = corpus.num_bytes()  # as they are now, whatever becomes of the files
        self.position: dict[str, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """What a position is valid for. Window length, directions, vocabulary and processes may change."""
        plan, corpus = self._plan, self._corpus
        return {
            "batch_size": plan.batch_size,
            "seed": plan.seed,
            "shuffle": plan.shuffle,
            "shuffle_buffer": plan.shuffle_buffer,
            "shards": len(corpus.shards),
            "bytes of the files": self._num_bytes,
            "text_format": corpus.text_format,
            "lines_per_record": corpus.lines_per_record,
            "held_out_share": corpus.held_out_share,
            "part": corpus.part,
        }

    def __iter__(self) -> Iterator[StreamPart | str]:
        worker = get_worker_info()
        try:
            yield from self._parts(worker)
        except (ValueError, OSError, ImportError) as error:
            if worker is None:
                raise
            yield str(error)

    def _parts(self, worker) -> Iterator[StreamPart]:
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        own = self._rows[len(self._rows) * number // count : len(self._rows) * (number + 1) // count]
        rows, lanes = self._open_rows(own)
        while True:
            for row in rows:
                if row.available() < self._steps:
                    self._fill(row)
            yield self._part(own, rows, lanes)

    def _open_rows(self, own: range) -> tuple[list[_Row], dict[int, tuple[RecordFeed, list[_Row]]]]:
        width = self._plan.batch_size // self._plan.num_lanes(self._corpus)
        rows, lanes = [], {}
        for lane in range(own.start // width, (own.stop - 1) // width + 1):
            of_lane = range(max(own.start, lane * width), min(own.stop, (lane + 1) * width))
            state, taken, offsets = None, [0] * len(of_lane), [0] * len(of_lane)
            if self.position is not None:
                state = self.position["lanes"][str(lane)]
                taken, offsets = zip(*(self.position["rows"][str(row)] for row in of_lane), strict=True)
            feed = RecordFeed(self._corpus, self._plan, lane, of_lane, state, list(taken))
            of_feed = [_Row(feed, index, count, 2 * self._directions) for index, count in enumerate(taken)]
            for row, offset in zip(of_feed, offsets, strict=True):
                if offset:
                    self._read_record(row)
                    row.start = row.offset = offset
            lanes[lane] = feed, of_feed
            rows += of_feed
        return rows, lanes

    def _read_record(self, row: _Row) -> bool:
        """Puts the row's next record into its buffers; false when there is none."""
        record = row.feed.take(row.index)
        if record is None:
            return False
        before, bos, eos = len(row.buffers[0]), self._keys.bos, self._keys.eos
        inputs, targets, *backward = row.buffers
        for words in self._corpus.split_record(record, self._keys.tokenizer.split_words):
            keys = array("i", list(map(self._keys.__getitem__, words)))
            inputs.append(bos)
            inputs += keys
            targets += keys
            targets.append(eos)
            if backward:
                keys.reverse()
                backward[0].append(eos)
                backward[0] += keys
                backward[1] += keys
                backward[1].append(bos)
        row.records.append(len(inputs) - before)
        return True

    def _fill(self, row: _Row) -> None:
        for buffer in row.buffers:
            del buffer[: row.start]
        row.start = 0
        while row.available() < self._steps:
            if not self._read_record(row):
                missing = self._steps - row.available()
                for buffer, padding in zip(
                    row.buffers, [self._keys.bos, IGNORED_TARGET] * self._directions, strict=True
                ):
                    buffer.extend([padding] * missing)

    def _part(self, own: range, rows: list[_Row], lanes: dict[int, tuple[RecordFeed, list[_Row]]]) -> StreamPart:
        shape = (self._directions, len(rows), self._steps)
        inputs, targets = (
            np.frombuffer(
                bytearray().join(
                    row.buffers[2 * direction + kind][row.start : row.start + self._steps]
                    for direction in range(self._directions)
                    for row in rows
                ),
                np.int32,
            ).reshape(shape)
            for kind in (0, 1)
        )
        for row in rows:
            row.advance(self._steps)
        unknown = self._number_unknown(inputs)
        targets[targets >= self._keys.size] = self._keys.unk
        if len(self._keys.unknown) > _MAX_UNKNOWN_WORDS:
            self._forget_unknown(rows)
        return StreamPart(
            inputs=inputs,
            targets=targets,
            unknown_words=unknown,
            unknown_rows=self._keys.tokenizer.encode_words(unknown) if unknown else None,
            num_targets=int(np.count_nonzero(targets[0] != IGNORED_TARGET)),
            position={
                "rows": {str(number): [row.taken, row.offset] for number, row in zip(own, rows, strict=True)},
                "lanes": {str(lane): feed.state([row.taken for row in own]) for lane, (feed, own) in lanes.items()},
            },
        )

    def _number_unknown(self, inputs: np.ndarray) -> list[str]:
        """Renumbers the unknown words in `inputs`, in place, by their first appearance; returns the words."""
        by_row = inputs.transpose(1, 0, 2)
        is_unknown = by_row >= self._keys.size
        keys, first, inverse = np.unique(by_row[is_unknown], return_index=True, return_inverse=True)
        if not len(keys):
            return []
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        by_row[is_unknown] = self._keys.size + rank[inverse]
        return [self._keys.unknown[key - self._keys.size] for key in keys[order]]

    def _forget_unknown(self, rows: list[_Row]) -> None:
        """Keeps only those unknown words that stand in the buffers, so that memory is bounded."""
        views = [np.frombuffer(buffer, np.int32) for row in rows for buffer in row.buffers]
        waiting = np.unique(np.concatenate(views))
        renumbered = self._keys.forget_unknown(waiting[waiting >= self._keys.size])
        for view in views:
            is_key = view >= 0
            view[is_key] = renumbered[view[is_key]]
