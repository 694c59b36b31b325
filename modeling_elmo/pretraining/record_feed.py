"""Dealing the records of a corpus out to the rows of a batch, in an order that can be taken up again anywhere.

The rows of the global batch belong to *lanes*, and the shards are divided among the lanes anew in every epoch. Local
files make one lane: everyone reads all of them and keeps its own rows' records. Remote shards make as many lanes as
divide the batch, so that a shard is fetched by few.

In a lane, records are read in chunks, each chunk is shuffled as a whole, and every record goes to the row that has
received least so far in this epoch. So the rows stay equally long whatever the lengths of the records, and what a row
receives depends on the seed, the epoch, the row and the batch size only. The order is a function of where a chunk
starts: a position is a few numbers, with no text of a shuffle buffer in it.
"""

import heapq
from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from .corpus import Corpus, CorpusError


@dataclass(frozen=True)
class StreamPlan:
    """What the streams of a global batch depend on, beside the corpus.

    Attributes:
        batch_size: rows of the global batch, over all processes.
        seed: of the order of shards and records.
        shuffle: whether shards and records are shuffled, anew in every epoch.
        shuffle_buffer: how many records are shuffled together, over all lanes.
        num_epochs: passes over the corpus; `None` is endless.
    """

    batch_size: int
    seed: int = 0
    shuffle: bool = True
    shuffle_buffer: int = 2**17
    num_epochs: int | None = None

    def num_lanes(self, corpus: Corpus) -> int:
        """Number of lanes: a divisor of the batch size and at most the number of shards."""
        if corpus.is_local:
            return 1
        most = min(self.batch_size, len(corpus.shards))
        return next(lanes for lanes in range(most, 0, -1) if self.batch_size % lanes == 0)


@dataclass(frozen=True)
class ChunkStart:
    """The position before a chunk: all that is needed to deal it, and what follows, again.

    Attributes:
        epoch, chunk: which chunk of which epoch it is.
        shard, record: the shard (in this epoch's order) and the record in it that the chunk starts with.
        loads: for every row of the lane, the weight of its records of this epoch so far.
        dealt: for every row of the lane, the number of its records of all epochs so far.
    """

    epoch: int
    chunk: int
    shard: int
    record: int
    loads: tuple[int, ...]
    dealt: tuple[int, ...]


class RecordFeed:
    """The records of some rows of one lane.

    Args:
        corpus, plan: what is read, and how.
        lane: index of the lane.
        rows: which rows of the global batch, all of this lane, to keep the records of.
        state: where to go on, an earlier `state(...)`; by default the beginning.
        taken: with `state`: for each of `rows`, how many records it has had.
    """

    def __init__(
        self,
        corpus: Corpus,
        plan: StreamPlan,
        lane: int,
        rows: range,
        state: dict[str, Any] | None = None,
        taken: list[int] | None = None,
    ) -> None:
        self._corpus, self._plan, self._lane = corpus, plan, lane
        self._lanes = plan.num_lanes(corpus)
        self._width = plan.batch_size // self._lanes
        self._own = [row - lane * self._width for row in rows]
        self._chunk_size = max(1, plan.shuffle_buffer // self._lanes)
        if state is None:
            self._next = ChunkStart(0, 0, 0, 0, (0,) * self._width, (0,) * self._width)
        else:
            self._next = ChunkStart(**state | {key: tuple(state[key]) for key in ("loads", "dealt")})
        self._queues: dict[int, deque[str]] = {row: deque() for row in self._own}
        self._to_skip = {row: (taken[i] if taken else 0) - self._next.dealt[row] for i, row in enumerate(self._own)}
        self._starts: deque[ChunkStart] = deque()  # of the chunks that some own row may still have records of
        self._open_epoch()

    def take(self, index: int) -> str | None:
        """The next record of the row at `index` in `rows`; `None` when the last epoch has ended."""
        queue = self._queues[self._own[index]]
        while not queue:
            if not self._deal_chunk():
                return None
        return queue.popleft()

    def state(self, taken: list[int]) -> dict[str, Any]:
        """Where to go on so that row i of `rows` goes on after its first `taken[i]` records."""
        while self._starts and self._are_done(self._starts[1] if len(self._starts) > 1 else self._next, taken):
            self._starts.popleft()
        return dict(vars(self._starts[0] if self._starts else self._next))

    def _are_done(self, following: ChunkStart, taken: list[int]) -> bool:
        """Whether every own row has had all its records of the chunks before `following`."""
        return all(count >= following.dealt[row] for count, row in zip(taken, self._own, strict=True))

    def _open_epoch(self) -> None:
        order = np.arange(len(self._corpus.shards))
        if self._plan.shuffle:
            order = np.random.default_rng([self._plan.seed, self._next.epoch]).permutation(order)
        self._order = order[self._lane :: self._lanes].tolist()
        self._shard, self._record, self._records = self._next.shard, self._next.record, None

    def _read_chunk(self) -> list[str]:
        chunk: list[str] = []
        while self._shard < len(self._order):
            if self._records is None:
                self._records = islice(self._corpus.records(self._order[self._shard]), self._record, None)
            part = list(islice(self._records, self._chunk_size - len(chunk)))
            chunk += part
            self._record += len(part)
            if len(chunk) == self._chunk_size:
                break
            self._shard, self._record, self._records = self._shard + 1, 0, None
        return chunk

    def _deal_chunk(self) -> bool:
        """Deals the next chunk out; false when there is none."""
        start = self._next
        if start.epoch == self._plan.num_epochs:
            return False
        records = self._read_chunk()
        if not records:
            if self._plan.num_epochs is None and start.chunk == 0:
                raise CorpusError("the corpus has no text for some rows: too few shards with text, or none at all")
            if self._plan.num_epochs is None and 0 in start.loads:  # whose turn would never come
                raise CorpusError(
                    f"the text has {sum(map(bool, start.loads))} records for {self._width} streams, which need one "
                    "each: lower batch_size or lines_per_record, or break the text into more lines"
                )
            zeros = (0,) * self._width
            self._next = replace(start, epoch=start.epoch + 1, chunk=0, shard=0, record=0, loads=zeros)
            self._open_epoch()
            return self._deal_chunk()
        order = range(len(records))
        if self._plan.shuffle:
            generator = np.random.default_rng([self._plan.seed, start.epoch, self._lane, start.chunk])
            order = generator.permutation(len(records)).tolist()

        loads = [(load, row) for row, load in enumerate(start.loads)]
        heapq.heapify(loads)
        dealt = list(start.dealt)
        weight, queues, to_skip = self._corpus.weight, self._queues, self._to_skip
        for i in order:
            load, row = loads[0]
            heapq.heapreplace(loads, (load + weight(records[i]), row))
            dealt[row] += 1
            if row in queues:
                if to_skip[row] > 0:
                    to_skip[row] -= 1
                else:
                    queues[row].append(records[i])
        new_loads = [0] * self._width
        for load, row in loads:
            new_loads[row] = load
        self._starts.append(start)
        self._next = ChunkStart(
            start.epoch, start.chunk + 1, self._shard, self._record, tuple(new_loads), tuple(dealt)
        )
        return True
