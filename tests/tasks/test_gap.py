"""GAP's rows, decisions by chains, and their scores."""

import pytest

from modeling_elmo.tasks.gap import COLUMNS, decide, gap_scores, read_gap
from modeling_elmo.text_files import FormatError

TEXT = "Ann met Bo's friend Eve before she left."
ROW = {
    "ID": "x-1",
    "Text": TEXT,
    "Pronoun": "she",
    "Pronoun-offset": str(TEXT.index("she")),
    "A": "Ann",
    "A-offset": "0",
    "A-coref": "TRUE",
    "B": "Eve",
    "B-offset": str(TEXT.index("Eve")),
    "B-coref": "FALSE",
}


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        lines = ["\t".join(row[column] for column in COLUMNS) for row in rows]
        (tmp_path / "gap.tsv").write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n")
        return tmp_path / "gap.tsv"

    return write


def test_rows(write):
    (example,) = read_gap(write(ROW))
    assert [TEXT[start:end] for start, end in (example.pronoun, *example.names)] == ["she", "Ann", "Eve"]
    assert example.refers == (True, False) and not example.masculine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A-offset": "1"}, "'Ann' is not at character 1 of the text, as A-offset says"),
        ({"Pronoun-offset": "x"}, "'she' is not at character x of the text, as Pronoun-offset says"),
        ({"B-coref": "yes"}, "B-coref is 'yes'; expected TRUE or FALSE"),
        ({"Pronoun": "met", "Pronoun-offset": "4"}, "the pronoun is 'met'"),
    ],
)
def test_malformed_rows_are_named(write, change, message):
    with pytest.raises(FormatError, match=f"gap.tsv:3: {message}"):
        read_gap(write(ROW, ROW | change))


def test_decisions(write):
    (example,) = read_gap(write(ROW))
    she, ann, eve = example.pronoun, *example.names
    assert decide(example, [[ann, eve, she]]) == (True, True)
    assert decide(example, [[ann, eve], [she]]) == (False, False)
    assert decide(example, [[(ann[0], eve[1]), she]]) == (False, False)  # a longer mention is not the name
    possessive = "Bo's"
    start = TEXT.index(possessive)
    (other,) = read_gap(write(ROW | {"B": "Bo", "B-offset": str(start)}))
    assert decide(other, [[she, (start, start + len(possessive))]]) == (False, True)


def test_scores_by_gender(write):
    he = {"Text": TEXT.replace("she", "he "), "Pronoun": "he"}
    examples = read_gap(write(ROW, ROW | he, ROW | he | {"A-coref": "FALSE"}))
    scores = gap_scores(examples, [(True, True), (True, False), (False, False)])
    assert scores == pytest.approx(
        {"overall_f1": 80.0, "masculine_f1": 100.0, "feminine_f1": 100 * 2 / 3, "bias": 2 / 3}
    )
    assert gap_scores(examples, [(False, False)] * 3)["bias"] == 0


def test_real_file(shared_data):
    examples = read_gap(shared_data / "coref_gap" / "gap-validation.tsv.gz")
    assert len(examples) == 454 and sum(example.masculine for example in examples) == 227
