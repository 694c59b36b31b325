"""transformers' pipelines over tokenizer and model."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from modeling_elmo import ElmoForTokenClassification, ElmoModel, ElmoTokenizer

TEXTS = ["The river bank was closed.", "Hé said 😀", "", "the river the bank the river", "don't pneumono" + "x" * 60]


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = ElmoTokenizer(["<S>", "</S>", "<UNK>", "the", "river", "bank"])
    make_model(vocab_size=tokenizer.vocab_size, num_negative_samples=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_feature_extraction_in_batches(folder, batch_size):
    extract = pipeline("feature-extraction", model=str(folder), batch_size=batch_size)
    assert type(extract.model) is ElmoModel
    features = extract(TEXTS, return_tensors=True)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for text, found in zip(TEXTS, features, strict=True):
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        # A text's own tokens come first; the padding of its batch follows, zeros.
        length = expected.shape[1]
        torch.testing.assert_close(found[:, :length], expected, rtol=0, atol=1e-6)
        assert not found[:, length:].any()


def test_feature_extraction_as_lists(folder):
    extract = pipeline("feature-extraction", model=str(folder), tokenizer=str(folder))
    (words,) = extract("the river bank")
    assert len(words) == 5 and len(words[0]) == extract.model.config.hidden_size


def test_feature_extraction_of_a_stream(folder):
    extract = pipeline("feature-extraction", model=str(folder))
    found = list(extract((text for text in TEXTS), batch_size=2))
    assert len(found) == len(TEXTS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_feature_extraction_in_half_precision(folder, dtype):
    extract = pipeline("feature-extraction", model=str(folder), dtype=dtype)
    assert extract.model.dtype == dtype
    exact = pipeline("feature-extraction", model=str(folder))
    torch.testing.assert_close(
        extract(TEXTS[0], return_tensors=True).float(), exact(TEXTS[0], return_tensors=True), rtol=0, atol=0.1
    )


def test_token_classification(make_model, folder, tmp_path):
    labels = {0: "O", 1: "B-LOC", 2: "I-LOC"}
    model = make_model(ElmoForTokenClassification, id2label=labels, label2id={name: id for id, name in labels.items()})
    model.save_pretrained(tmp_path)
    ElmoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    classify = pipeline("token-classification", model=str(tmp_path), aggregation_strategy="first")
    alone = [classify(text) for text in TEXTS]
    together = classify(TEXTS, batch_size=3)
    assert any(alone)
    for text, found, expected in zip(TEXTS, together, alone, strict=True):
        assert [entity["word"] for entity in found] == [entity["word"] for entity in expected]
        assert [entity["score"] for entity in found] == pytest.approx(
            [entity["score"] for entity in expected], abs=1e-5
        )
        for entity in found:
            assert text[entity["start"] : entity["end"]] == entity["word"]
