"""Reading and writing coreference chains and semantic roles in CoNLL-2012 columns."""

import pytest

from modeling_elmo.tasks.conll2012 import Document, FormatError, Frame, Sentence, read_conll2012, write_conll2012

TEXT = """#begin document (nw/one); part 000
nw/one 0 0 Ann NNP * - - - A * (ARG0*) (0|(1)
nw/one 0 1 and CC * - - - A * * -
nw/one 0 2 Bo NNP * - - - A * * 0)
nw/one 0 3 left VBD * leave 01 - A * (V*) -

nw/one 0 0 They PRP * - - - B * (0)

#end document
"""


def write(tmp_path, text):
    path = tmp_path / "text.conll"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_chains_and_roles(tmp_path):
    (document,) = read_conll2012(write(tmp_path, TEXT))
    assert document.words == ["Ann", "and", "Bo", "left", "They"]
    assert document.clusters == [[(0, 0)], [(0, 2), (4, 4)]] and document.genre == "nw"
    assert document.sentences[0].frames == [Frame(3, "leave", "01", [("ARG0", (0, 0)), ("V", (3, 3))])]
    assert document.sentences[1].frames == [] and document.sentences[1].speakers == ["B"]


def test_what_is_written_reads_back(tmp_path):
    words = ["a", "b", "\n c", "d\t"]
    frames = [Frame(1, "b", "02", [("ARG0", (0, 0)), ("V", (1, 1)), ("ARG1", (2, 3))]), Frame(2, "c", "01", [])]
    nested = [[(0, 3), (0, 1), (3, 3)], [(1, 1), (0, 2)], [(1, 3)]]
    document = Document("x/y", 3, [Sentence(words, ["T"] * 4, ["-"] * 4, frames)], [sorted(c) for c in nested])
    write_conll2012([document, document], tmp_path / "out.conll")
    read = list(read_conll2012(tmp_path / "out.conll"))
    document.sentences[0].words = ["a", "b", "  c", "d "]  # a word is a field of a line
    assert len(read) == 2 and read[0].sentences == document.sentences and read[0].part == 3
    assert sorted(read[0].clusters) == sorted(document.clusters)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0)", "7)", ":4: chain 7 ends a mention that never began"),
        ("(0|(1)", "(0|1", ":2: '\\(0|1' in the coreference column"),
        ("0)\n", "-\n", ":2: chain 0 begins a mention that never ends"),
        (" * - - - A * * 0)", " - 0)", ":4: 7 columns; a word has at least 12"),
        ("(V*) -", "-", ":5: 12 columns; the words before it have 13"),
        ("(ARG0*)", "(ARG0*", ":5: '\\(V\\*\\)' in argument column 12"),
        ("#end document\n", "", "ends inside document 'nw/one'"),
        ("#begin document (nw/one); part 000", "#begin document nw", ":1: expected '#begin document"),
    ],
)
def test_malformed_lines_are_named(tmp_path, old, new, message):
    assert old in TEXT
    path = write(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(FormatError, match=message):
        list(read_conll2012(path))


def test_mentions_of_a_chain_that_share_an_edge_read_back(tmp_path):
    sentence = Sentence(["a", "b", "c"], ["-"] * 3, ["-"] * 3)
    document = Document("nw/a", 0, [sentence], [[(0, 1), (1, 1), (1, 2)]])
    write_conll2012([document], tmp_path / "edges.conll")
    assert next(read_conll2012(tmp_path / "edges.conll")) == document


def test_predicates_without_a_sense_are_found_and_written(tmp_path):
    (known,) = read_conll2012(write(tmp_path, TEXT))
    (document,) = read_conll2012(write(tmp_path, TEXT.replace("leave 01", "- -")))
    frame = Frame(3, "-", "-", [("ARG0", (0, 0)), ("V", (3, 3))])
    assert document.sentences[0].frames == [frame] and document.clusters == known.clusters
    document.sentences[0].frames[0].arguments = [("ARG1", (0, 2))]  # a prediction need not mark the predicate
    write_conll2012([document], tmp_path / "out.conll")
    (read,) = read_conll2012(tmp_path / "out.conll")
    assert read.sentences[0].frames == [Frame(3, "-", "?", [("ARG1", (0, 2))])]


def test_other_columns_are_no_roles(tmp_path):
    text = TEXT.replace("leave 01", "- -").replace("(ARG0*)", "x").replace("(V*)", "y")
    (document,) = read_conll2012(write(tmp_path, text))
    assert not document.sentences[0].frames and document.words == ["Ann", "and", "Bo", "left", "They"]


def test_empty_documents(tmp_path):
    documents = [Document("nw/a", 0, [], []), Document("nw/b", 1, [Sentence(["a"], ["-"], ["-"])], [])]
    write_conll2012(documents, tmp_path / "out.conll")
    assert list(read_conll2012(tmp_path / "out.conll")) == documents
