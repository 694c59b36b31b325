"""OntoNotes as a data set of the Hub has it (`conll2012_ontonotesv5`): a row is a document with all its parts."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from .conll2012 import Document, Frame, Sentence
from .semantic_roles import label_spans


def documents_from_dataset(rows: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The document parts of a `datasets.Dataset` with the columns `document_id` and `sentences`.

    Raises:
        ValueError: naming the document, if a field is missing or labels are not BIO.
    """
    documents = []
    for row in rows:
        try:
            for part, group in groupby(row["sentences"], key=lambda sentence: sentence["part_id"]):
                documents.append(_document(row["document_id"], part, list(group)))
        except KeyError as error:
            raise ValueError(f"document {row.get('document_id')!r} of the data set lacks {error}") from None
        except ValueError as error:
            raise ValueError(f"document {row['document_id']!r} of the data set: {error}") from None
    return documents


def _document(key: str, part: int, rows: list[Mapping[str, Any]]) -> Document:
    sentences, clusters, offset = [], {}, 0
    for row in rows:
        words = list(row["words"])
        frames = [_frame(row, list(frame["frames"])) for frame in row["srl_frames"]]
        speakers = [row["speaker"] or "-"] * len(words)
        sentences.append(Sentence(words, [str(tag) for tag in row["pos_tags"]], speakers, frames))
        for chain, first, last in row["coref_spans"]:
            clusters.setdefault(chain, []).append((first + offset, last + offset))
        offset += len(words)
    return Document(key, part, sentences, [sorted(spans) for spans in clusters.values()])


def _frame(row: Mapping[str, Any], labels: list[str]) -> Frame:
    if labels.count("B-V") != 1:
        raise ValueError(f"the roles of a predicate in {' '.join(row['words'])!r} have not one label 'B-V'")
    predicate = labels.index("B-V")
    lemma, sense = (row[name][predicate] or "?" for name in ("predicate_lemmas", "predicate_framenet_ids"))
    return Frame(predicate, lemma, sense, label_spans(labels))
