"""Files of vectors: HDF5, safetensors and .npz, each laid out first and then filled in any order.

All shapes are known before the first vector is computed. So a file gets its full structure at once, and each array has
its place in it: vectors go there in the order in which they are computed, none is kept in memory, and whenever the
process dies, what was written before stays valid.
"""

import io
import json
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..extras import require

FLOAT = np.dtype("<f4")
# Longest header that the safetensors library reads.
SAFETENSORS_HEADER_LIMIT = 100_000_000
# Where a ZIP member's local header has the CRC-32 of the content.
ZIP_CRC = slice(14, 18)


@dataclass(frozen=True)
class Contents:
    """What a file of vectors holds.

    Attributes:
        count: number of arrays.
        name: the name of each, by its number.
        shape: the shape of each, by its number.
        layers_last: whether arrays `(layers, T, width)` are stored as `(T, width, layers)`.
        index: the text of the dataset `sentence_to_index`, where there is one.
    """

    count: int
    name: Callable[[int], str]
    shape: Callable[[int], tuple[int, ...]]
    layers_last: bool = False
    index: str | None = None

    def num_bytes(self) -> np.ndarray:
        """Size of each array: `(count,)`."""
        sizes = (FLOAT.itemsize * math.prod(self.shape(number)) for number in range(self.count))
        return np.fromiter(sizes, np.int64, self.count)


class VectorFile(ABC):
    """A file of arrays at `path`, which has its final size from the start."""

    def __init__(self, path: Path, contents: Contents):
        self.path, self.contents = path, contents

    @abstractmethod
    def lay_out(self) -> None:
        """Makes the file with all but the vectors, in place of what was there."""

    @abstractmethod
    def offsets(self) -> np.ndarray:
        """Where in the file each array stands, in bytes: `(count,)`."""

    def encode(self, number: int, vectors: np.ndarray) -> bytes:
        """What stands there."""
        if self.contents.layers_last:
            vectors = np.moveaxis(vectors, 0, -1)
        return vectors.astype(FLOAT, copy=False).tobytes()

    def finish(self, file: BinaryIO) -> None:  # noqa: B027, most formats have nothing left to do
        """Completes the file, opened for reading and writing, when all arrays are in it."""


class Hdf5File(VectorFile):
    """A float32 dataset for each array, and perhaps `sentence_to_index`."""

    def __init__(self, path: Path, contents: Contents):
        super().__init__(path, contents)
        self._h5py = require("h5py", "convert", f"{path}: writing HDF5")

    def lay_out(self) -> None:
        h5py = self._h5py
        # Space for the values now, and no values: they are written past the library.
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        creation.set_obj_track_times(False)
        linking = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        linking.set_create_intermediate_group(True)
        linking.set_char_encoding(h5py.h5t.CSET_UTF8)
        with h5py.File(self.path, "w") as file:
            for number in range(self.contents.count):
                space = h5py.h5s.create_simple(self.contents.shape(number))
                name = self.contents.name(number).encode()
                h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32LE, space, creation, linking)
            if self.contents.index is not None:
                dataset = file.create_dataset("sentence_to_index", (1,), dtype=h5py.string_dtype())
                dataset[0] = self.contents.index

    def offsets(self) -> np.ndarray:
        h5py = self._h5py
        with h5py.File(self.path, "r") as file:
            # An array without values has no place.
            places = (
                h5py.h5d.open(file.id, self.contents.name(number).encode()).get_offset() or 0
                for number in range(self.contents.count)
            )
            return np.fromiter(places, np.int64, self.contents.count)


class SafetensorsFile(VectorFile):
    """A float32 tensor for each array."""

    def __init__(self, path: Path, contents: Contents):
        super().__init__(path, contents)
        self._ends = contents.num_bytes().cumsum()

    def _header(self) -> bytes:
        header, start = {}, 0
        for number, end in enumerate(self._ends.tolist()):
            shape = list(self.contents.shape(number))
            header[self.contents.name(number)] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
            start = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > SAFETENSORS_HEADER_LIMIT:
            raise ValueError(
                f"{self.contents.count} sentences are too many for one safetensors file, whose list of contents may "
                "have 100 MB; write HDF5, or split the input"
            )
        return len(text).to_bytes(8, "little") + text

    def lay_out(self) -> None:
        with open(self.path, "wb") as file:
            file.write(self._header())
            file.truncate(file.tell() + (int(self._ends[-1]) if len(self._ends) else 0))

    def offsets(self) -> np.ndarray:
        with open(self.path, "rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
        return start + self._ends - self.contents.num_bytes()


class NpzFile(VectorFile):
    """A .npy member for each array in an uncompressed ZIP archive.

    A ZIP archive's list of contents stands at its end, and has checksums of the contents: `finish` writes it.
    """

    def _member(self, number: int) -> tuple[zipfile.ZipInfo, bytes]:
        """The entry and the .npy header of an array."""
        shape = self.contents.shape(number)
        start = io.BytesIO()
        np.lib.format.write_array_header_1_0(start, {"descr": FLOAT.str, "fortran_order": False, "shape": shape})
        info = zipfile.ZipInfo(f"{self.contents.name(number)}.npy")
        info.CRC = 0  # until the array is there
        info.file_size = info.compress_size = len(start.getvalue()) + FLOAT.itemsize * math.prod(shape)
        return info, start.getvalue()

    def _sizes(self) -> np.ndarray:
        members = (self._member(number)[0] for number in range(self.contents.count))
        sizes = (len(info.FileHeader()) + info.file_size for info in members)
        return np.fromiter(sizes, np.int64, self.contents.count)

    def lay_out(self) -> None:
        with open(self.path, "wb") as file:
            file.truncate(int(self._sizes().sum()))

    def offsets(self) -> np.ndarray:
        sizes = self._sizes()
        return sizes.cumsum() - sizes

    def encode(self, number: int, vectors: np.ndarray) -> bytes:
        info, start = self._member(number)
        content = start + super().encode(number, vectors)
        info.CRC = zipfile.crc32(content)
        return info.FileHeader() + content

    def finish(self, file: BinaryIO) -> None:
        entries = []
        for number, offset in enumerate(self.offsets().tolist()):
            info, _ = self._member(number)
            file.seek(offset)
            info.header_offset, info.CRC = offset, int.from_bytes(file.read(ZIP_CRC.stop)[ZIP_CRC], "little")
            entries.append(info)
        file.seek(int(self._sizes().sum()))
        file.truncate()  # of a list of contents that an earlier run left unfinished
        with zipfile.ZipFile(file, "w") as archive:
            archive.infolist().extend(entries)


FORMATS: dict[str, type[VectorFile]] = {
    ".hdf5": Hdf5File,
    ".h5": Hdf5File,
    ".safetensors": SafetensorsFile,
    ".npz": NpzFile,
}
