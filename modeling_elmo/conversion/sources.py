"""Where the files of a published model are: single files, folders and zip archives, looked up by name."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path

from .errors import ConversionError

# What is taken out of an archive; TensorFlow's own checkpoints, which some hold too, are not needed.
WANTED = ("*.json", "*.hdf5", "*.h5", "*.txt", "*.txt.gz", "*.dic", "encoder.pkl", "token_embedder.pkl")


class SourceFiles:
    """The files of one model.

    Attributes:
        given (`list[Path]`): the sources as the user named them.
        files (`dict[str, Path]`): all files by name, those in folders and archives included.
    """

    def __init__(self, given: Sequence[Path], files: dict[str, Path]):
        self.given, self.files = list(given), files

    def __str__(self) -> str:
        return ", ".join(map(str, self.given))

    def find(self, what: str, named: Sequence[str], given: Sequence[str] = ()) -> Path:
        """The file of a role, or an error that says what was looked for; see [`look_for`]."""
        path = self.look_for(what, named, given)
        if path is None:
            names = ", ".join(sorted(self.files)) or "no file of use"
            raise ConversionError(f"{self} has no {what} ({' or '.join(named)}), but {names}")
        return path

    def look_for(self, what: str, named: Sequence[str], given: Sequence[str] = ()) -> Path | None:
        """The file of a role, `None` if there is none.

        A file that the user named alone is taken if it matches a pattern of `given`; among the others the first
        pattern of `named` that matches decides. Two files for one role are an error.
        """
        alone = [path.name for path in self.given if path.name in self.files and self.files[path.name] == path]
        for names, pattern in [(alone, pattern) for pattern in given] + [(self.files, pattern) for pattern in named]:
            matches = sorted(name for name in names if fnmatch(name, pattern))
            if len(matches) > 1:
                raise ConversionError(f"{self} has several files for the {what}: {matches}; name the files one by one")
            if matches:
                return self.files[matches[0]]
        return None


@contextmanager
def open_sources(sources: Sequence[str | Path]) -> Iterator[SourceFiles]:
    """Finds the files of a model in files, folders and zip archives; archives are unpacked for the while."""
    given, files = [Path(source) for source in sources], {}
    with ExitStack() as stack:
        for path in given:
            if path.is_dir():
                found = {entry.name: entry for entry in sorted(path.iterdir()) if entry.is_file()}
            elif not path.exists():
                raise ConversionError(f"{path} does not exist")
            elif path.suffix == ".zip":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elmo-convert-"))
                found = unpack(path, Path(folder))
            else:
                found = {path.name: path}
            for name in files.keys() & found.keys():
                if not files[name].samefile(found[name]):  # a file may be named beside its folder
                    raise ConversionError(f"{files[name]} and {found[name]} have the same name")
            files.update(found)
        yield SourceFiles(given, files)


def unpack(archive: Path, folder: Path) -> dict[str, Path]:
    """Copies the wanted members of a zip archive into a folder, under their bare names whatever their paths say."""
    members = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                name = member.filename.replace("\\", "/").rpartition("/")[2]
                if name.startswith(".") or not any(fnmatch(name, pattern) for pattern in WANTED):
                    continue
                if name in members:
                    raise ConversionError(f"{archive} has two members named {name}")
                members[name] = member
            needed = sum(member.file_size for member in members.values())
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise ConversionError(
                    f"{archive} unpacks to {needed / 1e9:.1f} GB, but in {folder.parent} {free / 1e9:.1f} GB are free"
                )
            for name, member in members.items():
                with opened.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise ConversionError(f"{archive} is no zip archive that can be read: {error}") from error
    return {name: folder / name for name in members}
