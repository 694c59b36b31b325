"""Other types than fp32, compilation, weights that change, device maps: the same numbers."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from modeling_elmo import ElmoForPreTraining, ElmoModel, matrix_products


def layers_of(model, batch) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(model(**batch, output_hidden_states=True).hidden_states)


MIDDLE = {
    "character_embedding_size": 16,
    "filters": [[1, 32], [2, 32], [3, 64]],
    "cell_size": 128,
    "projection_size": 32,
    "cell_clip": 3.0,
    "projection_clip": 3.0,
}


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)], ids=str)
@pytest.mark.parametrize("representation", ["projection", "scalar_mix"])
def test_half_precision(make_config, make_batch, sentences, dtype, error, representation):
    torch.manual_seed(0)
    model = ElmoModel(make_config(**MIDDLE, representation=representation)).eval()
    batch = make_batch([*sentences, [word for sentence in sentences for word in sentence] * 4])
    exact, half = layers_of(model, batch), copy.deepcopy(model).to(dtype)
    layers = layers_of(half, batch)
    assert (
        layers.dtype == half(**batch).last_hidden_state.dtype == half(**batch, use_cache=True).state[0].dtype == dtype
    )
    scale = exact[1:].square().mean().sqrt()
    assert ((layers.float() - exact).square().mean().sqrt() / scale) < error
    torch.testing.assert_close(
        half(**batch).last_hidden_state.float(), model(**batch).last_hidden_state, rtol=0, atol=20 * error * scale
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_does_not_depend_on_the_neighbours_much(make_model, make_batch, sentences, dtype):
    model = make_model().to(dtype)
    together = layers_of(model, make_batch(sentences)).float()
    for row, sentence in enumerate(sentences):
        alone = layers_of(model, make_batch([sentence])).float()
        torch.testing.assert_close(together[:, row, : alone.shape[2]], alone[:, 0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("on_old_processors", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_gradients_in_half_precision_and_under_autocast(
    make_model, make_batch, sentences, dtype, on_old_processors, monkeypatch
):
    if on_old_processors:  # which have no instructions for these types
        monkeypatch.setattr(matrix_products, "has_kernels_of", lambda dtype: False)
    batch = make_batch(sentences)
    exact = make_model(ElmoForPreTraining, dropout=0.0)
    exact(**batch).loss.backward()
    expected = {name: parameter.grad for name, parameter in exact.named_parameters() if parameter.requires_grad}
    half, mixed = (make_model(ElmoForPreTraining, dropout=0.0) for _ in range(2))
    half.to(dtype)
    half(**batch).loss.backward()
    with torch.autocast("cpu", dtype):
        loss = mixed(**batch).loss
    loss.backward()
    for model in (half, mixed):
        for name, gradient in expected.items():
            found = dict(model.named_parameters())[name].grad.float()
            assert found.isfinite().all()
            assert (found - gradient).norm() <= 0.15 * gradient.norm() + 1e-3, name


def test_compiled_it_gives_the_same_and_settles(make_model, make_batch, sentences):
    torch.compiler.reset()
    model, counter = make_model(), CompileCounter()
    compiled = torch.compile(model, backend=counter)
    counts = []
    for batch in (
        sentences,
        sentences[:3],
        sentences[1:],
        sentences[2:],
        sentences[:2],
        sentences[:2] * 4,
        sentences * 2,
    ):
        batch = make_batch(batch)
        torch.testing.assert_close(layers_of(compiled, batch), layers_of(model, batch), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            compiled(**batch).last_hidden_state, model(**batch).last_hidden_state, rtol=0, atol=1e-5
        )
        counts.append(counter.frame_count)
    # Once, and again when sizes are found to vary; then no more, whatever the length.
    assert counts[3:] == counts[3:4] * 4
    torch.compiler.reset()


@pytest.mark.slow
def test_compiled_by_inductor_it_gives_the_same(make_model, make_batch, sentences):
    torch.compiler.reset()
    model = make_model(ElmoForPreTraining, dropout=0.0)
    batch, numbers = make_batch(sentences), []
    for one in (model, torch.compile(model)):
        model.zero_grad()
        loss = one(**batch).loss
        loss.backward()
        numbers.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    for found, expected in zip(*numbers, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.compiler.reset()


def steps(model):
    """Changes of the LSTMs' weights, by all the ways there are."""
    layer = model.lstm.layers[0]
    other = {name: value + 0.1 for name, value in model.state_dict().items()}
    yield "in place", lambda: layer.recurrent_weight.add_(0.1)
    yield "by .data", lambda: layer.projection_weight.data.add_(0.1)
    yield "by a new .data", lambda: setattr(layer.bias, "data", layer.bias.data + 0.1)
    yield "loaded", lambda: model.load_state_dict(other)
    yield "assigned", lambda: model.load_state_dict({k: v + 0.2 for k, v in other.items()}, assign=True)
    yield "replaced", lambda: setattr(layer, "input_weight", torch.nn.Parameter(layer.input_weight * 0.5))
    yield "cast", model.double
    yield "cast back", model.float


@torch.no_grad()
def test_changed_weights_are_seen_at_once(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    layers_of(model, batch)
    for name, change in steps(model):
        change()
        fresh = ElmoModel(model.config).to(model.dtype).eval()
        fresh.load_state_dict(model.state_dict())
        torch.testing.assert_close(layers_of(model, batch), layers_of(fresh, batch), rtol=0, atol=1e-6, msg=name)


def test_an_optimizer_step_is_seen_at_once(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    before = layers_of(model, batch)
    for foreach in (False, True):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, foreach=foreach)
        model(**batch).last_hidden_state.square().sum().backward()
        optimizer.step()
        after = layers_of(model, batch)
        fresh = ElmoModel(model.config).eval()
        fresh.load_state_dict(model.state_dict())
        torch.testing.assert_close(after, layers_of(fresh, batch), rtol=0, atol=1e-6)
        assert not torch.allclose(after, before)


def test_with_and_without_gradients_the_same(make_model, make_batch, sentences):
    for options in ({}, {"projection_size": None, "cell_size": 7}, {"bidirectional": False}):
        model, batch = make_model(**options), make_batch(sentences)
        with_graph = torch.stack(model(**batch, output_hidden_states=True).hidden_states)
        assert with_graph.requires_grad
        torch.testing.assert_close(with_graph.detach(), layers_of(model, batch), rtol=0, atol=1e-6)
        with torch.inference_mode():
            inferred = torch.stack(model(**batch, output_hidden_states=True).hidden_states)
        torch.testing.assert_close(inferred, with_graph.detach(), rtol=0, atol=1e-6)
