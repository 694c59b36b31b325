"""OntoNotes as a data set of the Hub has it."""

import pytest

from modeling_elmo.tasks.conll2012 import Frame
from modeling_elmo.tasks.ontonotes_rows import documents_from_dataset


def row_sentence(part: int, words: str, labels: str, chains, **changes):
    words = words.split()
    sold = words.index("sold")
    return {
        "part_id": part,
        "words": words,
        "pos_tags": [7] * len(words),
        "predicate_lemmas": ["sell" if i == sold else None for i in range(len(words))],
        "predicate_framenet_ids": ["01" if i == sold else None for i in range(len(words))],
        "speaker": "ann",
        "srl_frames": [{"verb": "sold", "frames": labels.split()}],
        "coref_spans": chains,
        **changes,
    }


def test_parts_frames_and_chains():
    rows = [
        {
            "document_id": "bc/x",
            "sentences": [
                row_sentence(1, "Ann sold the boat", "B-ARG0 B-V B-ARG1 I-ARG1", [[5, 0, 0], [2, 2, 3]]),
                row_sentence(1, "She sold it", "B-ARG0 B-V B-ARG1", [[5, 0, 0], [2, 2, 2]], speaker=None),
                row_sentence(2, "Bo sold", "O B-V", []),
            ],
        }
    ]
    first, second = documents_from_dataset(rows)
    assert (first.key, first.part, second.part, first.genre) == ("bc/x", 1, 2, "bc")
    assert sorted(first.clusters) == [[(0, 0), (4, 4)], [(2, 3), (6, 6)]] and second.clusters == []
    arguments = [("ARG0", (0, 0)), ("V", (1, 1)), ("ARG1", (2, 3))]
    assert first.sentences[0].frames == [Frame(1, "sell", "01", arguments)]
    assert first.sentences[0].speakers == ["ann"] * 4 and first.sentences[1].speakers == ["-"] * 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("B-ARG0 O O O", "have not one label 'B-V'"),
        ("O B-V O I-ARG1", "'I-ARG1' of word 3 goes on with a span that is not there"),
    ],
)
def test_malformed_documents_are_named(labels, message):
    row = {"document_id": "bc/x", "sentences": [row_sentence(1, "Ann sold the boat", labels, [])]}
    with pytest.raises(ValueError, match=f"document 'bc/x' of the data set: .*{message}"):
        documents_from_dataset([row])
    with pytest.raises(ValueError, match="document 'bc/x' of the data set lacks 'sentences'"):
        documents_from_dataset([{"document_id": "bc/x"}])
