import pytest
import torch
from plain_bilm import token_vector
from torch.nn.utils import prune

from modeling_elmo import token_encoder
from modeling_elmo.token_encoder import distinct_rows

WORDS = ["<S>", "</S>", "a", "an", "the", "river", "Überraschung", "😀", "naïve", "x" * 48, "y" * 60, "ab" * 20]


@pytest.fixture(scope="module")
def rows(make_batch):
    return make_batch([WORDS], marks=False)["character_ids"][0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "tanh"},
        {"num_highway_layers": 0},
        {"num_highway_layers": 2},
        {"filters": [[1, 2], [2, 4]], "token_projection": None},  # features as wide as the LSTM: no projection
        {"filters": [[1, 2], [2, 4]], "token_projection": True},
        {"filters": [[50, 3], [1, 2]]},
        {"word_embedding_size": 5},
        {"word_embedding_size": 5, "character_embedding_size": 0},
        {"word_embedding_size": 6, "character_embedding_size": 0},
    ],
    ids=str,
)
def test_vectors_follow_the_formulas(make_model, rows, options):
    model = make_model(**options).double()
    ids = torch.arange(len(rows)) if model.config.word_embedding_size else None
    characters = rows if model.config.character_embedding_size else None
    with torch.no_grad():
        vectors = model.token_encoder(characters, ids)
        expected = torch.stack(
            [token_vector(model, row, None if ids is None else ids[at]) for at, row in enumerate(rows)]
        )
    assert vectors.shape == (len(rows), model.config.output_size)
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-12)


def test_projection_exists_only_where_asked_for_or_needed(make_model):
    assert make_model().token_encoder.projection is not None
    assert make_model(filters=[[1, 6]]).token_encoder.projection is None
    assert make_model(filters=[[1, 6]], token_projection=True).token_encoder.projection is not None


def test_padding_characters_are_convolved_too(make_model, rows):
    model = make_model()
    short = rows[WORDS.index("an")][None]
    before = model.token_encoder(short, None)
    with torch.no_grad():
        model.token_encoder.character_cnn.character_embeddings.weight[261] += 5.0
    assert (model.token_encoder(short, None) - before).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_any_integer_type(make_model, rows, dtype):
    model = make_model(character_vocab_size=120)
    rows = rows.long() % 120
    assert torch.equal(model.token_encoder(rows.to(dtype), None), model.token_encoder(rows, None))


def test_chunks_change_nothing_but_memory(make_model, rows, monkeypatch):
    model = make_model()
    shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))]
    whole = model.token_encoder(shuffled, None)
    monkeypatch.setattr(token_encoder, "WORDS_PER_CHUNK", 4)
    assert len(shuffled) > 4
    torch.testing.assert_close(model.token_encoder(shuffled, None), whole, rtol=0, atol=1e-6)


def test_a_word_does_not_depend_on_the_others(make_model, rows):
    model = make_model()
    together = model.token_encoder(rows, None)
    alone = torch.cat([model.token_encoder(row[None], None) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_gradients(make_model, rows):
    model = make_model(filters=[[1, 2], [3, 2]], projection_size=3, cell_size=3).double()
    encoder, few = model.token_encoder, rows[2:6]
    parameters = dict(encoder.named_parameters())

    def vectors(*values):
        return torch.func.functional_call(encoder, dict(zip(parameters, values, strict=True)), (few, None))

    # The embedding of the "no token" character (padding_idx) gets no gradient by design.
    fixed = parameters["character_cnn.character_embeddings.weight"]
    values = [value.detach().requires_grad_(value is not fixed) for value in parameters.values()]
    assert torch.autograd.gradcheck(vectors, values)


@pytest.mark.parametrize("columns", [1, 3, 51])
def test_distinct_rows(columns):
    generator = torch.Generator().manual_seed(columns)
    rows = torch.randint(0, 3, (200, columns), generator=generator)[torch.randint(0, 40, (200,), generator=generator)]
    distinct, inverse = distinct_rows(rows)
    assert torch.equal(distinct[inverse], rows)
    assert len(distinct) == len({tuple(row) for row in rows.tolist()})


def test_hooks_of_every_layer_are_called(make_model, rows):
    encoder = make_model().token_encoder
    plain, called = encoder(rows, None), {}
    layers = {name: layer for name, layer in encoder.named_modules() if not list(layer.children())}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda layer, inputs, output, name=name: called.setdefault(name, output))
    torch.testing.assert_close(encoder(rows, None), plain, rtol=0, atol=1e-6)
    assert called.keys() == layers.keys()


def test_pruned_layers_follow_their_training(make_model, rows):
    """A hook before each call makes a pruned layer's weight."""
    encoder = make_model().token_encoder
    layer = encoder.projection
    prune.identity(layer, "weight")
    before = encoder(rows, None)
    with torch.no_grad():
        layer.weight_orig.mul_(2)
        torch.testing.assert_close(encoder(rows, None) - layer.bias, 2 * (before - layer.bias), rtol=0, atol=1e-5)
