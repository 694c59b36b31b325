"""How a run begins."""

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.pretraining.run import initialize_uniformly


def test_uniform_weights_leave_the_highways_open(make_model):
    model = make_model(ElmoForPreTraining, num_highway_layers=2)
    initialize_uniformly(model, 0.05)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "elmo.token_encoder.character_cnn.highways.0.carry.bias" in trained
    for name, parameter in trained.items():
        middle = -2.0 if name.endswith("carry.bias") else 0.0
        distance = (parameter - middle).abs()
        assert distance.max() <= 0.05 and distance.min() < distance.max(), name
