"""Continuous streams of words for language models, as windows of a batch.

A row of the batch is an endless sequence of sentences. Its forward stream reads `<S> w1 .. wn` of every sentence and
is to predict `w1 .. wn </S>`; its backward stream reads `</S> wn .. w1` and is to predict `wn .. w1 <S>`. Both are
equally long, so a window of `unroll_steps` positions holds the same sentences in both directions, and the distinct
words of the batch go through the character encoder once. `</S>` -> `<S>` is never a target. (Peters et al. 2018,
section 3.1, and the system published with it.)

Worker processes prepare windows ahead, each for some rows; what comes out does not depend on how many there are.
"""

import signal
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .corpus import Corpus
from .record_feed import RecordFeed, StreamPlan

if TYPE_CHECKING:
    from tokenization_elmo import ElmoTokenizer

IGNORED_TARGET = -100
_MAX_UNKNOWN_WORDS = 1 << 18


@dataclass
class Window:
    """`unroll_steps` positions T of the B local rows, over U distinct words.

    Attributes:
        character_ids: (U, 50) int16, the characters of the distinct words; `None` for word-input models.
        input_ids: (U,) int64, their word ids, `<UNK>` for words outside the vocabulary.
        forward_index: (B, T) int64, which of the distinct words the forward stream reads.
        forward_targets: (B, T) int64, word id of the next word; `IGNORED_TARGET` after the end of a row.
        backward_index, backward_targets: the same of the backward stream; `None` for forward-only models.
        epoch: the earliest epoch, from 0, that some local row is still in.
        num_targets: how many positions of a direction have a target; B * T, but for the end of the last epoch.
    """

    character_ids: torch.Tensor | None
    input_ids: torch.Tensor
    forward_index: torch.Tensor
    forward_targets: torch.Tensor
    backward_index: torch.Tensor | None
    backward_targets: torch.Tensor | None
    epoch: int
    num_targets: int

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Window":
        """The window with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Window":
        """The window with its tensors in page-locked memory."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, function) -> "Window":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Window(**{k: function(v) if isinstance(v, torch.Tensor) else v for k, v in values.items()})


class WindowLoader:
    """Iterates over the windows of this process's rows.

    Iterating goes on from where the loader stands, and after the last window of a finite one it stands at the
    beginning again. Rows never wait for each other: a row goes straight on to its next epoch. At the very end, rows
    that are out of text have `IGNORED_TARGET`s; so every word is a target exactly once an epoch.

    The loader must not be passed to `accelerator.prepare`: it has divided the rows among the processes already.

    Args:
        corpus: from `open_corpus`.
        tokenizer: with the vocabulary of the softmax.
        batch_size: rows of the global batch, over all processes.
        unroll_steps: positions in a window.
        rank, world_size: this process and how many there are; world_size must divide batch_size.
        bidirectional: whether there is a backward stream.
        characters: whether windows have character_ids.
        seed, shuffle, shuffle_buffer, num_epochs: see `StreamPlan`.
        num_workers: processes that prepare windows; 0 prepares them here.
        prefetch: windows that a worker prepares ahead.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: "ElmoTokenizer",
        *,
        batch_size: int,
        unroll_steps: int = 20,
        rank: int = 0,
        world_size: int = 1,
        bidirectional: bool = True,
        characters: bool = True,
        seed: int = 0,
        shuffle: bool = True,
        shuffle_buffer: int = 2**17,
        num_epochs: int | None = None,
        num_workers: int = 0,
        prefetch: int = 8,
    ) -> None:
        for name, value in (
            ("batch_size", batch_size),
            ("unroll_steps", unroll_steps),
            ("shuffle_buffer", shuffle_buffer),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} rows cannot be divided equally among {world_size} processes")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be at least 0 and below world_size {world_size}, not {rank}")
        local = batch_size // world_size
        plan = StreamPlan(batch_size, seed, shuffle, shuffle_buffer, num_epochs)
        self.rows = range(rank * local, (rank + 1) * local)
        self._num_workers, self._prefetch = min(num_workers, local), prefetch
        keys = _WordKeys(tokenizer, characters)
        self._dataset = _RowStreams(corpus, plan, self.rows, keys, unroll_steps, bidirectional)
        self._assembler = _Assembler(tokenizer, characters)

    def __iter__(self) -> Iterator[Window]:
        workers = {"num_workers": self._num_workers}
        if self._num_workers:
            workers |= {"prefetch_factor": self._prefetch, "worker_init_fn": _ignore_signals}
        parts = iter(DataLoader(self._dataset, batch_size=None, collate_fn=_as_is, **workers))
        while True:
            window_parts = [next(parts) for _ in range(max(1, self._num_workers))]
            if all(part.num_targets == 0 for part in window_parts):
                self._dataset.position = None
                return
            window = self._assembler.window(window_parts)
            self._dataset.position = _merge_positions([part.position for part in window_parts])
            yield window

    def state_dict(self) -> dict[str, Any]:
        """The position after the last window that was handed out: plain numbers, lists and dictionaries."""
        return {"streams": self._dataset.identity(), "position": self._dataset.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to the position of a `state_dict` of these rows; the number of workers may differ, and with
        `merge_states` that of processes.

        Raises:
            ValueError: the state is of other streams, and the message names what differs; or it lacks some row.
        """
        identity = self._dataset.identity()
        for name, value in identity.items():
            if state["streams"].get(name) != value:
                raise ValueError(
                    f"the position belongs to other streams: {name} was {state['streams'].get(name)!r}, "
                    f"and now it is {value!r}"
                )
        position = state["position"]
        if position is not None:
            missing = [row for row in self.rows if str(row) not in position["rows"]]
            if missing:
                raise ValueError(
                    f"the position lacks row {missing[0]} of the global batch: it is of another process; give the "
                    "merge_states of all of them"
                )
        self._dataset.position = position

    def empty_window(self) -> Window:
        """A window without targets, for a process whose rows have ended before those of another process."""
        return self._assembler.window([self._dataset.empty_part()])


def _as_is(part: "_Part") -> "_Part":
    return part


def _ignore_signals(worker: int) -> None:
    """Ctrl-C, and SIGTERM by most schedulers, go to all processes of a run; the main one is to save before it ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@dataclass
class _Part:
    """A window of some rows b, as a worker hands it over.

    In `inputs`, the words of `unknown_words` have the keys vocab_size, vocab_size + 1, ...
    """

    inputs: np.ndarray  # (directions, b, T) int32
    targets: np.ndarray  # (directions, b, T) int32
    unknown_words: list[str]  # by their first appearance: row by row, in each row forward before backward
    unknown_rows: np.ndarray | None  # (len(unknown_words), 50) int16
    epoch: int
    num_targets: int
    position: dict[str, Any]


class _WordKeys(dict):
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
        return _WordKeys, (self.tokenizer, self.characters)

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
        self.records: deque[tuple[int, int]] = deque()  # positions and epoch of the records that are begun or waiting
        self.taken, self.offset = taken, 0  # records that are done, positions that are done of the record after them
        self.epoch = 0

    def available(self) -> int:
        return len(self.buffers[0]) - self.start

    def advance(self, positions: int) -> None:
        self.start += positions
        self.offset += positions
        while self.records and self.offset >= self.records[0][0]:
            self.offset -= self.records.popleft()[0]
            self.taken += 1
        if self.records:
            self.epoch = self.records[0][1]


class _RowStreams(IterableDataset):
    """Endless windows of the local rows; in a worker, of its share of them. After the last epoch: without targets."""

    def __init__(
        self, corpus: Corpus, plan: StreamPlan, rows: range, keys: _WordKeys, unroll_steps: int, bidirectional: bool
    ) -> None:
        self._corpus, self._plan, self._rows, self._keys = corpus, plan, rows, keys
        self._steps, self._directions = unroll_steps, 2 if bidirectional else 1
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
            "text_format": corpus.text_format,
            "lines_per_record": corpus.lines_per_record,
            "held_out_share": corpus.held_out_share,
            "part": corpus.part,
        }

    def __iter__(self) -> Iterator[_Part]:
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        own = self._rows[len(self._rows) * number // count : len(self._rows) * (number + 1) // count]
        rows, lanes = self._open_rows(own)
        while True:
            for row in rows:
                if row.available() < self._steps:
                    self._fill(row)
            yield self._part(own, rows, lanes)

    def empty_part(self) -> _Part:
        """A window of all rows without targets."""
        shape = (self._directions, len(self._rows), self._steps)
        inputs, targets = np.full(shape, self._keys.bos, np.int32), np.full(shape, IGNORED_TARGET, np.int32)
        return _Part(inputs, targets, [], None, epoch=self._plan.num_epochs or 0, num_targets=0, position={})

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
        taken = row.feed.take(row.index)
        if taken is None:
            return False
        epoch, record = taken
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
        row.records.append((len(inputs) - before, epoch))
        if len(row.records) == 1:
            row.epoch = epoch
        return True

    def _fill(self, row: _Row) -> None:
        for buffer in row.buffers:
            del buffer[: row.start]
        row.start = 0
        while row.available() < self._steps:
            if not self._read_record(row):
                if not row.records:
                    row.epoch = self._plan.num_epochs
                missing = self._steps - row.available()
                for buffer, padding in zip(
                    row.buffers, [self._keys.bos, IGNORED_TARGET] * self._directions, strict=True
                ):
                    buffer.extend([padding] * missing)

    def _part(self, own: range, rows: list[_Row], lanes: dict[int, tuple[RecordFeed, list[_Row]]]) -> _Part:
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
        epoch = min(row.epoch for row in rows)
        for row in rows:
            row.advance(self._steps)
        unknown = self._number_unknown(inputs)
        targets[targets >= self._keys.size] = self._keys.unk
        if len(self._keys.unknown) > _MAX_UNKNOWN_WORDS:
            self._forget_unknown(rows)
        return _Part(
            inputs=inputs,
            targets=targets,
            unknown_words=unknown,
            unknown_rows=self._keys.tokenizer.encode_words(unknown) if unknown else None,
            epoch=epoch,
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


class _Assembler:
    """Makes a window of the parts of the workers."""

    def __init__(self, tokenizer: "ElmoTokenizer", characters: bool) -> None:
        self._size, self._unk = tokenizer.vocab_size, tokenizer.unk_token_id
        self._table = tokenizer.character_table if characters else None
        self._places = np.zeros(self._size, np.int64)  # scratch: key -> place among the distinct words of the window

    def window(self, parts: list[_Part]) -> Window:
        inputs, unknown_rows = self._join_inputs(parts)
        targets = torch.from_numpy(np.concatenate([part.targets for part in parts], axis=1)).long()

        keys = np.unique(inputs)
        known = keys[: len(keys) - len(unknown_rows)]  # every unknown word is an input, and their keys are the highest
        if self._size + len(unknown_rows) > len(self._places):
            self._places = np.zeros(2 * (self._size + len(unknown_rows)), np.int64)
        self._places[keys] = np.arange(len(keys))
        index = torch.from_numpy(self._places[inputs])
        character_ids = None
        if self._table is not None:
            character_ids = torch.from_numpy(np.concatenate([self._table[known], *unknown_rows]))
        input_ids = np.full(len(keys), self._unk, np.int64)
        input_ids[: len(known)] = known

        forward, backward = (0, 1) if len(index) == 2 else (0, None)
        return Window(
            character_ids=character_ids,
            input_ids=torch.from_numpy(input_ids),
            forward_index=index[forward],
            forward_targets=targets[forward],
            backward_index=None if backward is None else index[backward],
            backward_targets=None if backward is None else targets[backward],
            epoch=min(part.epoch for part in parts),
            num_targets=sum(part.num_targets for part in parts),
        )

    def _join_inputs(self, parts: list[_Part]) -> tuple[np.ndarray, list[np.ndarray]]:
        """All inputs, the unknown words of all parts numbered together, and those words' rows, each (1, 50)."""
        numbers: dict[str, int] = {}
        rows: list[np.ndarray] = []
        joined = []
        for part in parts:
            inputs = part.inputs
            if part.unknown_words:
                for i, word in enumerate(part.unknown_words):
                    if word not in numbers:
                        numbers[word] = self._size + len(numbers)
                        rows.append(part.unknown_rows[i : i + 1])
                if rows and len(parts) > 1:
                    is_unknown = inputs >= self._size
                    renumbered = np.array([numbers[word] for word in part.unknown_words], np.int32)
                    inputs = inputs.copy()
                    inputs[is_unknown] = renumbered[inputs[is_unknown] - self._size]
            joined.append(inputs)
        return np.concatenate(joined, axis=1), rows


def merge_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """One state of all rows, of the `state_dict`s of all processes at the same step. However many processes go on
    from it, each loader finds its rows there."""
    positions = [state["position"] for state in states if state["position"] is not None]
    return {"streams": states[0]["streams"], "position": _merge_positions(positions) if positions else None}


def _merge_positions(positions: list[dict[str, Any]]) -> dict[str, Any]:
    """One position of all rows. Of a lane that several workers read, the earliest chunk start serves all."""
    merged: dict[str, Any] = {"rows": {}, "lanes": {}}
    for position in positions:
        merged["rows"] |= position["rows"]
        for lane, start in position["lanes"].items():
            known = merged["lanes"].setdefault(lane, start)
            if (start["epoch"], start["chunk"]) < (known["epoch"], known["chunk"]):
                merged["lanes"][lane] = start
    return merged
