"""int8 inference."""

import copy

import pytest
import torch

from modeling_elmo import ElmoConfig, ElmoForTokenClassification, ElmoModel, quantization, quantize


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = ElmoConfig(cell_size=64, projection_size=32, filters=((1, 16), (3, 16)), num_highway_layers=1)
    return ElmoModel(config).eval()


@pytest.fixture
def character_ids():
    torch.manual_seed(1)
    ids = torch.full((4, 9, 50), 261)
    ids[..., :6] = torch.randint(1, 257, (4, 9, 6))
    ids[1, 5:] = 0
    return ids


def test_vectors_stay_close(model, character_ids):
    expected = model(character_ids, output_hidden_states=True).hidden_states[-1]
    got = quantize(model)(character_ids, output_hidden_states=True).hidden_states[-1]
    mask = character_ids[..., 0] != 0
    assert torch.cosine_similarity(got[mask], expected[mask], dim=-1).min() > 0.99
    assert not torch.equal(got, expected)
    assert (got[~mask] == 0).all()


def test_the_given_model_stays_as_it_is(model, character_ids):
    expected = model(character_ids).last_hidden_state
    twin = quantize(model)
    assert torch.equal(model(character_ids).last_hidden_state, expected)
    assert all(parameter.requires_grad for parameter in model.lstm.parameters())
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    weights = (each.lstm.layers[0].input_weight for each in (model, twin))
    assert len({weight.data_ptr() for weight in weights}) == 1


def test_other_types_are_refused(model):
    with pytest.raises(ValueError, match="float32"):
        quantize(model.to(torch.bfloat16))


def test_what_is_no_elmo_is_refused():
    with pytest.raises(TypeError, match="not Linear.*import modeling_elmo before"):
        quantize(torch.nn.Linear(4, 4))


def test_a_used_twin_can_be_copied(model, character_ids):
    twin = quantize(model)
    expected = twin(character_ids).last_hidden_state
    torch.testing.assert_close(copy.deepcopy(twin)(character_ids).last_hidden_state, expected)
    assert twin.state_dict().keys() == model.state_dict().keys()


def test_changed_weights_are_seen_at_once(model, character_ids):
    twin = quantize(model)
    twin(character_ids)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-0.5)
    assert torch.equal(twin(character_ids).last_hidden_state, quantize(model)(character_ids).last_hidden_state)


def test_only_the_last_digits_depend_on_the_batch(model, character_ids):
    twin = quantize(model)
    together = twin(character_ids).last_hidden_state
    assert torch.equal(twin(character_ids).last_hidden_state, together)

    def assert_close(got, expected):
        kept = expected.abs().sum(-1) > 0
        assert torch.cosine_similarity(got[kept], expected[kept], dim=-1).min() > 0.999

    order = torch.tensor([2, 0, 3, 1])
    assert_close(twin(character_ids[order]).last_hidden_state, together[order])
    padded = torch.nn.functional.pad(character_ids, (0, 0, 3, 2))
    assert_close(twin(padded).last_hidden_state[:, 3:-2], together)
    assert_close(twin(character_ids[1:2, :5]).last_hidden_state, together[1:2, :5])


def test_the_state_goes_on(model, character_ids):
    twin = quantize(ElmoModel(ElmoConfig(**model.config.to_diff_dict() | {"bidirectional": False})).eval())
    character_ids = character_ids[[0, 2, 3]]
    whole = twin(character_ids).last_hidden_state
    first = twin(character_ids[:, :4], use_cache=True)
    second = twin(character_ids[:, 4:], state=first.state).last_hidden_state
    parts = torch.cat([first.last_hidden_state, second], dim=1)
    assert torch.cosine_similarity(parts, whole, dim=-1).min() > 0.999


def test_a_twin_is_saved_in_full_precision(model, character_ids, tmp_path):
    twin = quantize(model)
    twin(character_ids)
    twin.save_pretrained(tmp_path)
    loaded = ElmoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(character_ids).last_hidden_state, model(character_ids).last_hidden_state)
    again = quantize(loaded)(character_ids).last_hidden_state
    assert torch.equal(again, twin(character_ids).last_hidden_state)


def test_heads_are_quantized_too(make_model, make_batch, sentences):
    model = make_model(ElmoForTokenClassification, num_labels=3)
    batch = make_batch(sentences)
    expected, got = (each(**batch).logits for each in (model, quantize(model)))
    mask = batch["attention_mask"].bool()
    difference = (got - expected)[mask].norm() / expected[mask].norm()
    assert 0 < difference < 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_twin_runs_in_short_types(model, character_ids, dtype):
    twin = quantize(model)
    expected = twin(character_ids).last_hidden_state
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        torch.testing.assert_close(twin(character_ids).last_hidden_state.float(), expected, rtol=0, atol=0.02)
    result = twin.to(dtype)(character_ids).last_hidden_state
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), expected, rtol=0, atol=0.02)


def test_kernels_for_many_rows_give_what_those_for_few_give(monkeypatch):
    """On processors with AMX these are two."""
    torch.manual_seed(0)
    product = quantization.Int8Product(torch.randn(24, 40), torch.randn(40))
    x, added = torch.randn(30, 24), torch.randn(30, 40)
    results = []
    for rows in (1, 31):
        monkeypatch.setattr(quantization, "ROWS_FOR_AMX", rows)
        results.append((product(x), product(x, added)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-5)
