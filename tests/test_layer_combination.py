import pytest
import torch

from modeling_elmo.layer_combination import ElmoProjection, ElmoScalarMix

BATCH, LENGTH = 3, 5
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]]).bool()
BOUNDARIES = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]).bool()


def make_layers(config, dtype=torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shape = (config.num_hidden_layers + 1, BATCH, LENGTH, config.layer_size)
    layers = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 1
    layers[0] = layers[0][..., : config.output_size].repeat(1, 1, config.num_directions)  # the token vector twice
    return tuple((layers * MASK[..., None]).to(dtype))


def make_mix(config) -> ElmoScalarMix:
    mix = ElmoScalarMix(config).double()
    with torch.no_grad():
        mix.weights.copy_(torch.linspace(-1, 1, len(mix.weights)))
        mix.gamma.fill_(1.7)
    return mix


def normalized(layer, counted, epsilon):
    values = layer[counted]
    return (layer - values.mean()) / (values.var(correction=0) + epsilon).sqrt()


@pytest.mark.parametrize("norm", [None, "sentence", "batch", "batch_without_boundaries"])
def test_scalar_mix_follows_the_formula(make_config, norm):
    config = make_config(representation="scalar_mix", scalar_mix_norm=norm)
    layers, mix = make_layers(config), make_mix(config)
    shares = torch.exp(mix.weights) / torch.exp(mix.weights).sum()
    expected = torch.zeros_like(layers[0])
    for share, layer in zip(shares, layers, strict=True):
        if norm == "batch":
            layer = normalized(layer, MASK, 1e-13)
        elif norm == "batch_without_boundaries":
            layer = normalized(layer, MASK & ~BOUNDARIES, 1e-12)
        elif norm == "sentence":
            layer = torch.stack([normalized(layer[row], MASK[row], 1e-13) for row in range(2)] + [layer[2]])
        expected = expected + mix.gamma * share * layer
    expected[~MASK] = 0
    torch.testing.assert_close(mix(layers, MASK, BOUNDARIES), expected, rtol=0, atol=1e-12)


def test_only_the_batch_norms_make_sentences_depend_on_each_other(make_config):
    for norm, depends in [(None, False), ("sentence", False), ("batch", True), ("batch_without_boundaries", True)]:
        config = make_config(representation="scalar_mix", scalar_mix_norm=norm)
        layers, mix = make_layers(config), make_mix(config)
        alone = mix(tuple(layer[:1] for layer in layers), MASK[:1], BOUNDARIES[:1])
        assert torch.equal(mix(layers, MASK, BOUNDARIES)[:1], alone) != depends


@pytest.mark.parametrize("norm", ["sentence", "batch", "batch_without_boundaries"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norms_in_half_precision(make_config, norm, dtype):
    config = make_config(representation="scalar_mix", scalar_mix_norm=norm)
    mix = make_mix(config)
    exact = mix(make_layers(config), MASK, BOUNDARIES)
    # Squares of values as large as these do not fit into fp16.
    large = tuple(100 * layer for layer in make_layers(config, dtype))
    half = mix.to(dtype)(large, MASK, BOUNDARIES)
    assert half.dtype == dtype
    torch.testing.assert_close(half.double(), exact, rtol=0, atol=0.02 if dtype == torch.float16 else 0.15)


@pytest.mark.parametrize("norm", [None, "sentence", "batch", "batch_without_boundaries"])
def test_scalar_mix_of_nothing_is_zero(make_config, norm):
    config = make_config(representation="scalar_mix", scalar_mix_norm=norm)
    layers, nothing = make_layers(config), torch.zeros_like(MASK)
    mixed = make_mix(config)(tuple(0 * layer for layer in layers), nothing, nothing)
    assert torch.equal(mixed, torch.zeros_like(mixed))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_projection_follows_the_formula(make_config, bidirectional):
    config = make_config(bidirectional=bidirectional)
    layers, projection = make_layers(config), ElmoProjection(config).double()
    torch.nn.init.normal_(projection.weight)
    parts = [layers[0][..., : config.output_size]]
    for layer in layers[1:]:
        parts += layer.split(config.output_size, dim=-1)
    assert len(parts) == (5 if bidirectional else 3)
    blocks = projection.weight.split(config.output_size, dim=1)
    expected = sum(part @ block.t() for part, block in zip(parts, blocks, strict=True))
    torch.testing.assert_close(projection(layers, MASK, None), expected, rtol=0, atol=1e-12)


def started(config):
    projection = ElmoProjection(config).double()
    with torch.no_grad():
        projection.weight.copy_(projection.averaging_weight())
    return projection


@pytest.mark.parametrize(("bidirectional", "size"), [(True, 6), (True, 12), (False, 6)])
def test_projection_starts_as_the_average(make_config, bidirectional, size):
    config = make_config(representation_size=size, bidirectional=bidirectional)
    layers = make_layers(config)
    average = torch.stack(layers).mean(0)
    if size < average.shape[-1]:  # no room for both directions
        average = average.unflatten(-1, (2, -1)).mean(-2)
    torch.testing.assert_close(started(config)(layers, MASK, None), average, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [4, 9, 15])
def test_projection_to_another_width_starts_as_a_turned_average(make_config, size):
    config = make_config(representation_size=size)
    layers = make_layers(config)
    average = torch.stack(layers).mean(0)[MASK]
    if size < average.shape[-1]:
        average = average.unflatten(-1, (2, -1)).mean(-2)
    projected = started(config)(layers, MASK, None)[MASK]
    if size > average.shape[-1]:  # wider: angles and lengths are those of the average
        torch.testing.assert_close(projected @ projected.t(), average @ average.t(), rtol=0, atol=1e-5)
    else:  # narrower: a projection of it onto a subspace
        assert (projected.norm(dim=-1) <= average.norm(dim=-1) + 1e-6).all()
        assert torch.linalg.matrix_rank(projected) == size


@pytest.mark.parametrize("norm", [None, "sentence", "batch", "batch_without_boundaries"])
def test_gradients_of_the_scalar_mix(make_config, norm):
    config = make_config(representation="scalar_mix", scalar_mix_norm=norm, projection_size=2, filters=[[1, 2]])
    mix = make_mix(config)
    layers = [layer.requires_grad_() for layer in make_layers(config)]

    def run(weights, gamma, *layers):
        return torch.func.functional_call(mix, {"weights": weights, "gamma": gamma}, (layers, MASK, BOUNDARIES))

    assert torch.autograd.gradcheck(run, [mix.weights.detach().requires_grad_(), mix.gamma, *layers])
