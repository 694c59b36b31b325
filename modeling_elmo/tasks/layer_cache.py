"""The biLM's layers of a data set, computed once into a memory-mapped file and read in every epoch.

A frozen biLM gives a text the same layers whenever it reads it, whatever stands beside it. So each distinct text is
kept once: the two of a pair each for itself, and a premise that has many hypotheses only once.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..modeling_elmo import ElmoModel, evaluation_mode
from ..text_files import require_space

logger = logging.getLogger(__name__)

Example = dict[str, np.ndarray]

TOKENS_PER_BATCH = 4096
DTYPES = ("float32", "float16")


class LayerCache:
    """Layers by text. A folder holds `layers.npy` (tokens, num_layers + 1, directions * P), `texts.npz` (a key for
    each text, and where its tokens begin) and `cache.json` (of which biLM they are); `lock` is held by who makes
    or opens it."""

    def __init__(self, folder: str | Path):
        """Opens a cache that [`LayerCache.build`] made."""
        self.folder = Path(folder)
        self.info = json.loads((self.folder / "cache.json").read_text(encoding="utf-8"))
        with np.load(self.folder / "texts.npz") as texts:
            self._starts = texts["starts"]
            self._rows = {bytes(key): row for row, key in enumerate(texts["keys"])}
        self._layers = np.load(self.folder / "layers.npy", mmap_mode="r")

    @classmethod
    def open(cls, folder: Path) -> "LayerCache | None":
        """The folder's cache, if there is one and it is whole."""
        if not (folder / "cache.json").exists():
            return None
        try:
            return cls(folder)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            logger.warning("the layer cache in %s is damaged (%s) and is made anew", folder, error)
            return None

    def __len__(self) -> int:
        """Distinct texts."""
        return len(self._rows)

    def layers(self, example: Example) -> np.ndarray:
        """The layers of an example's tokens, one or more texts: `(tokens, num_layers + 1, directions * P)`.

        Raises:
            KeyError: if one of its texts is not in the cache.
        """
        parts = []
        for text in split_texts(example, self.info["inputs"]):
            row = self._rows.get(text_key(text))
            if row is None:
                raise KeyError(f"the layer cache in {self.folder} lacks a text of {num_tokens(text)} tokens")
            parts.append(self._layers[self._starts[row] : self._starts[row + 1]])
        return np.concatenate(parts)

    @classmethod
    def build(
        cls, folder: str | Path, model: ElmoModel, examples: Iterable[Example], dtype: str = "float32"
    ) -> "LayerCache":
        """Opens the folder's cache if it is of this biLM and has all texts, else computes it.

        Args:
            folder: is made where it is not there.
            model: runs in evaluation mode where it is, on whichever device.
            examples: as the tokenizer makes them, without padding.
            dtype: of the file. `"float32"` gives exactly what training without a cache does; `"float16"` takes half
                the space.

        Raises:
            ValueError: if the folder has a cache of another biLM.
            OSError: if the layers do not fit on the disk.
        """
        folder = Path(folder)
        if dtype not in DTYPES:
            raise ValueError(f"dtype is {dtype!r}; it must be one of {DTYPES}")
        encoder = model.token_encoder
        read = {"character_ids": encoder.character_cnn, "input_ids": encoder.word_embeddings}
        inputs = [name for name, reader in read.items() if reader is not None]
        texts = {text_key(text): text for example in examples for text in split_texts(example, inputs)}
        info = {"bilm": fingerprint(model), "dtype": dtype, "inputs": inputs}
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            cache = cls.open(folder)
            if cache is not None:
                if cache.info != info:
                    raise ValueError(
                        f"{folder} has the layers of another biLM or dtype ({cache.info}, here {info}): name another "
                        "folder or delete it"
                    )
                if all(key in cache._rows for key in texts):
                    return cache
                logger.info("the layer cache in %s lacks some texts and is made anew", folder)
                del cache  # which would keep the space that its file takes
            cls._write(folder, model, texts, info)
            return cls(folder)

    @staticmethod
    def _write(folder: Path, model: ElmoModel, texts: dict[bytes, Example], info: dict[str, Any]):
        """Computes the layers of `texts`, by their keys, into files of the folder."""
        # Written last: without it the folder is no cache.
        for name in ("cache.json", "layers.npy"):
            (folder / name).unlink(missing_ok=True)
        # Longest first: batches of like length, and if memory is short it shows at once.
        keys = sorted(texts, key=lambda key: -num_tokens(texts[key]))
        starts = np.cumsum([0, *(num_tokens(texts[key]) for key in keys)])
        shape = (int(starts[-1]), model.config.num_hidden_layers + 1, model.config.layer_size)
        size = np.prod(shape, dtype=float) * np.dtype(info["dtype"]).itemsize
        logger.info("layers of %d texts, %d tokens: %.2f GB in %s", len(keys), shape[0], size / 1e9, folder)
        # A file in memory that runs out of space ends the process without a word.
        require_space(folder, size, "the layers")
        file = np.lib.format.open_memmap(folder / "layers.npy", "w+", dtype=info["dtype"], shape=shape)
        with tqdm(total=shape[0], desc="biLM layers", unit="token", unit_scale=True) as progress:
            for first, last in batches(starts):
                layers = compute_layers(model, [texts[key] for key in keys[first:last]])
                file[starts[first] : starts[last]] = layers.cpu().numpy()
                progress.update(int(starts[last] - starts[first]))
        file.flush()
        stored = np.array([np.frombuffer(key, np.uint8) for key in keys]).reshape(len(keys), -1)
        np.savez(folder / "texts.npz", keys=stored, starts=starts)
        (folder / "cache.json").write_text(json.dumps(info) + "\n", encoding="utf-8")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process works in the folder meanwhile; waits for one that does."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning("another process uses the layer cache in %s: waiting until it is done", folder)
        lock.acquire()
    except OSError:  # the folder is another user's, or cannot be written: its cache can be read all the same
        pass
    try:
        yield
    finally:
        lock.release()


class CachedLayersDataset(Dataset):
    """Examples whose `layers` stand in the place of `character_ids`, or beside them with `keep_characters`."""

    def __init__(self, examples: Sequence[dict[str, Any]], cache: LayerCache, keep_characters: bool = False):
        self.examples, self.cache, self.keep_characters = examples, cache, keep_characters

    def set_epoch(self, epoch: int):
        """Tells the examples, where they are others in each epoch."""
        if hasattr(self.examples, "set_epoch"):
            self.examples.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.examples[index]
        kept = {name: value for name, value in example.items() if self.keep_characters or name != "character_ids"}
        return {**kept, "layers": self.cache.layers(example)}


def num_tokens(text: Example) -> int:
    return len(next(iter(text.values())))


def split_texts(example: Example, names: Sequence[str]) -> list[Example]:
    """The texts that the biLM reads each alone, told apart by `token_type_ids`: of each what it reads, `names`."""
    kinds = np.asarray(example["token_type_ids"]) if "token_type_ids" in example else None
    if kinds is None or not kinds.any():
        return [{name: np.asarray(example[name]) for name in names}]
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return [
        {name: np.asarray(example[name])[start:end] for name in names}
        for start, end in zip(edges, edges[1:], strict=False)
    ]


def text_key(text: Example) -> bytes:
    """A digest of what the biLM reads."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(text):
        digest.update(np.ascontiguousarray(text[name], dtype=np.int32))
    return digest.digest()


def fingerprint(model: ElmoModel) -> str:
    """A digest of the biLM's weights and options; the combination has no part in it."""
    digest = hashlib.blake2b(digest_size=16)
    options = ("forget_bias", "cell_clip", "projection_clip", "use_residual", "hidden_act")
    digest.update(json.dumps([getattr(model.config, option) for option in options]).encode())
    for module in (model.token_encoder, model.lstm):
        for name, tensor in module.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def batches(starts: np.ndarray) -> Iterable[tuple[int, int]]:
    """Ranges of texts, longest first, that have at most `TOKENS_PER_BATCH` tokens when padded, or are one text."""
    first = 0
    while first < len(starts) - 1:
        longest = max(int(starts[first + 1] - starts[first]), 1)
        last = min(first + max(TOKENS_PER_BATCH // longest, 1), len(starts) - 1)
        yield first, last
        first = last


@torch.no_grad()
def compute_layers(model: ElmoModel, texts: Sequence[Example]) -> torch.Tensor:
    """The layers of all tokens of some texts, one text after the other: `(tokens, num_layers + 1, directions * P)`."""
    inputs = {
        name: torch.nn.utils.rnn.pad_sequence([torch.as_tensor(text[name]) for text in texts], batch_first=True).to(
            model.device
        )
        for name in texts[0]
    }
    lengths = torch.tensor([num_tokens(text) for text in texts])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    mask = mask.to(model.device)
    with evaluation_mode(model):
        hidden_states = model(**inputs, attention_mask=mask, output_hidden_states=True).hidden_states
    return torch.stack(hidden_states, dim=2)[mask].float()
