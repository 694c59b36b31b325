"""Labels, predicted documents and raw text of semantic role labelling."""

import pytest

from modeling_elmo import ElmoForSemanticRoleLabeling, ElmoTokenizer
from modeling_elmo.tasks.conll2012 import Document, Frame, Sentence
from modeling_elmo.tasks.raw_text import locate_sentences
from modeling_elmo.tasks.semantic_role_labeling import (
    label_roles,
    located_frame,
    role_labels,
    role_sentences,
    with_arguments,
)

TEXT = 'It rained.  Ann\'s son "sold" the boat, and left. Bo sold it.'


def sentence(text: str, *frames: Frame) -> Sentence:
    words = text.split()
    return Sentence(words, ["X"] * len(words), ["-"] * len(words), list(frames))


SOLD = Frame(1, "sell", "01", [("ARG0", (0, 0)), ("V", (1, 1)), ("C-ARG1", (2, 3))])
LEFT = Frame(3, "leave", "02", [("V", (3, 3))])
DOCUMENTS = [
    Document("a", 0, [sentence("Ann sold the boat", SOLD, LEFT), sentence("Yes .")], [[(0, 0)]]),
    Document("a", 1, [sentence("Bo sold it too", SOLD)], []),
]


def test_labels_of_every_role_begin_and_go_on():
    labels = ["O", "B-ARG0", "I-ARG0", "B-C-ARG1", "I-C-ARG1", "B-V", "I-V"]
    assert role_labels(role_sentences(DOCUMENTS)) == labels


def test_predicted_arguments_stand_in_their_documents():
    predicted = [[("ARG1", (0, 0))], [("ARG2", (1, 2))], []]
    first, second = with_arguments(role_sentences(DOCUMENTS), predicted)
    assert (first.key, first.part, second.part) == ("a", 0, 1)
    assert [len(each.words) for each in first.sentences] == [4, 2]
    assert [frame.arguments for frame in first.sentences[0].frames] == predicted[:2]
    assert [(frame.lemma, frame.arguments) for frame in second.sentences[0].frames] == [("sell", [])]
    assert DOCUMENTS[0].sentences[0].frames[0] is SOLD and SOLD.arguments[0][0] == "ARG0"  # the gold ones stay


def test_sentences_of_a_text_know_their_places():
    located = locate_sentences(ElmoTokenizer(), TEXT)
    assert len(located) == 3
    assert located[1].words[:5] == ["Ann", "'s", "son", '"', "sold"]
    for each in located:
        assert [TEXT[start:end] for start, end in each.offsets] == each.words
    assert locate_sentences(ElmoTokenizer(), " \n ") == []


def test_rendering_of_a_frame():
    located = locate_sentences(ElmoTokenizer(), TEXT)[1]
    frame = located_frame(TEXT, located, 4, [("ARG0", (0, 2)), ("V", (4, 4)), ("ARG1", (6, 7))])
    assert frame["rendering"] == '[ARG0 Ann\'s son] "[V sold]" [ARG1 the boat], and left.'
    assert [(each["role"], each["text"]) for each in frame["arguments"]] == [
        ("ARG0", "Ann's son"),
        ("ARG1", "the boat"),
    ]
    assert TEXT[frame["start"] : frame["end"]] == frame["predicate"] == "sold"


def test_given_predicates_are_found_and_labelled_as_their_sentences(make_model):
    labels = ["O", "B-ARG0", "I-ARG0", "B-V", "I-V"]
    model = make_model(ElmoForSemanticRoleLabeling, id2label=dict(enumerate(labels)), head_hidden_size=6)
    tokenizer = ElmoTokenizer()
    frames = label_roles(model, tokenizer, TEXT, ["sold", TEXT.index("left")], batch_size=2)
    assert [frame["predicate"] for frame in frames] == ["sold", "left", "sold"]
    alone = label_roles(model, tokenizer, "Bo sold it.", ["sold"])
    assert frames[2]["rendering"] == alone[0]["rendering"]
    for frame in frames:
        assert all(TEXT[each["start"] : each["end"]] == each["text"] for each in frame["arguments"])
    with pytest.raises(ValueError, match=r"no word of the text is, or begins at, \[1, 'bought'\]"):
        label_roles(model, tokenizer, TEXT, ["sold", "bought", 1])
