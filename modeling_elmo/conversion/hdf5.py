"""weights.hdf5 of the published biLMs: opened only if every array in it is plain and numeric."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..extras import require
from .errors import ConversionError

if TYPE_CHECKING:
    import h5py


@contextmanager
def open_arrays(path: Path) -> Iterator[dict[str, "h5py.Dataset"]]:
    """The arrays of an HDF5 file by their full names.

    Raises:
        ImportError: without h5py.
        ConversionError: if the file is foreign or damaged, or has anything but floating-point arrays of its own: links
            to elsewhere, arrays stored in other files, integers or objects.
    """
    h5py = require("h5py", "convert", f"{path}: reading HDF5")
    if not h5py.is_hdf5(path):
        with open(path, "rb") as file:
            start = file.read(64)
        is_pointer = start.startswith(b"version https://git-lfs")
        hint = " but a pointer of Git LFS: fetch the file itself" if is_pointer else ""
        raise ConversionError(f"{path} is not an HDF5 file{hint}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ConversionError(f"{path} is truncated or damaged: {error}") from error
    with file:
        try:
            arrays = dict(walk(path, file, h5py))
        except (OSError, RuntimeError, KeyError) as error:
            raise ConversionError(f"{path} is damaged: {error}") from error
        yield arrays


def walk(path: Path, group: "h5py.Group", h5py, prefix: str = "") -> Iterator[tuple[str, "h5py.Dataset"]]:
    for name in group:
        if isinstance(name, bytes):
            raise ConversionError(f"{path} is damaged: the name {name!r} is not UTF-8")
        key = prefix + name
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ConversionError(
                f"{path}: {key} is a link to elsewhere ({type(link).__name__}), which is not followed"
            )
        item = group[name]
        if isinstance(item, h5py.Group):
            # No published file nests deeper; a group may be linked into itself.
            if key.count("/") > 8:
                raise ConversionError(f"{path}: the groups down to {key} are nested too deep for a biLM")
            yield from walk(path, item, h5py, key + "/")
        elif not isinstance(item, h5py.Dataset):
            raise ConversionError(f"{path}: {key} is a {type(item).__name__}, not an array")
        elif item.is_virtual or item.external:
            raise ConversionError(f"{path}: {key} is stored in another file, which is not followed")
        elif item.dtype.kind != "f":
            raise ConversionError(f"{path}: {key} has dtype {item.dtype}; weights are floating-point numbers")
        elif not is_written(item):  # HDF5 would give zeros
            raise ConversionError(
                f"{path}: {key} of shape {item.shape} was never written, or not all of it: the file is not complete"
            )
        else:
            yield key, item


def is_written(item: "h5py.Dataset") -> bool:
    """Whether every value of an array has its place in the file."""
    if item.chunks is None or not item.size:
        return not item.size or item.id.get_storage_size() > 0
    chunks = (-(-length // width) for length, width in zip(item.shape, item.chunks, strict=True))
    return item.id.get_num_chunks() == math.prod(chunks)
