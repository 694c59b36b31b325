"""The model that training begins with."""

import pytest

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.pretraining.initial_model import freeze, initialize_uniformly


def test_uniform_weights_leave_the_highways_open(make_model):
    model = make_model(ElmoForPreTraining, num_highway_layers=2)
    initialize_uniformly(model, 0.05)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "elmo.token_encoder.character_cnn.highways.0.carry.bias" in trained
    for name, parameter in trained.items():
        middle = -2.0 if name.endswith("carry.bias") else 0.0
        distance = (parameter - middle).abs()
        assert distance.max() <= 0.05 and distance.min() < distance.max(), name


def test_frozen_weights_stay_as_they_are(make_model):
    model = make_model(ElmoForPreTraining, num_highway_layers=1)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    freeze(model, ["elmo.token_encoder.projection", "elmo.token_encoder.character_cnn.highways"])
    initialize_uniformly(model, 0.05)
    frozen = {name for name, parameter in model.named_parameters() if parameter.equal(before[name])}
    assert {"elmo.token_encoder.projection.weight", "elmo.token_encoder.projection.bias"} <= frozen
    assert "elmo.token_encoder.character_cnn.highways.0.carry.bias" in frozen
    assert not any(name.startswith(("softmax", "elmo.lstm")) for name in frozen)


@pytest.mark.parametrize("name", ["elmo.token_encoder.project", "token_encoder"])
def test_names_that_freeze_nothing_are_refused(make_model, name):
    with pytest.raises(ValueError, match=f"begins with '{name}'; parts are softmax and.*token_encoder"):
        freeze(make_model(ElmoForPreTraining), [name])


def test_a_model_of_which_nothing_trains_is_refused(make_model):
    with pytest.raises(ValueError, match="elmo, softmax are all weights, so that nothing would train"):
        freeze(make_model(ElmoForPreTraining), ["elmo", "softmax"])
