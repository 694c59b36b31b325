"""Layers from the cache give what the biLM gives."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modeling_elmo import ElmoForSequenceClassification, ElmoForTokenClassification, ElmoModel, ElmoTokenizer
from modeling_elmo.tasks import layer_cache
from modeling_elmo.tasks.examples import PaddingCollator, encode_tagged, encode_texts
from modeling_elmo.tasks.layer_cache import CachedLayersDataset, LayerCache, fingerprint

PAIRS = [
    (["The", "bank", "is", "closed", "."], ["A", "bank", "."]),
    (["The", "bank", "is", "closed", "."], ["The", "river", "is", "open", "!"]),
    (["Rivers"], ["The", "bank", "is", "closed", "."]),
]


@pytest.fixture
def tokenizer():
    return ElmoTokenizer(vocab=["bank", "The", "is", "."])


@pytest.fixture
def examples(tokenizer):
    return encode_texts(tokenizer, [a for a, _ in PAIRS], [b for _, b in PAIRS])


@pytest.mark.parametrize("options", [{}, {"representation": "scalar_mix", "scalar_mix_norm": "sentence"}])
@pytest.mark.parametrize("word_embedding_size", [0, 3])
def test_same_logits_as_from_characters(tmp_path, make_model, tokenizer, examples, options, word_embedding_size):
    model = make_model(ElmoForSequenceClassification, word_embedding_size=word_embedding_size, **options)
    cache = LayerCache.build(tmp_path, model.elmo, examples)
    collate = PaddingCollator(tokenizer)
    cached = CachedLayersDataset(examples, cache)
    batch = collate([cached[index] for index in range(len(cached))])
    assert "character_ids" not in batch
    torch.testing.assert_close(model(**batch).logits, model(**collate(examples)).logits, atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize("context_free_size", [0, 6])
def test_same_loss_and_gradients_for_words(tmp_path, make_model, tokenizer, context_free_size):
    model = make_model(ElmoForTokenClassification, num_labels=3, context_free_size=context_free_size)
    model.set_trainable()
    examples = encode_tagged(tokenizer, [a for a, _ in PAIRS], [[1, 2, 0, 0, 1], [0, 1, 2, 1, 1], [2]])
    cache = LayerCache.build(tmp_path, model.elmo, examples)
    cached = CachedLayersDataset(examples, cache, keep_characters=context_free_size > 0)
    results = []
    for data in (examples, cached):
        model.zero_grad()
        loss = model(**PaddingCollator(tokenizer)([data[index] for index in range(3)])).loss
        loss.backward()
        results.append([loss, *(p.grad for p in model.parameters() if p.requires_grad)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_each_distinct_text_is_kept_once(tmp_path, make_model, examples):
    cache = LayerCache.build(tmp_path, make_model(), examples)
    assert len(cache) == 4
    assert cache.layers(examples[0]).shape == (len(examples[0]["input_ids"]), 3, 12)
    assert np.load(tmp_path / "layers.npy", mmap_mode="r").shape[0] == 7 + 5 + 7 + 3


def test_cache_is_used_again_and_grows(tmp_path, make_model, examples):
    model = make_model()
    LayerCache.build(tmp_path, model, examples[:1])
    written = (tmp_path / "layers.npy").stat().st_mtime_ns
    LayerCache.build(tmp_path, model, examples[:1])
    assert (tmp_path / "layers.npy").stat().st_mtime_ns == written
    with pytest.raises(KeyError, match="lacks a text of 7 tokens"):
        LayerCache(tmp_path).layers(examples[1])
    assert len(LayerCache.build(tmp_path, model, examples)) == 4


@pytest.mark.parametrize("name, size", [("layers.npy", 200), ("cache.json", 0), ("texts.npz", 50)])
def test_a_damaged_cache_is_made_anew(tmp_path, make_model, examples, name, size):
    model = make_model()
    expected = LayerCache.build(tmp_path, model, examples).layers(examples[0]).copy()
    with open(tmp_path / name, "r+b") as file:
        file.truncate(size)
    assert np.array_equal(LayerCache.build(tmp_path, model, examples).layers(examples[0]), expected)


def test_a_cache_that_does_not_fit_on_the_disk_is_refused(tmp_path, make_model, examples, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"layers need 0\.0 GB, but 0\.0 GB are free"):
        LayerCache.build(tmp_path, make_model(), examples)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_another_vocabulary_matters_where_words_are_read(tmp_path, make_model, examples):
    others = encode_texts(ElmoTokenizer(vocab=["river", "bank"]), [a for a, _ in PAIRS], [b for _, b in PAIRS])
    cache = LayerCache.build(tmp_path / "characters", make_model(), examples)
    np.testing.assert_array_equal(cache.layers(others[0]), cache.layers(examples[0]))
    cache = LayerCache.build(tmp_path / "words", make_model(word_embedding_size=3), examples)
    with pytest.raises(KeyError, match="lacks a text of 7 tokens"):
        cache.layers(others[0])


def test_half_precision_takes_half_the_space(tmp_path, make_model, examples):
    model = make_model()
    single = LayerCache.build(tmp_path / "single", model, examples)
    half = LayerCache.build(tmp_path / "half", model, examples, dtype="float16")
    assert half.layers(examples[0]).dtype == np.float16
    np.testing.assert_allclose(half.layers(examples[0]), single.layers(examples[0]), atol=1e-3)
    with pytest.raises(ValueError, match="bfloat16"):
        LayerCache.build(tmp_path / "other", model, examples, dtype="bfloat16")


def test_cache_of_another_bilm_is_refused(tmp_path, make_model, examples):
    LayerCache.build(tmp_path, make_model(), examples)
    with pytest.raises(ValueError, match="another biLM"):
        LayerCache.build(tmp_path, make_model(seed=1), examples)


def test_fingerprint_is_of_the_bilm_alone(make_model):
    model = make_model(ElmoModel)
    before = fingerprint(model)
    with torch.no_grad():
        model.combinations[0].weight.add_(1.0)
    assert fingerprint(model) == before
    with torch.no_grad():
        model.lstm.layers[0].bias.add_(1.0)
    assert fingerprint(model) != before
    assert fingerprint(make_model(cell_clip=None)) != fingerprint(make_model())


def test_runs_that_share_a_folder_wait_for_each_other(tmp_path, make_model, tokenizer, monkeypatch, caplog):
    model = make_model(ElmoModel)
    texts = [
        encode_texts(tokenizer, [[f"word{number}"] * 5 for number in range(start, start + 40)]) for start in (0, 20)
    ]
    compute = layer_cache.compute_layers
    monkeypatch.setattr(layer_cache, "compute_layers", lambda *arguments: (time.sleep(0.02), compute(*arguments))[1])
    monkeypatch.setattr(layer_cache, "TOKENS_PER_BATCH", 14)
    with ThreadPoolExecutor(2) as pool:
        caches = list(pool.map(lambda own: LayerCache.build(tmp_path, model, own), texts))
    for cache, own in zip(caches, texts, strict=True):
        for example in own:
            expected = compute(model, [{"character_ids": example["character_ids"]}]).numpy()
            np.testing.assert_allclose(cache.layers(example), expected, rtol=0, atol=1e-6)
    assert "waiting until it is done" in caplog.text


def test_a_cache_may_lie_where_nothing_can_be_written(tmp_path, make_model, examples, monkeypatch):
    model = make_model(ElmoModel)
    LayerCache.build(tmp_path, model, examples)

    def refuse(*arguments, **options):
        raise PermissionError("lock")

    monkeypatch.setattr(layer_cache.FileLock, "_acquire", refuse)  # as for anyone but root
    assert len(LayerCache.build(tmp_path, model, examples)) == 4
