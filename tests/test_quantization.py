"""int8 inference."""

import copy

import pytest
import torch

from modeling_elmo import ElmoConfig, ElmoModel, quantize


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


def test_a_used_twin_can_be_copied(model, character_ids):
    twin = quantize(model)
    expected = twin(character_ids).last_hidden_state
    torch.testing.assert_close(copy.deepcopy(twin)(character_ids).last_hidden_state, expected)
    assert twin.state_dict().keys() == model.state_dict().keys()
