"""The convolutions as one product against PyTorch's convolutions."""

import pytest
import torch
from torch import nn

from modeling_elmo import token_encoder
from modeling_elmo.configuration_elmo import ElmoConfig
from modeling_elmo.convolution_kernels import can_run, convolve
from modeling_elmo.token_encoder import ElmoTokenEncoder


def make_convolutions(filters=((1, 5), (3, 7), (2, 4)), size=6) -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList(nn.Conv1d(size, number, width) for width, number in filters)


def plain(embedded, convolutions):
    # Windows that begin where the widest filter fits.
    widest = max(convolution.kernel_size[0] for convolution in convolutions)
    windows = embedded.shape[-1] - widest + 1
    return torch.cat([convolution(embedded)[..., :windows].amax(-1) for convolution in convolutions], dim=-1)


def test_maxima_and_gradients_equal_those_of_convolutions():
    convolutions = make_convolutions()
    # Characters of a small alphabet, so that there are equal windows.
    table = torch.randn(3, 6, requires_grad=True)
    ids = torch.randint(0, 3, (20, 9))
    results = []
    for run in (convolve, plain):
        values = run(table[ids].transpose(1, 2), convolutions)
        score = (values * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))).sum()
        results.append((values, torch.autograd.grad(score, [table, *convolutions.parameters()])))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("longest", [3, 41, 46, 50])
def test_encoder_equals_the_convolutions_over_whole_rows(longest):
    """Also for words that end where the wider filters no longer fit."""
    torch.manual_seed(0)
    config = ElmoConfig(filters=((1, 4), (4, 8), (7, 16)), num_highway_layers=1, projection_size=8, cell_size=8)
    encoder = ElmoTokenEncoder(config).float()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    ids = torch.full((70, 50), 261)
    for row, length in enumerate(torch.randint(2, longest + 1, (70,)).tolist()):
        ids[row, :length] = torch.randint(1, 257, (length,))
    ids[0, :longest] = 5
    with torch.no_grad():
        got = encoder(ids, None)
        cnn = encoder.character_cnn
        embedded = cnn.character_embeddings(ids).transpose(1, 2)
        features = torch.cat([convolution(embedded).amax(-1) for convolution in cnn.convolutions], dim=-1).relu()
        torch.testing.assert_close(got, encoder.projection(cnn.highways[0](features)), atol=1e-5, rtol=0)


def test_short_words_take_the_product_and_long_ones_the_convolutions():
    convolutions = make_convolutions()
    assert can_run(convolutions, torch.randn(2, 6, 12), num_characters=50)
    assert not can_run(convolutions, torch.randn(2, 6, 50), num_characters=50)
    assert not can_run(convolutions.double(), torch.randn(2, 6, 12, dtype=torch.float64), num_characters=50)


def test_gradients_of_the_encoder_do_not_depend_on_the_path(monkeypatch):
    torch.manual_seed(0)
    config = ElmoConfig(filters=((1, 4), (3, 8)), num_highway_layers=2, projection_size=8, cell_size=8)
    encoder = ElmoTokenEncoder(config)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    ids = torch.full((30, 50), 261)
    ids[:, :6] = torch.randint(1, 257, (30, 6))
    gradients = []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr(token_encoder, "can_run", lambda *arguments: False)
            monkeypatch.setattr(token_encoder, "linear", lambda x, layer: layer(x))
        gradients.append(torch.autograd.grad(encoder(ids, None).square().sum(), list(encoder.parameters())))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)
