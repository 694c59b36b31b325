"""Opening corpora: sources, text formats, records, held-out parts."""

import pickle

import pytest

from modeling_elmo import ElmoTokenizer
from modeling_elmo.pretraining.corpus import CorpusError, open_corpus

split_words = ElmoTokenizer().split_words


def records(corpus) -> list[str]:
    return [record for shard in range(len(corpus.shards)) for record in corpus.records(shard)]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"first of {name}\n\n  \nsecond of {name}\n")
    return tmp_path


def test_files_folders_globs_and_lists(folder):
    of_a, of_b = ["first of a.txt", "second of a.txt"], ["first of b.txt", "second of b.txt"]
    assert records(open_corpus(folder / "a.txt")) == of_a
    assert records(open_corpus(str(folder))) == [*of_a, *of_b, "first of deep/c.txt", "second of deep/c.txt"]
    assert records(open_corpus(f"{folder}/*.txt")) == of_a + of_b
    assert records(open_corpus([folder / "b.txt", f"{folder}/a*"])) == of_b + of_a
    assert records(open_corpus([folder / "b.txt", f"{folder}/*.txt", f"{folder}/deep/../a.txt"])) == of_b + of_a


def test_folders_that_links_point_to_are_read_and_hidden_ones_are_not(folder, tmp_path_factory):
    name = tmp_path_factory.mktemp("corpora") / "one [of] many"
    (name / ".cache").mkdir(parents=True)
    for hidden in (name / ".cache" / "d.txt", name / ".e.txt"):
        hidden.write_text("hidden\n")
    (name / "linked").symlink_to(folder / "deep")
    assert records(open_corpus(name)) == ["first of deep/c.txt", "second of deep/c.txt"]


@pytest.mark.parametrize("source", ["nothing/here.txt", "nothing-*.gz", "missing.jsonl", []])
def test_nothing_there(source):
    with pytest.raises(CorpusError, match="no such file|list of files to read is empty"):
        open_corpus(source)


def test_an_unknown_name_says_that_it_is_neither_file_nor_dataset(monkeypatch):
    def load_dataset(*arguments, **options):
        raise FileNotFoundError("no dataset of this name")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(CorpusError, match="someone/something: no such file or folder, and as a dataset.*of this name"):
        open_corpus("someone/something")


def test_hub_datasets_are_streamed(monkeypatch):
    from datasets import Dataset

    calls = []

    def load_dataset(*arguments, **options):
        calls.append((arguments, options))
        return Dataset.from_dict({"body": ["A b . C d .", "E f ."]}).to_iterable_dataset()

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    corpus = open_corpus("someone/something", column="body", split="validation", configuration="small")
    assert calls == [(("someone/something", "small"), {"split": "validation", "streaming": True})]
    assert records(corpus) == ["A b . C d .", "E f ."]


def test_dataset_objects_keep_their_shards():
    from datasets import Dataset

    texts = [f"text {number}" for number in range(10)]
    dataset = Dataset.from_dict({"text": texts, "id": list(range(10))})
    assert records(open_corpus(dataset)) == texts
    corpus = open_corpus(dataset.to_iterable_dataset(num_shards=3))
    assert len(corpus.shards) == 3
    assert sorted(records(corpus)) == texts
    assert records(pickle.loads(pickle.dumps(corpus))) == records(corpus)
    with pytest.raises(CorpusError, match="no column 'body'; it has 'text', 'id'"):
        open_corpus(dataset, column="body")
    with pytest.raises(TypeError, match="not from dict"):
        open_corpus({"train": dataset})


def test_tokenised_sentences_are_split_at_white_space_only(tmp_path):
    (tmp_path / "a.txt").write_text(" Mr. Smith  don't .\n( so )\n")
    corpus = open_corpus(tmp_path / "a.txt")
    assert list(corpus.sentences(split_words)) == [["Mr.", "Smith", "don't", "."], ["(", "so", ")"]]


def test_raw_paragraphs_are_split_into_sentences_and_words(tmp_path):
    (tmp_path / "a.txt").write_text("Mr. Smith didn't come. He was ill!\n\nSee os.path. Then go.\n")
    corpus = open_corpus(tmp_path / "a.txt", text_format="paragraphs")
    assert len(records(corpus)) == 2
    assert [" ".join(words) for words in corpus.sentences(split_words)] == [
        "Mr. Smith didn 't come .",
        "He was ill !",
        "See os.path .",
        "Then go .",
    ]


def test_hard_wrapped_text_is_joined_up_to_the_empty_line(tmp_path):
    (tmp_path / "a.txt").write_text("A sentence that\nis broken. Another\n  one.\n\n\nThe next\nparagraph.")
    corpus = open_corpus(tmp_path / "a.txt", text_format="wrapped")
    assert records(corpus) == ["A sentence that is broken. Another one.", "The next paragraph."]


def test_a_field_of_a_table_is_one_record(tmp_path):
    from datasets import Dataset

    dataset = Dataset.from_dict({"text": ["One is\nhere.\n\nTwo is\nhere.", "Three."]})
    corpus = open_corpus(dataset, text_format="wrapped")
    assert records(corpus) == ["One is here.\nTwo is here.", "Three."]
    assert [len(words) for words in corpus.sentences(split_words)] == [4, 4, 2]


def test_lines_per_record_keeps_lines_together(tmp_path):
    (tmp_path / "a.txt").write_text("a\nb\n\nc\nd\ne\n")
    corpus = open_corpus(tmp_path / "a.txt", lines_per_record=2)
    assert records(corpus) == ["a\nb", "c\nd", "e"]
    assert list(corpus.sentences(split_words)) == [["a"], ["b"], ["c"], ["d"], ["e"]]


def test_the_held_out_part_is_the_complement_and_equal_records_stay_together(tmp_path):
    lines = [f"sentence number {number}" for number in range(2000)] * 2
    (tmp_path / "a.txt").write_text("\n".join(lines))
    corpus = open_corpus(tmp_path / "a.txt")
    train, held_out = map(records, corpus.split(0.1))
    assert sorted(train + held_out) == sorted(lines)
    assert not set(train) & set(held_out)
    assert 0.07 < len(held_out) / len(lines) < 0.13
    assert records(corpus.split(0.1)[1]) == held_out


def test_the_weight_of_tokenised_records_is_their_number_of_stream_positions(tmp_path):
    (tmp_path / "a.txt").write_text("a b c\nd\n e\n")
    corpus = open_corpus(tmp_path / "a.txt", lines_per_record=2)
    assert corpus.weight("a b c\nd") == 4 + 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_format": "html"}, "text_format must be one of sentences, paragraphs, wrapped, not 'html'"),
        ({"lines_per_record": 0}, "lines_per_record must be at least 1, not 0"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(ValueError, match=message):
        open_corpus(folder, **options)


def test_files_that_are_held_out_are_not_trained_on(folder, monkeypatch):
    monkeypatch.chdir(folder)
    corpus = open_corpus(folder).without(open_corpus(["b.txt", "deep/../a.txt"]))
    assert records(corpus) == ["first of deep/c.txt", "second of deep/c.txt"]
    assert corpus.without(open_corpus(folder)) == corpus


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_bad_held_out_share(folder, share):
    with pytest.raises(ValueError, match="held_out_share must lie between 0 and 1"):
        open_corpus(folder).split(share)
