"""Windows of the batch: what a step of language model training reads, put together from the streams of the rows.

Worker processes prepare the rows' parts ahead; what comes out does not depend on how many there are.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from .corpus import Corpus, CorpusError
from .record_feed import StreamPlan
from .streams import RowStreams, StreamPart, WordKeys

if TYPE_CHECKING:
    from tokenization_elmo import ElmoTokenizer

WINDOWS_AHEAD = 8  # prepared by each worker


@dataclass
class Window:
    """`unroll_steps` positions T of the B local rows, over U distinct words.

    Attributes:
        character_ids: (U, max_characters_per_token), of the distinct words; `None` for word-input models.
        input_ids: (U,) int64, their word ids, `<UNK>` for words outside the vocabulary.
        forward_index: (B, T) int64, which of the distinct words the forward stream reads.
        forward_targets: (B, T) int64, word id of the next word; `IGNORED_TARGET` after the end of a row.
        backward_index, backward_targets: the same of the backward stream; `None` for forward-only models.
        num_targets: how many positions of a direction have a target; B * T, but for the end of the last epoch.
    """

    character_ids: torch.Tensor | None
    input_ids: torch.Tensor
    forward_index: torch.Tensor
    forward_targets: torch.Tensor
    backward_index: torch.Tensor | None
    backward_targets: torch.Tensor | None
    num_targets: int

    def inputs(self) -> dict[str, torch.Tensor | None]:
        """What `ElmoForPreTraining.forward` reads."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "num_targets"}

    def to(self, device: torch.device | str) -> "Window":
        """The window with its tensors on `device`."""
        inputs = {name: None if tensor is None else tensor.to(device) for name, tensor in self.inputs().items()}
        return Window(**inputs, num_targets=self.num_targets)

    def select_rows(self, rows: slice) -> "Window":
        """The window of some of its rows, with the words that they need."""
        indices = [self.forward_index[rows]]
        if self.backward_index is not None:
            indices.append(self.backward_index[rows])
        words, places = torch.unique(torch.stack(indices), return_inverse=True)
        return Window(
            character_ids=None if self.character_ids is None else self.character_ids[words],
            input_ids=self.input_ids[words],
            forward_index=places[0],
            forward_targets=self.forward_targets[rows],
            backward_index=places[1] if self.backward_index is not None else None,
            backward_targets=None if self.backward_targets is None else self.backward_targets[rows],
            num_targets=int((self.forward_targets[rows] >= 0).sum()),
        )


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
        self._num_workers = min(num_workers, local)
        keys = WordKeys(tokenizer, characters)
        self._dataset = RowStreams(corpus, plan, self.rows, keys, unroll_steps, bidirectional)
        self._assembler = _Assembler(tokenizer, characters)

    def __iter__(self) -> Iterator[Window]:
        """The windows, without an end unless epochs are counted.

        Raises:
            CorpusError, OSError: the text cannot be read, or has nothing for some row.
        """
        workers = {"num_workers": self._num_workers}
        if self._num_workers:
            workers |= {"prefetch_factor": WINDOWS_AHEAD, "worker_init_fn": _ignore_signals}
        parts = iter(DataLoader(self._dataset, batch_size=None, collate_fn=_as_is, **workers))
        try:
            while True:
                window_parts = [next(parts) for _ in range(max(1, self._num_workers))]
                faults = [part for part in window_parts if isinstance(part, str)]
                if faults:
                    raise CorpusError(faults[0])
                if all(part.num_targets == 0 for part in window_parts):
                    self._dataset.position = None
                    return
                window = self._assembler.window(window_parts)
                self._dataset.position = _merge_positions([part.position for part in window_parts])
                yield window
        finally:
            if self._num_workers:
                # They ignore the signal by which Python ends them, and would keep it from ending: an error's traceback
                # holds their iterator, which otherwise does this when it goes.
                parts._shutdown_workers()

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
            before = state["streams"].get(name, value)  # an older version did not note it
            if before != value:
                raise ValueError(
                    f"the position belongs to other streams: {name} was {before!r}, and now it is {value!r}"
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


def _as_is(part: StreamPart) -> StreamPart:
    return part


def _ignore_signals(worker: int) -> None:
    """Ctrl-C, and SIGTERM by most schedulers, go to all processes of a run; the main one is to save before it ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class _Assembler:
    """Makes a window of the parts of the workers."""

    def __init__(self, tokenizer: "ElmoTokenizer", characters: bool) -> None:
        self._size, self._unk = tokenizer.vocab_size, tokenizer.unk_token_id
        self._table = tokenizer.character_table if characters else None
        self._places = np.zeros(self._size, np.int64)  # scratch: key -> place among the distinct words of the window

    def window(self, parts: list[StreamPart]) -> Window:
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
            num_targets=sum(part.num_targets for part in parts),
        )

    def _join_inputs(self, parts: list[StreamPart]) -> tuple[np.ndarray, list[np.ndarray]]:
        """All inputs, the unknown words of all parts numbered together, and the rows of those words, (1, n) each."""
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
