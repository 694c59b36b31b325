"""The embedded corpus: the English prose of the documentation that every installation carries.

Sources are Python's own language reference (`pydoc_data.topics`) and the docstrings of the standard library and of the
packages that are installed with this one, whose files are read but never imported. What is left after cleaning (see
prose.py) is some hundred thousand words of plain technical English: enough to try everything out with no download.
"""

import ast
import contextlib
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

from tokenization_elmo import ElmoTokenizer

from .prose import is_prose, paragraphs
from .sentences import split_sentences

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "networkx",
    "sympy",
    "matplotlib",
    "datasets",
    "accelerate",
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "fsspec",
    "jinja2",
)
_SKIPPED_FOLDERS = {"test", "tests", "testing", "site-packages", "dist-packages", "_vendor", "idlelib"}
_FILES_PER_TASK = 32
# A string at the start of a file, or below a line that ends in a colon. Ten times as fast as syntax trees.
_DOCSTRING = re.compile(
    r"""(?:\A(?:\s|\#[^\n]*\n)*|:[ \t]*\n\s*)([rRuU]?)(\"{3}|'{3})(.*?)(?<!\\)\2""",
    re.DOTALL,
)


def embedded_corpus_file() -> Path:
    """The embedded corpus as a text file, one tokenised sentence a line; made on first use.

    It is kept in the user's cache (`modeling_elmo` in `XDG_CACHE_HOME`), under a name that changes with the versions
    of what it is made from.
    """
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modeling_elmo"
    with contextlib.suppress(OSError):
        cache_folder.mkdir(parents=True, exist_ok=True)
    if not os.access(cache_folder, os.W_OK):  # a container's home, often
        cache_folder = Path(tempfile.gettempdir())
    path = cache_folder / f"embedded-{_fingerprint()}.txt"
    if not path.is_file():
        text = "".join(f"{' '.join(words)}\n" for words in build_embedded_corpus())
        descriptor, unfinished = tempfile.mkstemp(dir=cache_folder)
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(unfinished, path)
    return path


def build_embedded_corpus(packages: tuple[str, ...] = PACKAGES, num_processes: int | None = None) -> list[list[str]]:
    """Distinct sentences, each a list of words, in an order that depends on nothing but the installed files."""
    files = [file for root in _source_folders(packages) for file in _source_files(root)]
    tasks = [files[start : start + _FILES_PER_TASK] for start in range(0, len(files), _FILES_PER_TASK)]
    found = _sentences(topics.values())
    with ProcessPoolExecutor(num_processes or os.cpu_count()) as pool:
        for part in pool.map(_sentences_of_files, tasks):
            found += part
    return list({" ".join(words): words for words in found}.values())


def _fingerprint() -> str:
    """Of the versions of the sources and of the code that cleans and splits them."""
    digest = hashlib.sha256(sys.version.encode())
    for package in (*PACKAGES, "sentencex"):
        with contextlib.suppress(PackageNotFoundError):
            digest.update(f"{package} {version(package)}".encode())
    for module in (is_prose.__module__, split_sentences.__module__, __name__, ElmoTokenizer.__module__):
        digest.update(Path(sys.modules[module].__file__).read_bytes())
    return digest.hexdigest()[:16]


def _source_folders(packages: tuple[str, ...]) -> list[Path]:
    """The standard library, then each package that is installed."""
    folders = [Path(sysconfig.get_paths()["stdlib"])]
    for package in packages:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parent)
    return folders


def _source_files(folder: Path) -> list[Path]:
    files = []
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        files += [Path(path, name) for name in names if name.endswith(".py")]
    return sorted(files)


def _sentences_of_files(files: list[Path]) -> list[list[str]]:
    return _sentences(docstring for file in files for docstring in _docstrings(file))


def _sentences(documentation: Iterable[str]) -> list[list[str]]:
    split_words = ElmoTokenizer().split_words
    sentences: dict[str, None] = {}
    for text in documentation:
        for paragraph in paragraphs(text):
            sentences |= dict.fromkeys(filter(is_prose, split_sentences(paragraph)))
    return [split_words(sentence) for sentence in sentences]


def _docstrings(file: Path) -> Iterator[str]:
    """Docstrings of a module, its classes and functions."""
    for prefix, quotes, body in _DOCSTRING.findall(file.read_text(encoding="utf-8", errors="replace")):
        if "\\" in body and prefix.lower() != "r":
            try:
                body = ast.literal_eval(quotes + body + quotes)
            except (SyntaxError, ValueError):  # a malformed escape
                continue
        yield inspect.cleandoc(body)
