"""Trees with a class at every phrase."""

import pytest

from modeling_elmo.tasks.sentiment_trees import parse_tree, read_trees
from modeling_elmo.text_files import FormatError

TREE = r"(3 (2 It) (4 (3 (2 's) (4 lovely)) (2 (2 -LRB-) (2 1\/2))))"


def test_words_and_phrases():
    tree = parse_tree(TREE)
    assert tree.words == ["It", "'s", "lovely", "(", "1/2"]
    phrases = [(" ".join(phrase.words), phrase.label) for phrase in tree.phrases()]
    assert phrases[0] == ("It 's lovely ( 1/2", "3")
    assert ("'s lovely", "3") in phrases and ("lovely", "4") in phrases
    assert len(phrases) == 9


def test_words_may_hold_a_no_break_space():
    assert parse_tree("(2 (2 8\u00a01\\/2) (2 times))").words == ["8\u00a01/2", "times"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(3 (2 It) (4 lovely)", "the tree has no end"),
        ("(3 (2 It)) (4 lovely)", "after the tree's end"),
        ("(3 It lovely)", "'lovely' has no bracket of its own"),
        ("(3 (2 It) lovely)", "'lovely' has no bracket of its own"),
        ("(3 It (2 lovely))", "beside the word 'It'"),
        ("lovely", "outside of brackets"),
        ("(3 ())", "a bracket without a label"),
        ("(3 (2 It) (4))", "a phrase without words"),
    ],
)
def test_malformed_trees_are_named(tmp_path, line, message):
    path = tmp_path / "dev.txt"
    path.write_text(f"{TREE}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(FormatError, match=f"dev.txt:3: .*{message}"):
        read_trees(path)


def test_real_files(shared_data):
    trees = read_trees(shared_data / "cls_sst5" / "dev.ptb_trees.txt.gz")
    assert len(trees) == 1101
    assert {tree.label for tree in trees} == set("01234")
