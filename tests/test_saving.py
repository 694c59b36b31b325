"""Saving and loading keeps every number, in every form that transformers offers."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForPreTraining

from modeling_elmo import ElmoForPreTraining, ElmoModel

VARIANTS = [
    {},
    {"word_embedding_size": 4, "num_representations": 2},
    {"representation": "scalar_mix", "scalar_mix_norm": "sentence", "bidirectional": False},
    {"projection_size": None, "cell_size": 7, "num_highway_layers": 0},
    {"word_embedding_size": 6, "character_embedding_size": 0},
]


def assert_same_numbers(model, loaded):
    expected, found = model.state_dict(), loaded.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


@pytest.mark.parametrize("model_class", [ElmoModel, ElmoForPreTraining])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_bit_is_kept(make_model, make_batch, sentences, tmp_path, model_class, options):
    model, batch = make_model(model_class, **options), make_batch(sentences)
    model.save_pretrained(tmp_path)
    loaded, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not loaded.training
    assert_same_numbers(model, loaded)
    with torch.no_grad():
        assert torch.equal(loaded(**batch)[0], model(**batch)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_in_other_types(make_model, tmp_path, dtype):
    model = make_model(ElmoForPreTraining)
    model.save_pretrained(tmp_path / "fp32")
    cast = ElmoForPreTraining.from_pretrained(tmp_path / "fp32", dtype=dtype)
    assert {parameter.dtype for parameter in cast.parameters()} == {dtype}
    assert_same_numbers(model.to(dtype), cast)
    cast.save_pretrained(tmp_path / "cast")
    assert json.loads((tmp_path / "cast" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    assert_same_numbers(cast, AutoModelForPreTraining.from_pretrained(tmp_path / "cast"))  # as it was saved
    assert AutoModel.from_pretrained(tmp_path / "cast", dtype="float32").dtype == torch.float32


def test_in_shards(make_model, tmp_path):
    model = make_model(ElmoForPreTraining)
    model.save_pretrained(tmp_path, max_shard_size="5KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert_same_numbers(model, ElmoForPreTraining.from_pretrained(tmp_path))
    assert_same_numbers(model.elmo, ElmoModel.from_pretrained(tmp_path))


@pytest.mark.parametrize("device_map", ["auto", "cpu", {"": "cpu"}, {"elmo": "cpu", "softmax": "cpu"}], ids=str)
def test_device_maps(make_model, make_batch, sentences, tmp_path, device_map):
    pytest.importorskip("accelerate", reason="device maps need accelerate")
    model, batch = make_model(ElmoForPreTraining), make_batch(sentences)
    model.save_pretrained(tmp_path, max_shard_size="5KB")
    loaded = ElmoForPreTraining.from_pretrained(tmp_path, device_map=device_map)
    assert_same_numbers(model, loaded)
    torch.testing.assert_close(loaded(**batch).loss, model(**batch).loss, rtol=0, atol=1e-6)
    assert not loaded.elmo.combinations[0].weight.requires_grad


@pytest.mark.parametrize("options", [{}, {"representation": "scalar_mix", "word_embedding_size": 3}], ids=str)
def test_weights_that_stay_on_disk(make_model, make_batch, sentences, tmp_path, options):
    accelerate = pytest.importorskip("accelerate", reason="offloading needs accelerate")
    model, offloaded = (make_model(ElmoForPreTraining, **options) for _ in range(2))
    accelerate.disk_offload(offloaded, tmp_path, execution_device="cpu")
    assert {parameter.device.type for parameter in offloaded.parameters()} == {"meta"}
    batch = make_batch(sentences)
    with torch.no_grad():
        expected = model(**batch, output_hidden_states=True)
        for _ in range(2):
            outputs = offloaded(**batch, output_hidden_states=True)
            torch.testing.assert_close(outputs.loss, expected.loss, rtol=0, atol=1e-6)
            for found, layer in zip(outputs.hidden_states, expected.hidden_states, strict=True):
                torch.testing.assert_close(found, layer, rtol=0, atol=1e-6)


def test_low_memory_loading_and_given_weights(make_model, tmp_path):
    model = make_model(ElmoForPreTraining)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.keys() == model.state_dict().keys()
    assert_same_numbers(model, ElmoForPreTraining.from_pretrained(None, config=model.config, state_dict=weights))
    assert_same_numbers(model, ElmoForPreTraining.from_pretrained(tmp_path, low_cpu_mem_usage=True))


def test_between_the_base_and_the_language_models(make_model, tmp_path):
    base, whole = make_model(), make_model(ElmoForPreTraining, seed=1)
    base.save_pretrained(tmp_path / "base")
    whole.save_pretrained(tmp_path / "whole")
    assert_same_numbers(base, ElmoForPreTraining.from_pretrained(tmp_path / "base").elmo)
    assert_same_numbers(whole.elmo, ElmoModel.from_pretrained(tmp_path / "whole"))


def test_another_size_is_refused(make_model, tmp_path):
    make_model(ElmoForPreTraining).save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="mismatch"):
        ElmoForPreTraining.from_pretrained(tmp_path, cell_size=11)


def test_a_saved_model_is_contiguous_and_shares_nothing(make_model, tmp_path):
    make_model(ElmoForPreTraining).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert len({tensor.data_ptr() for tensor in tensors.values() if tensor.numel()}) == len(tensors)
