"""The recipes on a folder in the form of a data set of the Hub, in place of files."""

import json

import pytest
from datasets import ClassLabel, Dataset, Sequence

TEXTS = [("a lovely film", "good"), ("a dull film", "bad")] * 6
TAGGED = [(["Anna", "left", "Oslo", "."], ["S-PER", "O", "S-LOC", "O"])] * 8
CONTEXT = "Ann lives in York ."
QUESTIONS = [
    {
        "id": f"q{number}",
        "question": f"Where does {number} live ?",
        "context": CONTEXT,
        "answers": {"text": ["York"], "answer_start": [CONTEXT.index("York")]},
    }
    for number in range(10)
]


def write_splits(folder, dataset):
    folder.mkdir()
    for split in ("train", "validation"):
        dataset.to_parquet(folder / f"{split}.parquet")
    return folder


@pytest.fixture
def options(tiny_elmo):
    return ["--model_name_or_path", tiny_elmo, "--num_train_epochs", 1, "--head_hidden_size", 8]


def test_texts_whose_classes_have_names(tmp_path, finetune, options):
    names = ClassLabel(names=["bad", "good"])
    dataset = Dataset.from_list([{"review": text, "stars": label} for text, label in TEXTS])
    folder = write_splits(tmp_path / "reviews", dataset.cast_column("stars", names))
    options += ["--dataset_name", folder, "--text_column", "review"]
    finetune("sequence_classification", tmp_path / "out", *options, "--label_column", "stars")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["labels"] == ["bad", "good"]
    with pytest.raises(SystemExit, match=r"reviews: no column 'label'; there are \['review', 'stars'\]"):
        finetune("sequence_classification", tmp_path / "out", *options)


def test_texts_without_a_class_are_named_or_left_out(tmp_path, finetune, options):
    names = ClassLabel(names=["bad", "good"])
    rows = [{"text": text, "label": label} for text, label in [*TEXTS, ("unknown", None)]]
    folder = write_splits(tmp_path / "reviews", Dataset.from_list(rows).cast_column("label", names))
    options += ["--dataset_name", folder]
    with pytest.raises(
        SystemExit, match="reviews, row 12: there is no label; leave such rows out by --ignored_labels"
    ):
        finetune("sequence_classification", tmp_path / "out", *options)
    finetune("sequence_classification", tmp_path / "out", *options, "--ignored_labels", "None")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["labels"] == ["bad", "good"]


def test_several_labels_whose_classes_have_names(tmp_path, finetune, options):
    dataset = Dataset.from_list([{"text": text, "label": [0, 2] if label == "good" else []} for text, label in TEXTS])
    names = ClassLabel(names=["joy", "anger", "wonder"])
    folder = write_splits(tmp_path / "feelings", dataset.cast_column("label", Sequence(names)))
    finetune("sequence_classification", tmp_path / "out", *options, "--dataset_name", folder)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["labels"] == ["joy", "wonder"]


def test_tags_whose_classes_have_names(tmp_path, finetune, options):
    names = ClassLabel(names=["O", "S-PER", "S-LOC"])
    dataset = Dataset.from_list([{"tokens": words, "ner_tags": tags} for words, tags in TAGGED])
    folder = write_splits(tmp_path / "news", dataset.cast_column("ner_tags", Sequence(names)))
    options += ["--dataset_name", folder]
    metrics = finetune("token_classification", tmp_path / "out", *options, "--label_column", "ner_tags")
    assert {"precision", "recall", "f1"} <= set(metrics["validation"])  # so BIOES is known as entities' labels
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["labels"] == ["B-LOC", "B-PER", "O"]
    with pytest.raises(SystemExit, match=r"news: no column 'tags'; there are \['tokens', 'ner_tags'\]"):
        finetune("token_classification", tmp_path / "out", *options)
    flat = write_splits(tmp_path / "flat", Dataset.from_list([{"tokens": "Anna left", "tags": "B-PER O"}]))
    with pytest.raises(SystemExit, match="flat: the column 'tokens' has no lists, with a value for each word"):
        finetune("token_classification", tmp_path / "out", *options, "--dataset_name", flat)


def test_questions_as_from_a_file(tmp_path, finetune, options):
    folder = write_splits(tmp_path / "homes", Dataset.from_list(QUESTIONS))
    entries = [each | {"answers": [{"text": "York", "answer_start": CONTEXT.index("York")}]} for each in QUESTIONS]
    squad = {"data": [{"title": "homes", "paragraphs": [{"context": CONTEXT, "qas": entries}]}]}
    (tmp_path / "homes.json").write_text(json.dumps(squad))
    files = ["--train_file", tmp_path / "homes.json", "--validation_file", tmp_path / "homes.json"]
    of_files = finetune("question_answering", tmp_path / "files", *options, *files)
    of_folder = finetune("question_answering", tmp_path / "folder", *options, "--dataset_name", folder)
    assert of_folder == of_files
    predictions = [(tmp_path / name / "predictions_validation.json").read_text() for name in ("files", "folder")]
    assert predictions[0] == predictions[1]


def test_a_file_that_cannot_be_read_ends_in_a_message(tmp_path, finetune, options):
    (tmp_path / "pairs.tsv.gz").write_text("text\tlabel\n")
    files = ["--train_file", tmp_path / "pairs.tsv.gz", "--validation_fraction", 0.5]
    with pytest.raises(SystemExit, match="pairs.tsv.gz, after line 0: cannot be read .Not a gzipped file"):
        finetune("sequence_classification", tmp_path / "out", *options, *files)
    with pytest.raises(SystemExit, match="--label_column is 'ner'; in columns it must be a number"):
        finetune("token_classification", tmp_path / "out", *options, *files, "--label_column", "ner")
