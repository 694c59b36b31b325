"""The splits of a task's data."""

import json

import pytest

from modeling_elmo.tasks.arguments import DataArguments
from modeling_elmo.tasks.splits import hold_out, load_splits, sample


def test_smaller_samples_are_part_of_larger_ones():
    items = list(range(1000))
    one, ten = sample(items, 0.01, seed=3), sample(items, 0.1, seed=3)
    assert len(one) == 10 and len(ten) == 100
    assert set(one) < set(ten) and ten == sorted(ten)
    assert set(one) != set(sample(items, 0.01, seed=4))
    assert len(sample(items[:5], 0.01, seed=3)) == 1


def test_held_out_items_share_no_group():
    items = [(premise, hypothesis) for premise in range(50) for hypothesis in range(3)]
    kept, held_out = hold_out(items, 0.2, seed=0, group=lambda item: item[0])
    assert len(held_out) == 30 and sorted(kept + held_out) == items
    assert not {premise for premise, _ in kept} & {premise for premise, _ in held_out}


def test_splits_from_files():
    def read(path, name):
        assert name == {"a": "train", "b": "validation", "c": "test"}[path]
        return [f"{path}{number}" for number in range(10)]

    data = DataArguments(train_file="a", validation_file="b", train_fraction=0.5, max_eval_samples=3)
    splits = load_splits(data, 0, read, None, str)
    assert {name: len(items) for name, items in splits.items()} == {"train": 5, "validation": 3}
    splits = load_splits(DataArguments(train_file="a", test_file="c", validation_fraction=0.2), 0, read, None, str)
    assert {name: len(items) for name, items in splits.items()} == {"train": 8, "test": 10, "validation": 2}
    with pytest.raises(ValueError, match="the train data are empty"):
        load_splits(DataArguments(train_file="a", validation_file="b"), 0, lambda path, name: [], None, str)
    with pytest.raises(ValueError, match="--validation_fraction 0.2 holds out all training data"):
        one_document = DataArguments(train_file="a", validation_fraction=0.2)
        load_splits(one_document, 0, read, None, lambda item: "the document")


def test_a_local_folder_is_a_data_set(tmp_path):
    for split, size in (("train", 10), ("validation", 3)):
        rows = [json.dumps({"text": f"{split} {number}"}) for number in range(size)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    data = DataArguments(dataset_name=str(tmp_path), max_eval_samples=2)
    splits = load_splits(data, 0, None, lambda rows: [row["text"] for row in rows], str)
    assert len(splits["train"]) == 10 and len(splits["validation"]) == 2
    assert all(text.startswith(name) for name, texts in splits.items() for text in texts)


def test_a_test_split_whose_labels_are_secret_is_left_out(tmp_path):
    for split, label in (("train", 1), ("validation", 0), ("test", -1)):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"label": label}) + "\n")

    def read_rows(rows):
        return [row["label"] for row in rows if row["label"] != -1]

    splits = load_splits(DataArguments(dataset_name=str(tmp_path)), 0, None, read_rows, str)
    assert splits == {"train": [1], "validation": [0]}
