"""A long sentence, forward and backward by segments."""

import pytest
import torch

from modeling_elmo import ElmoConfig, ElmoModel, lstm_kernels


@pytest.mark.slow
def test_segments_change_no_gradient(monkeypatch):
    torch.manual_seed(0)
    config = ElmoConfig(cell_size=256, projection_size=96, filters=[[1, 16], [3, 32]], num_highway_layers=1)
    model = ElmoModel(config)
    rows = torch.full((1, 3000, 50), 261)
    rows[..., :6] = torch.randint(1, 257, (1, 3000, 6))
    target = torch.randn(1, 3000, config.hidden_size)

    def gradients():
        output = model(rows).last_hidden_state
        return output.detach(), torch.autograd.grad((output * target).sum(), list(model.parameters()))

    model.eval()
    expected, expected_gradients = gradients()
    monkeypatch.setattr(lstm_kernels, "GATES_PER_SEGMENT", 4 * config.cell_size * 64)
    monkeypatch.setattr(lstm_kernels, "TOKENS_PER_SEGMENT_IN_TRAINING", 1)
    monkeypatch.setattr(lstm_kernels, "GATES_TO_KEEP", 0)
    output, got = gradients()
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)
    for gradient, other in zip(got, expected_gradients, strict=True):
        assert (gradient - other).abs().max() <= 1e-5 * other.abs().max()
