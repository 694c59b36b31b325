import json
import random

import numpy as np
import pytest
import torch
from conversion.published_bilm import PublishedBilm, make_arrays, make_options, read_arrays, write_bilm
from transformers import AutoModelForPreTraining, AutoTokenizer

from modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion import convert, export

WORDS = ["<S>", "</S>", "<UNK>", "the", "river", ".", "The", "café", "!"]

VARIANTS = {
    "original": {},
    "tanh": {"activation": "tanh"},
    "no highway": {"n_highway": 0},
    "highway absent": {"n_highway": None},
    "no token projection": {"filters": [[1, 2], [3, 4]]},
    "no LSTM projection": {"dim": 6},
    "no projection at all": {"dim": 6, "filters": [[2, 6]]},
    "no clips": {"cell_clip": None, "proj_clip": None},
    "whole numbers": {"cell_clip": 3, "proj_clip": 3},
    "no residual": {"use_skip_connections": False},
    "residual absent": {"use_skip_connections": None},
    "one layer": {"n_layers": 1},
    "three layers": {"n_layers": 3},
    "forward only": {"bidirectional": False},
    "261 characters": {"n_characters": 261},
    "short words": {"max_characters_per_token": 20},
    "unknown keys": {"reverse": False, "projection_after_highway": True},
}


def check(tmp_path, embedder, text, options, arrays, words=None):
    """Layers with fresh and with carried state, and the way back."""
    source = write_bilm(tmp_path / "published", options, arrays, words)
    convert(source, tmp_path / "converted")
    embed, published = embedder(tmp_path / "converted"), PublishedBilm(options, arrays, words)
    fresh = embed(text)
    for got, sentence in zip(fresh, text, strict=True):
        published.reset()
        np.testing.assert_allclose(got, published.layers(sentence), rtol=0, atol=1e-5)
    published.reset()
    embed.state = None
    for sentence in text:
        (got,) = embed([sentence], carry=True)
        np.testing.assert_allclose(got, published.layers(sentence), rtol=0, atol=1e-5)

    export(tmp_path / "converted", tmp_path / "exported")
    check_export(tmp_path / "exported", options, arrays)
    assert (tmp_path / "exported" / "vocab.txt").exists() == (words is not None)


def check_export(folder, options, arrays):
    exported = read_arrays(folder / "weights.hdf5")
    assert exported.keys() == arrays.keys()
    for key, array in arrays.items():
        assert exported[key].dtype == array.dtype and exported[key].shape == array.shape
        assert exported[key].tobytes() == array.tobytes(), key
    assert json.loads((folder / "options.json").read_text()) == options


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_layers_equal_the_published_arithmetic_and_export_equals_the_source(tmp_path, embedder, text, changes):
    options = make_options(**changes)
    check(tmp_path, embedder, text, options, make_arrays(options))


@pytest.mark.parametrize("seed", range(8))
def test_random_combinations_of_options(tmp_path, embedder, text, seed):
    rng = random.Random(seed)
    options = make_options(
        activation=rng.choice(["relu", "tanh"]),
        filters=[[rng.randint(1, 7), rng.randint(1, 9)] for _ in range(rng.randint(1, 4))],
        n_highway=rng.choice([None, 0, 1, 2, 3]),
        n_characters=rng.choice([261, 262]),
        embedding={"dim": rng.randint(1, 8)},
        dim=rng.randint(1, 12),
        projection_dim=rng.randint(1, 8),
        n_layers=rng.randint(1, 3),
        cell_clip=rng.choice([None, 0.3, 3]),
        proj_clip=rng.choice([None, 0.3, 3]),
        use_skip_connections=rng.choice([None, True, False]),
        bidirectional=rng.choice([True, False]),
    )
    with_words = rng.random() < 0.5
    words = WORDS if with_words else None
    check(tmp_path, embedder, text, options, make_arrays(options, seed, len(WORDS), with_words), words)


def test_word_input(tmp_path, embedder, text):
    options = make_options(char_cnn=None)
    check(tmp_path, embedder, text, options, make_arrays(options, vocab_size=len(WORDS)), WORDS)


def test_softmax_becomes_the_language_model(tmp_path, text):
    options = make_options()
    arrays = make_arrays(options, vocab_size=len(WORDS), softmax=True)
    checkpoint = convert(write_bilm(tmp_path / "published", options, arrays, WORDS), tmp_path / "converted")
    assert isinstance(checkpoint.model, ElmoForPreTraining)

    model = AutoModelForPreTraining.from_pretrained(tmp_path / "converted")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "converted")
    inputs = tokenizer(text[:1], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    top = PublishedBilm(options, arrays).layers(text[0])[-1]
    ids = [WORDS.index(word) if word in WORDS else 2 for word in ["<S>", *text[0], "</S>"]]
    for direction, surprisals in enumerate((outputs.forward_surprisal, outputs.backward_surprisal)):
        width = options["lstm"]["projection_dim"]
        scores = top[:, direction * width :][:, :width] @ arrays["softmax/W"].T + arrays["softmax/b"]
        losses = np.log(np.exp(scores).sum(-1, keepdims=True)) - scores
        if direction == 0:
            expected = [losses[at - 1, ids[at]] for at in range(1, len(ids))]
            got = surprisals[0, 1:]
        else:
            expected = [losses[at + 1, ids[at]] for at in range(len(ids) - 1)]
            got = surprisals[0, :-1]
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)

    export(tmp_path / "converted", tmp_path / "exported")
    check_export(tmp_path / "exported", options, arrays)
    assert (tmp_path / "exported" / "vocab.txt").read_text().split("\n") == [*WORDS, ""]


def test_softmax_can_be_left_out(tmp_path):
    options = make_options()
    arrays = make_arrays(options, vocab_size=len(WORDS), softmax=True)
    source = write_bilm(tmp_path / "published", options, arrays)
    checkpoint = convert(source, tmp_path / "converted", softmax=False)
    assert type(checkpoint.model) is ElmoModel
    export(tmp_path / "converted", tmp_path / "exported")
    check_export(tmp_path / "exported", options, {key: array for key, array in arrays.items() if "softmax" not in key})


def test_embedding_shared_with_the_softmax(tmp_path):
    options = make_options(char_cnn=None, share_embedding_softmax=True)
    arrays = make_arrays(options, vocab_size=len(WORDS), softmax=True)
    assert "softmax/W" not in arrays
    convert(write_bilm(tmp_path / "published", options, arrays, WORDS), tmp_path / "converted")
    model = AutoModelForPreTraining.from_pretrained(tmp_path / "converted")
    np.testing.assert_array_equal(model.softmax.weight.detach().numpy(), arrays["embedding"])
    export(tmp_path / "converted", tmp_path / "exported")
    check_export(tmp_path / "exported", options, arrays)


def test_repeated_words_of_a_vocabulary_keep_their_rows(tmp_path):
    words = [*WORDS[:5], "river", "bank", "\0", "50"]
    options = make_options()
    arrays = make_arrays(options, vocab_size=len(words), softmax=True)
    convert(write_bilm(tmp_path / "published", options, arrays, words), tmp_path / "converted")
    export(tmp_path / "converted", tmp_path / "exported")
    assert (tmp_path / "exported" / "vocab.txt").read_text().split("\n") == [*words, ""]
    check_export(tmp_path / "exported", options, arrays)


def test_scalar_mix_starts_as_the_average_of_the_layers(tmp_path, embedder, text):
    options = make_options()
    convert(write_bilm(tmp_path / "published", options, make_arrays(options)), tmp_path / "converted")
    embed = embedder(tmp_path / "converted")
    inputs = embed.tokenizer(text[:1], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        outputs = embed.model(**inputs, output_hidden_states=True)
    torch.testing.assert_close(outputs.last_hidden_state, torch.stack(outputs.hidden_states).mean(0))
    assert outputs.last_hidden_state.shape[-1] == 2 * options["lstm"]["projection_dim"]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_read_as_single_precision(tmp_path, dtype):
    options = make_options()
    arrays = {key: array.astype(dtype) for key, array in make_arrays(options).items()}
    convert(write_bilm(tmp_path / "published", options, arrays), tmp_path / "converted")
    export(tmp_path / "converted", tmp_path / "exported")
    check_export(tmp_path / "exported", options, {key: array.astype(np.float32) for key, array in arrays.items()})


def test_changed_options_are_exported_as_they_are_now(tmp_path):
    options = make_options(dropout=0.1)
    convert(write_bilm(tmp_path / "published", options, make_arrays(options)), tmp_path / "converted")
    model = ElmoModel.from_pretrained(tmp_path / "converted")
    model.config.dropout = 0.3
    model.config.cell_clip = None
    model.save_pretrained(tmp_path / "converted")
    export(tmp_path / "converted", tmp_path / "exported")
    exported = json.loads((tmp_path / "exported" / "options.json").read_text())
    assert exported["dropout"] == 0.3 and "cell_clip" not in exported["lstm"]
    assert exported["batch_size"] == options["batch_size"]


def test_a_model_pretrained_here_can_be_exported_and_converted_back(tmp_path, make_model):
    model = make_model(ElmoModel, representation="scalar_mix")
    model.save_pretrained(tmp_path / "ours")
    export(tmp_path / "ours", tmp_path / "exported")
    convert(tmp_path / "exported", tmp_path / "converted")
    again = ElmoModel.from_pretrained(tmp_path / "converted")
    skip = ("combinations", "character_embeddings")
    for name, parameter in model.named_parameters():
        if not any(part in name for part in skip):
            assert torch.equal(again.get_parameter(name), parameter), name
    embeddings = "token_encoder.character_cnn.character_embeddings.weight"
    assert torch.equal(again.get_parameter(embeddings)[1:], model.get_parameter(embeddings)[1:])
    for key in ("cell_clip", "projection_clip", "filters", "use_residual", "num_highway_layers", "forget_bias"):
        assert getattr(again.config, key) == getattr(model.config, key)


def test_the_vocabulary_of_an_earlier_export_does_not_stay(tmp_path, make_model):
    make_model(ElmoModel).save_pretrained(tmp_path / "ours")
    ElmoTokenizer(vocab=["the", "river"]).save_pretrained(tmp_path / "ours")
    export(tmp_path / "ours", tmp_path / "exported")
    assert (tmp_path / "exported" / "vocab.txt").exists()
    ElmoTokenizer().save_pretrained(tmp_path / "ours")
    export(tmp_path / "ours", tmp_path / "exported", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "exported").iterdir()) == ["options.json", "weights.hdf5"]
