"""Layers of the heads by themselves."""

import pytest
import torch

from modeling_elmo import task_layers
from modeling_elmo.task_layers import ElmoTaskLSTM


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("has_kernels", [None, False])
def test_lstm_over_texts_of_equal_length_under_autocast(dtype, has_kernels, monkeypatch):
    if has_kernels is not None:  # on a processor without them
        monkeypatch.setattr(task_layers, "has_kernels_of", lambda dtype: has_kernels)
    torch.manual_seed(0)
    lstm, mask = ElmoTaskLSTM(8, 6), torch.ones(3, 5, dtype=torch.bool)
    vectors = torch.randn(3, 5, 8)
    expected = lstm(vectors, mask)
    for given in (vectors, vectors.to(dtype)):
        with torch.autocast("cpu", dtype):
            outputs = lstm(given, mask)
        torch.testing.assert_close(outputs.float(), expected, atol=0.02, rtol=0.02)
        outputs.sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in lstm.parameters())
