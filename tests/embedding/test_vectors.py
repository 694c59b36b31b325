"""Vectors from Python: those of the model, in order, lazily."""

import itertools
import json
import random

import h5py
import numpy as np
import pytest
import torch
from embedding.texts import OTHERS, cut_to_words, plain_layers, random_text

import modeling_elmo
from modeling_elmo.conversion import convert
from modeling_elmo.embedding import batches, vectors


def test_vectors_are_the_model_s_in_order(embedder, small_batches):
    sentences = random_text(60)
    found = list(modeling_elmo.embed(embedder.model, sentences, layers="all", tokenizer=embedder.tokenizer))
    assert len(found) == 60
    for words, array in zip(sentences, found, strict=True):
        assert array.dtype == np.float32 and array.shape == (3, len(words), 12)
        np.testing.assert_allclose(array, cut_to_words(plain_layers(embedder, words)), atol=1e-6)


def test_layers(embedder, checkpoint):
    sentences = random_text(5, seed=1)
    model = embedder.model
    by_layers = {
        layers: list(modeling_elmo.embed(checkpoint, sentences, layers=layers, device="cpu"))
        for layers in ("all", "top", "average", "mix")
    }
    shares = (model.combinations[0].gamma * model.combinations[0].weights.softmax(0)).detach().numpy()
    for layers, top, average, mix in zip(*by_layers.values(), strict=True):
        np.testing.assert_array_equal(top, layers[-1])
        np.testing.assert_allclose(average, layers.mean(0), atol=1e-6)
        np.testing.assert_allclose(mix, np.tensordot(shares, layers, 1), atol=1e-6)


def test_mix_of_a_projection_has_its_width(make_model, tokenizer):
    model = make_model(representation="projection", representation_size=5)
    (array,) = modeling_elmo.embed(model, ["the old bank"], tokenizer=tokenizer)
    inputs = tokenizer("the old bank", return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokenizer(["the old bank"], return_tensors="pt")).last_hidden_state[0, 1:-1]
    assert inputs["input_ids"].shape[-1] == 5
    np.testing.assert_allclose(array, expected.numpy(), atol=1e-6)


def test_boundaries_and_sentences_without_words(embedder):
    sentences = [["the", "bank"], []]
    options = {"layers": "all", "tokenizer": embedder.tokenizer}
    whole = list(modeling_elmo.embed(embedder.model, sentences, boundaries=True, **options))
    inner = list(modeling_elmo.embed(embedder.model, sentences, **options))
    for words, all_tokens, only_words in zip(sentences, whole, inner, strict=True):
        np.testing.assert_allclose(all_tokens, plain_layers(embedder, words), atol=1e-6)
        np.testing.assert_array_equal(all_tokens[:, 1:-1], only_words)
    assert whole[1].shape == (3, 2, 12) and inner[1].shape == (3, 0, 12)


def test_texts_are_split_by_the_tokenizer(embedder):
    options = {"layers": "top", "tokenizer": embedder.tokenizer}
    (of_text,) = modeling_elmo.embed(embedder.model, ["The bank, closed."], **options)
    (of_words,) = modeling_elmo.embed(embedder.model, [["The", "bank", ",", "closed", "."]], **options)
    np.testing.assert_array_equal(of_text, of_words)


def test_mean_vectors_ignore_padding(embedder):
    sentences = [["the"], ["the", "old", "river", "bank"], []]
    options = {"layers": "all", "tokenizer": embedder.tokenizer}
    means = list(modeling_elmo.embed(embedder.model, sentences, pooling="mean", **options))
    for words, mean in zip(sentences, means, strict=True):
        assert mean.shape == (3, 12)
        expected = cut_to_words(plain_layers(embedder, words)).mean(1) if words else np.zeros((3, 12))
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_embedding_is_lazy(embedder, small_batches):
    read = itertools.count()
    endless = (["the", "bank"] for _ in read)
    found = modeling_elmo.embed(embedder.model, endless, tokenizer=embedder.tokenizer)
    first = list(itertools.islice(found, 40))
    assert len(first) == 40
    assert next(read) <= 40 + batches.WINDOW_TOKENS // 4 + 1


def test_the_model_stays_in_training_mode(make_model, tokenizer):
    model = make_model(dropout=0.5).train()
    assert model.training
    first, again = (next(modeling_elmo.embed(model, [["the"]], tokenizer=tokenizer)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert model.training


def test_half_precision_gives_float32(make_model, tokenizer):
    model = make_model().to(torch.bfloat16)
    (array,) = modeling_elmo.embed(model, ["the old bank"], layers="all", tokenizer=tokenizer)
    (exact,) = modeling_elmo.embed(model.float(), ["the old bank"], layers="all", tokenizer=tokenizer)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, exact, atol=0.05)


def test_an_unknown_precision_is_named(checkpoint):
    with pytest.raises(ValueError, match="precision is 'int4'"):
        modeling_elmo.embed(checkpoint, ["the"], precision="int4")


@pytest.mark.parametrize("layers", ["all", "mix", "top"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_long_sentences_in_pieces_are_exact(make_model, tokenizer, monkeypatch, layers, bidirectional):
    model = make_model(representation="scalar_mix", bidirectional=bidirectional)
    sentence = random.Random(0).choices(OTHERS, k=47)
    (whole,) = modeling_elmo.embed(model, [sentence], layers, tokenizer)
    lengths = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: lengths.append(inputs["input_ids"].shape[1]) or forward(**inputs)
    )
    monkeypatch.setattr(vectors, "BATCH_TOKENS", 10)
    (in_pieces,) = modeling_elmo.embed(model, [sentence], layers, tokenizer)
    assert max(lengths) == 10
    np.testing.assert_allclose(in_pieces, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "bottom"}, "layers is 'bottom'"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"sentences": "one text"}, "not one string"),
        ({"tokenizer": None}, "pass its tokenizer"),
        ({"precision": "int8"}, "quantize this model yourself"),
    ],
)
def test_bad_options_are_refused_at_once(make_model, tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        modeling_elmo.embed(**{"model": make_model(), "sentences": [["the"]], "tokenizer": tokenizer, **options})


def test_an_empty_word_is_named(make_model, tokenizer):
    found = modeling_elmo.embed(make_model(), [["the"], ["the", ""]], tokenizer=tokenizer)
    with pytest.raises(ValueError, match="sentence 1 has an empty word at position 1"):
        list(found)


def test_what_is_no_word_is_named(make_model, tokenizer):
    found = modeling_elmo.embed(make_model(), [["the", "old", "bank"], ["the", 3]], tokenizer=tokenizer)
    with pytest.raises(TypeError, match="sentence 1 has 3 at position 1; words are strings"):
        list(found)


def test_a_mix_that_depends_on_the_batch_is_refused(make_model, tokenizer):
    model = make_model(representation="scalar_mix", scalar_mix_norm="batch")
    with pytest.raises(ValueError, match="depend on the rest of its batch"):
        modeling_elmo.embed(model, [["the"]], tokenizer=tokenizer)
    assert len(list(modeling_elmo.embed(model, [["the"]], "top", tokenizer))) == 1


@pytest.mark.parametrize("name", ["bilm_projected", "bilm_plain"])
def test_vectors_of_the_published_systems(shared_data, tmp_path, name):
    folder = shared_data / "fixtures_reference"
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    convert([folder / name], tmp_path / "checkpoint")
    found = list(modeling_elmo.embed(tmp_path / "checkpoint", sentences, layers="all"))
    with h5py.File(folder / name / "layers.hdf5") as file:
        expected = [file[f"reset/{number}"][...] for number in range(len(sentences))]
    for array, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, reference, atol=1e-5, rtol=0)
