"""What a converted model's card says of where its weights come from."""

import hashlib
from pathlib import Path
from typing import Any

from ..text_files import FormatError, read_object
from .sources import SourceFiles

CONVERTED = (
    "Converted with `elmo convert` from published weights, without any change to what they compute\n"
    "({arithmetic}). Read from:\n\n{files}\n\n{corpus}"
    "The licence is that of the published weights; see where they were obtained."
)


def bilm_card(sources: SourceFiles, *used: Path | None) -> dict[str, Any]:
    """Fields of [`write_model_card`] for a published biLM."""
    meta = read_meta(sources.files.get("meta.json"))
    corpora = meta.get("corpus")
    corpora = [corpus for corpus in corpora if isinstance(corpus, dict)] if isinstance(corpora, list) else []
    text = "".join(corpus_line(corpus) for corpus in corpora)
    return {
        "summary": "A biLM of the ELMo family (Peters et al., 2018) with its published weights.",
        "origin": CONVERTED.format(
            arithmetic="`elmo export` gives them back",
            files=file_lines(path for path in used if path is not None),
            corpus=f"Trained, as the weights' own description says, on:\n\n{text}\n" if text else "",
        ),
        "language": sorted({corpus["language"] for corpus in corpora if isinstance(corpus.get("language"), str)}),
    }


def elmoformanylangs_card(sources: SourceFiles) -> dict[str, Any]:
    """Fields of [`write_model_card`] for a model of ELMoForManyLangs."""
    names = ("char.dic", "word.dic", "token_embedder.pkl", "encoder.pkl")
    return {
        "summary": "An ELMoForManyLangs model (Che et al., 2018) with its published weights.",
        "origin": CONVERTED.format(
            arithmetic="gates reordered, the highways' gates negated, to the same effect",
            files=file_lines(sources.files[name] for name in names if name in sources.files),
            corpus="",
        ),
    }


def read_meta(path: Path | None) -> dict[str, Any]:
    """meta.json of an NLPL archive, a description that nothing depends on."""
    if path is None:
        return {}
    try:
        return read_object(path)
    except FormatError:
        return {}


def corpus_line(corpus: dict[str, Any]) -> str:
    size = f", {corpus['tokens']:,} tokens" if isinstance(corpus.get("tokens"), int) else ""
    url = f", {corpus['url']}" if isinstance(corpus.get("url"), str) else ""
    return f"- {one_line(corpus.get('description', 'a corpus without a name'))}{size}{one_line(url)}\n"


def one_line(text: Any) -> str:
    return " ".join(str(text).split())


def file_lines(paths) -> str:
    return "\n".join(f"- `{path.name}`, sha256 `{sha256(path)}`" for path in paths)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
