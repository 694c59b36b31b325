"""`pad()`, and with it the library's data collators and loaders."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import BatchEncoding, DataCollatorForTokenClassification, DataCollatorWithPadding

SENTENCES = [["the", "cat", "sat"], ["Anna"], ["a", "zebra", "'s", "mat", "."]]
PAD = 12


@pytest.fixture
def expected(tokenizer):
    return tokenizer(SENTENCES, is_split_into_words=True, padding=True, return_tensors="pt")


@pytest.fixture
def features(tokenizer):
    return [dict(tokenizer(sentence, is_split_into_words=True)) for sentence in SENTENCES]


def assert_same(batch, expected):
    assert set(batch) == set(expected)
    for key, values in expected.items():
        assert batch[key].dtype == values.dtype, key
        assert torch.equal(torch.as_tensor(batch[key]), values), key


@pytest.mark.parametrize("form", ["examples", "encodings", "columns", "arrays", "tensors"])
def test_forms(tokenizer, features, expected, form):
    inputs = {
        "examples": lambda: features,
        "encodings": lambda: [BatchEncoding(feature) for feature in features],
        "columns": lambda: tokenizer(SENTENCES, is_split_into_words=True),
        "arrays": lambda: [{key: np.array(value) for key, value in feature.items()} for feature in features],
        "tensors": lambda: [{key: torch.tensor(value) for key, value in feature.items()} for feature in features],
    }[form]()
    assert_same(tokenizer.pad(inputs, return_tensors="pt"), expected)


def test_type_of_the_result(tokenizer, features, expected):
    lists = tokenizer.pad(features)
    assert lists["character_ids"] == expected["character_ids"].tolist()
    assert lists["input_ids"] == expected["input_ids"].tolist()
    arrays = tokenizer.pad([{key: np.array(value) for key, value in feature.items()} for feature in features])
    assert isinstance(arrays["character_ids"], np.ndarray) and arrays["character_ids"].dtype == np.int16
    tensors = tokenizer.pad([{key: torch.tensor(value) for key, value in feature.items()} for feature in features])
    assert torch.equal(tensors["character_ids"], expected["character_ids"])
    assert isinstance(tokenizer.pad(features, return_tensors="np")["character_ids"], np.ndarray)


def test_inputs_are_left_alone(tokenizer, features):
    before = [{key: list(value) for key, value in feature.items()} for feature in features]
    tokenizer.pad(features, return_tensors="pt")
    encoding = tokenizer(SENTENCES, is_split_into_words=True)
    tokenizer.pad(encoding, return_tensors="pt")
    assert features == before
    assert "character_ids" in encoding


@pytest.mark.parametrize("side", ["left", "right"])
def test_options(tokenizer, features, side):
    tokenizer.padding_side = side
    options = {"padding": "max_length", "max_length": 9, "pad_to_multiple_of": 4, "return_tensors": "pt"}
    batch = tokenizer.pad(features, **options)
    assert batch["character_ids"].shape == (3, 12, 50)
    assert torch.equal(batch["character_ids"].any(-1).long(), batch["attention_mask"])
    rows = tokenizer.encode_words(["<S>", "Anna", "</S>"]).tolist()
    place = slice(None, 3) if side == "right" else slice(-3, None)
    assert batch["character_ids"][1, place].tolist() == rows
    other = "left" if side == "right" else "right"
    assert tokenizer.pad(features, padding_side=other)["attention_mask"][1][0] == (1 if other == "right" else 0)
    unpadded = tokenizer.pad(features, padding=False)
    assert unpadded["character_ids"] == [feature["character_ids"] for feature in features]


def test_single_example(tokenizer, features):
    padded = tokenizer.pad(features[1], padding="max_length", max_length=5)
    assert padded["input_ids"] == [0, 10, 1, PAD, PAD]
    assert np.array(padded["character_ids"]).shape == (5, 50)
    tensor = tokenizer.pad(features[1], padding="max_length", max_length=5, return_tensors="pt")
    assert tensor["character_ids"].shape == (5, 50)


def test_without_one_of_the_two(tokenizer, features, expected):
    """Data sets that keep only the characters, or only the word ids."""
    characters = [{"character_ids": feature["character_ids"]} for feature in features]
    batch = tokenizer.pad(characters, return_tensors="pt")
    assert set(batch) == {"character_ids", "attention_mask"}
    assert torch.equal(batch["character_ids"], expected["character_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    arrays = tokenizer.pad([{"character_ids": np.array(item["character_ids"], np.int16)} for item in characters])
    assert isinstance(arrays["character_ids"], np.ndarray)
    ids = tokenizer.pad([{"input_ids": feature["input_ids"]} for feature in features], return_tensors="pt")
    assert set(ids) == {"input_ids", "attention_mask"}
    assert torch.equal(ids["input_ids"], expected["input_ids"])
    with pytest.raises(ValueError, match="input_ids"):
        tokenizer.pad([{"labels": [1]}])


def test_empty_sequences(tokenizer):
    examples = [tokenizer(text, add_special_tokens=False) for text in ("", "cat", "")]
    batch = tokenizer.pad(examples, return_tensors="pt")
    assert batch["attention_mask"].tolist() == [[0], [1], [0]]
    assert batch["character_ids"].any(-1).tolist() == [[False], [True], [False]]
    nothing = tokenizer.pad([dict(examples[0]), dict(examples[2])])
    assert nothing["input_ids"] == nothing["character_ids"] == [[], []]


def test_what_does_not_fit_is_an_error(tokenizer, features):
    features[1]["character_ids"] = features[1]["character_ids"][:-1]
    with pytest.raises(ValueError, match="example 1 has 3 input_ids but 2 rows of character_ids"):
        tokenizer.pad(features)
    with pytest.raises(ValueError, match=r"shape \(3, 20\); this tokenizer's are \(tokens, 50\)"):
        tokenizer.pad([{"input_ids": [0, 2, 1], "character_ids": [[1] * 20] * 3}])


def test_collators(tokenizer, features, expected):
    for feature, label in zip(features, (0, 1, 0), strict=True):
        feature["label"] = label
    batch = DataCollatorWithPadding(tokenizer)(features)
    assert batch.pop("labels").tolist() == [0, 1, 0]
    assert_same(batch, expected)

    for feature in features:
        feature["labels"] = [-100, *range(len(feature["input_ids"]) - 2), -100]
        del feature["label"]
    batch = DataCollatorForTokenClassification(tokenizer)(features)
    assert batch.pop("labels")[1].tolist() == [-100, 0, -100, -100, -100, -100, -100]
    assert_same(batch, expected)


class Tokenized(torch.utils.data.Dataset):
    """Tokenizes in the loader's workers."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __len__(self):
        return len(SENTENCES)

    def __getitem__(self, number):
        return self.tokenizer(SENTENCES[number], is_split_into_words=True)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loader_with_workers(tokenizer, expected, context):
    loader = DataLoader(
        Tokenized(tokenizer),
        batch_size=3,
        num_workers=2,
        collate_fn=DataCollatorWithPadding(tokenizer),
        multiprocessing_context=context,
    )
    (batch,) = loader
    assert_same(batch, expected)
