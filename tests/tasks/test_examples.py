"""Examples without padding, labels aligned to words, batches."""

import numpy as np
import pytest
import torch

from modeling_elmo import ElmoTokenizer
from modeling_elmo.tasks.examples import PaddingCollator, encode_tagged, encode_texts

SENTENCES = [["The", "river", "bank", "."], ["Hé"], ["It", "'s", "closed"]]


@pytest.fixture
def tokenizer():
    return ElmoTokenizer(vocab=["river", "bank"])


def test_examples_are_what_the_tokenizer_gives_alone(tokenizer, monkeypatch):
    monkeypatch.setattr("modeling_elmo.tasks.examples.TEXTS_PER_CALL", 2)
    for texts, options in ((SENTENCES, {"is_split_into_words": True}), (["The river bank.", "Hé", "A b"], {})):
        for text, example in zip(texts, encode_texts(tokenizer, texts), strict=True):
            alone = tokenizer(text, return_tensors="np", **options)
            assert set(example) == set(alone)
            for name, values in example.items():
                np.testing.assert_array_equal(values, alone[name][0])


def test_pairs(tokenizer):
    example = encode_texts(tokenizer, SENTENCES[:1], SENTENCES[1:2])[0]
    assert example["token_type_ids"].tolist() == [0] * 6 + [1] * 3
    assert example["character_ids"].shape == (9, 50)


def test_labels_stand_at_their_words(tokenizer):
    examples = encode_tagged(tokenizer, SENTENCES, [[1, 2, 3, 4], [5], [6, 7, 8]])
    assert [example["labels"].tolist() for example in examples] == [
        [-100, 1, 2, 3, 4, -100],
        [-100, 5, -100],
        [-100, 6, 7, 8, -100],
    ]
    with pytest.raises(ValueError, match="sentence 1 has 1 words and 2 labels"):
        encode_tagged(tokenizer, SENTENCES[:2], [[1, 2, 3, 4], [5, 6]])


def test_batches(tokenizer):
    examples = encode_tagged(tokenizer, SENTENCES, [[1, 2, 3, 4], [5], [6, 7, 8]])
    batch = PaddingCollator(tokenizer)(
        [{**example, "layers": np.ones((len(example["labels"]), 3, 2))} for example in examples]
    )
    assert batch["character_ids"].shape == (3, 6, 50) and batch["character_ids"].dtype == torch.int16
    assert batch["layers"].shape == (3, 6, 3, 2) and (batch["layers"][1, 3:] == 0).all()
    assert batch["labels"][1].tolist() == [-100, 5, -100, -100, -100, -100]
    assert batch["input_ids"][1, 3:].tolist() == [tokenizer.pad_token_id] * 3
    assert batch["attention_mask"].sum(-1).tolist() == [6, 3, 5]
    batch = PaddingCollator(tokenizer)([{"input_ids": [1], "labels": label} for label in (0.5, 1.0)])
    assert batch["labels"].tolist() == [0.5, 1.0]


def test_a_word_that_is_written_like_a_boundary_mark_is_a_word():
    tokenizer = ElmoTokenizer(vocab=["a", "<s>"])
    words = [["<S>", "a", "</S>", "<S>"]]
    (tagged,) = encode_tagged(tokenizer, words, [[1, 2, 3, 4]])
    (pair,) = encode_texts(tokenizer, words, words)
    bos, eos, unk = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
    a, s = tokenizer.convert_tokens_to_ids(["a", "<s>"])
    assert tagged["input_ids"].tolist() == [bos, s, a, unk, s, eos]
    assert tagged["labels"].tolist() == [-100, 1, 2, 3, 4, -100]
    assert pair["input_ids"].tolist() == 2 * tagged["input_ids"].tolist()
