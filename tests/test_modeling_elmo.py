import copy
import pickle
import warnings

import pytest
import torch
from plain_bilm import bilm_layers

from modeling_elmo import ElmoForPreTraining, ElmoForSequenceClassification, ElmoModel

VARIANTS = [
    {},
    {"hidden_act": "tanh", "num_highway_layers": 0},
    {"num_highway_layers": 2},
    {"filters": [[1, 2], [2, 4]]},  # no projection of the characters' features
    {"projection_size": None, "cell_size": 7},
    {"cell_clip": None, "projection_clip": None},
    {"num_hidden_layers": 1},
    {"num_hidden_layers": 3, "use_residual": False},
    {"forget_bias": 0.0},
    {"bidirectional": False},
    {"word_embedding_size": 5},
    {"word_embedding_size": 5, "character_embedding_size": 0},
    {"word_embedding_size": 6, "character_embedding_size": 0, "bidirectional": False},
    {"character_vocab_size": 300, "forget_bias": 0.0, "representation": "scalar_mix"},
]


def outputs_of(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, output_hidden_states=True, use_cache=True, **kwargs)


def assert_same_words(first, second, masks, atol=1e-6):
    """The words' vectors of two outputs are equal, wherever the words stand."""
    for key in ("last_hidden_state", "hidden_states"):
        a, b = (outputs[key] if key == "hidden_states" else [outputs[key]] for outputs in (first, second))
        for one, other in zip(a, b, strict=True):
            torch.testing.assert_close(one[masks[0].bool()], other[masks[1].bool()], rtol=0, atol=atol)


# Numbers


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_layers_and_state_follow_the_formulas(make_model, make_batch, sentences, options):
    model, batch = make_model(**options).double(), make_batch(sentences)
    outputs = outputs_of(model, batch)
    layers = torch.stack(outputs.hidden_states)
    config = model.config
    assert layers.shape == (config.num_hidden_layers + 1, *batch["input_ids"].shape, config.layer_size)
    assert outputs.last_hidden_state.shape == (*batch["input_ids"].shape, config.hidden_size)
    assert outputs.state[0].shape == (
        len(sentences),
        config.num_hidden_layers,
        config.num_directions,
        config.output_size,
    )
    assert outputs.state[1].shape == (
        len(sentences),
        config.num_hidden_layers,
        config.num_directions,
        config.cell_size,
    )
    for row, mask in enumerate(batch["attention_mask"].bool()):
        expected, state = bilm_layers(model, batch["character_ids"][row, mask], batch["input_ids"][row, mask])
        torch.testing.assert_close(layers[:, row, mask], expected, rtol=0, atol=1e-12)
        for part, expected_part in zip(outputs.state, state, strict=True):
            torch.testing.assert_close(part[row], expected_part, rtol=0, atol=1e-12)
    assert not layers[:, ~batch["attention_mask"].bool()].any()
    assert not outputs.last_hidden_state[~batch["attention_mask"].bool()].any()


def test_without_layers_the_token_vectors_remain(make_model, make_batch, sentences):
    model, batch = make_model(num_hidden_layers=0, representation="scalar_mix"), make_batch(sentences)
    outputs = outputs_of(model, batch)
    assert len(outputs.hidden_states) == 1
    torch.testing.assert_close(outputs.last_hidden_state, model.combinations[0].gamma * outputs.hidden_states[0])


def test_several_representations(make_model, make_batch, sentences):
    for representation in ("projection", "scalar_mix"):
        model = make_model(num_representations=3, representation=representation)
        outputs = outputs_of(model, make_batch(sentences))
        assert len(outputs.representations) == 3
        assert outputs.last_hidden_state is outputs.representations[0]
        assert not torch.equal(outputs.representations[1], outputs.representations[2])
    assert outputs_of(make_model(), make_batch(sentences)).representations is None


def test_outputs_as_a_tuple(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    outputs = outputs_of(model, batch)
    last, layers, state = outputs_of(model, batch, return_dict=False)
    assert torch.equal(last, outputs.last_hidden_state)
    assert len(layers) == 3 and len(state) == 2
    assert set(model(**batch)) == {"last_hidden_state"}


# What a sentence's vectors depend on: that sentence


@pytest.mark.parametrize("options", [{}, {"representation": "scalar_mix", "scalar_mix_norm": "sentence"}], ids=str)
def test_neighbours_order_and_padding_change_nothing(make_model, make_batch, sentences, options):
    model, batch = make_model(**options), make_batch(sentences)
    whole, mask = outputs_of(model, batch), batch["attention_mask"]
    for row, sentence in enumerate(sentences):  # alone
        alone = make_batch([sentence])
        one = outputs_of(model, alone)
        assert_same_words(one, whole, [alone["attention_mask"], mask * (torch.arange(len(mask)) == row)[:, None]])
        for part, of_all in zip(one.state, whole.state, strict=True):
            torch.testing.assert_close(part[0], of_all[row], rtol=0, atol=1e-6)
    backwards = make_batch(sentences[::-1])  # in another order
    reordered = outputs_of(model, backwards)
    torch.testing.assert_close(reordered.last_hidden_state.flip(0), whole.last_hidden_state, rtol=0, atol=1e-6)
    for kwargs in ({"side": "left"}, {"length": 30}, {"side": "left", "length": 30}):  # padded otherwise
        padded = make_batch(sentences, **kwargs)
        assert_same_words(outputs_of(model, padded), whole, [padded["attention_mask"], mask])
    assert torch.equal(outputs_of(model, batch).last_hidden_state, whole.last_hidden_state)  # later


def test_what_stands_under_the_mask_changes_nothing(make_model, make_batch, sentences):
    model, batch = make_model(word_embedding_size=3), make_batch(sentences)
    whole, hidden = outputs_of(model, batch), batch["attention_mask"] == 0
    batch["character_ids"][hidden] = torch.randint(1, 262, (int(hidden.sum()), 50), dtype=torch.int16)
    batch["input_ids"][hidden] = 3
    assert_same_words(outputs_of(model, batch), whole, [batch["attention_mask"]] * 2)


def test_masks_with_holes(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    holes = batch["attention_mask"] * (torch.rand(batch["attention_mask"].shape) < 0.6)
    assert len(set(holes.sum(-1).tolist())) > 1
    outputs = outputs_of(model, {**batch, "attention_mask": holes})
    for row, mask in enumerate(holes.bool()):
        kept = {key: value[row : row + 1, mask] for key, value in batch.items()}
        expected = outputs_of(model, kept)
        torch.testing.assert_close(
            outputs.last_hidden_state[row, mask], expected.last_hidden_state[0], rtol=0, atol=1e-6
        )
        assert not outputs.last_hidden_state[row, ~mask].any()


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.int8, torch.float32])
def test_masks_of_any_type_and_by_default(make_model, make_batch, sentences, kind):
    model, batch = make_model(), make_batch(sentences)
    whole = outputs_of(model, batch).last_hidden_state
    mask = batch.pop("attention_mask")
    assert torch.equal(outputs_of(model, {**batch, "attention_mask": mask.to(kind)}).last_hidden_state, whole)
    assert torch.equal(outputs_of(model, batch).last_hidden_state, whole)
    words = make_model(word_embedding_size=4, character_embedding_size=0)
    of_ids = outputs_of(words, {"input_ids": batch["input_ids"], "attention_mask": mask}).last_hidden_state
    assert torch.equal(outputs_of(words, {"input_ids": batch["input_ids"]}).last_hidden_state, of_ids)


@pytest.mark.parametrize("norm", [None, "sentence", "batch", "batch_without_boundaries"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0), (2, 4)])
def test_batches_without_a_token_give_zeros(make_model, shape, norm):
    model = make_model(representation="scalar_mix", scalar_mix_norm=norm)
    state = outputs_of(make_model(seed=5), {"character_ids": torch.ones(shape[0], 1, 50).int()}).state
    outputs = outputs_of(model, {"character_ids": torch.zeros(*shape, 50, dtype=torch.int16)}, state=state)
    assert torch.equal(outputs.last_hidden_state, torch.zeros(*shape, model.config.hidden_size))
    assert len(outputs.hidden_states) == 3
    # Where nothing is read the state stays.
    assert all(torch.equal(before, after) for before, after in zip(state, outputs.state, strict=True))


def test_vectors_in_place_of_characters_are_refused(make_model, make_batch, sentences):
    model = make_model(ElmoModel)
    with pytest.raises(ValueError, match="inputs_embeds: this model reads characters or word ids only"):
        model(**make_batch(sentences), inputs_embeds=torch.zeros(1))


def test_options_changed_after_the_configuration_was_made_are_checked(make_model, tmp_path):
    make_model(ElmoModel).save_pretrained(tmp_path)
    with pytest.raises(Exception, match="ElmoConfig.representation is 'sum'; it must be one of"):
        ElmoModel.from_pretrained(tmp_path, representation="sum")


def test_a_row_of_padding_among_others(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    whole = outputs_of(model, batch).last_hidden_state
    with_empty = {key: torch.cat([value[:2], torch.zeros_like(value[:1]), value[2:]]) for key, value in batch.items()}
    outputs = outputs_of(model, with_empty).last_hidden_state
    assert not outputs[2].any()
    torch.testing.assert_close(outputs[[0, 1, 3, 4, 5]], whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_character_ids_of_any_integer_type(make_model, make_batch, sentences, dtype):
    model, batch = make_model(), make_batch([["abc", "d"]])
    batch["character_ids"].clamp_(max=255)
    expected = outputs_of(model, batch).last_hidden_state
    batch["character_ids"] = batch["character_ids"].to(dtype)
    assert torch.equal(outputs_of(model, batch).last_hidden_state, expected)


# State


def test_forward_model_read_in_two_pieces_is_the_whole(make_model, make_batch, sentences):
    model, batch = make_model(bidirectional=False), make_batch(sentences)
    whole = outputs_of(model, batch)
    head = {key: value[:, :4] for key, value in batch.items()}
    tail = {key: value[:, 4:] for key, value in batch.items()}
    first = outputs_of(model, head)
    second = outputs_of(model, tail, state=first.state)
    pieces = torch.cat([first.last_hidden_state, second.last_hidden_state], dim=1)
    torch.testing.assert_close(pieces, whole.last_hidden_state, rtol=0, atol=1e-6)
    for part, expected in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)


def test_carried_state_follows_the_formulas_in_each_row(make_model, make_batch, sentences):
    model = make_model().double()
    state, plain_states = None, [None] * 3
    for batch in (make_batch(sentences[:3]), make_batch(sentences[2:5], side="left"), make_batch(sentences[1:4])):
        outputs = outputs_of(model, batch, state=state)
        state = outputs.state
        for row, mask in enumerate(batch["attention_mask"].bool()):
            expected, plain_states[row] = bilm_layers(
                model, batch["character_ids"][row, mask], state=plain_states[row]
            )
            layers = torch.stack(outputs.hidden_states)[:, row, mask]
            torch.testing.assert_close(layers, expected, rtol=0, atol=1e-12)
            for part, expected_part in zip(state, plain_states[row], strict=True):
                torch.testing.assert_close(part[row], expected_part, rtol=0, atol=1e-12)


def test_state_is_asked_for(make_model, make_batch, sentences):
    model, batch = make_model(), make_batch(sentences)
    assert model(**batch).state is None
    assert "state" in model.config.keys_to_ignore_at_inference


def test_state_of_another_shape_is_refused(make_model, make_batch, sentences):
    model = make_model()
    state = outputs_of(model, make_batch(sentences[:2])).state
    with pytest.raises(ValueError, match=r"state has shapes .*\(2, 2, 2, 6\).*\(3, 2, 2, 6\)"):
        model(**make_batch(sentences[:3]), state=state)
    with pytest.raises(ValueError, match="state has shapes"):
        model(**make_batch(sentences[:2]), state=state[:1])


# Distinct words, cached words


class WordCounter:
    """Counts the words that reach the character encoder."""

    def __init__(self, model: ElmoModel):
        self.words = 0
        model.token_encoder.character_cnn.register_forward_pre_hook(self.count)

    def count(self, module, arguments):
        self.words += len(arguments[0])


@pytest.mark.parametrize("options", [{}, {"word_embedding_size": 3}], ids=str)
def test_each_distinct_word_is_encoded_once(make_model, make_batch, sentences, options):
    model, batch = make_model(**options), make_batch(sentences * 3)
    counter = WordCounter(model)
    model(**batch)
    words = {word for sentence in sentences for word in sentence} | {"<S>", "</S>"}
    assert counter.words == len(words)


@pytest.fixture
def vocabulary_batch(make_batch):
    """`<S>`, `</S>`, `<UNK>` and known words with ids below 7; then sentences of these, and one with unknown words."""
    words = ["<S>", "</S>", "<UNK>", "the", "river", "bank", "closed"]
    table = make_batch([words], marks=False)["character_ids"][0]

    def make(sentences):
        batch = make_batch(sentences)
        for row, sentence in enumerate(sentences):
            ids = [words.index(word) if word in words else 2 for word in sentence]
            batch["input_ids"][row, 1 : 1 + len(ids)] = torch.tensor(ids)
        return batch

    return table, make([["the", "river", "bank"], ["closed"]]), make([["the", "strange", "bank", "weird"], ["odd"]])


@pytest.mark.parametrize("options", [{}, {"word_embedding_size": 3}], ids=str)
def test_cached_words_give_the_same_without_encoding(make_model, vocabulary_batch, options):
    table, known, unknown = vocabulary_batch
    model = make_model(**options)
    expected = [outputs_of(model, batch).last_hidden_state for batch in (known, unknown)]
    model.cache_words(table)
    counter = WordCounter(model)
    ids_only = {key: known[key] for key in ("input_ids", "attention_mask")}
    torch.testing.assert_close(outputs_of(model, ids_only).last_hidden_state, expected[0], rtol=0, atol=1e-6)
    assert counter.words == 0
    # Unknown words by their characters: each has a vector of its own, though all have the id of <UNK>.
    torch.testing.assert_close(outputs_of(model, unknown).last_hidden_state, expected[1], rtol=0, atol=1e-6)
    assert counter.words == 3


def test_cached_words_take_numpy_and_the_default_mask(make_model, vocabulary_batch):
    table, known, _ = vocabulary_batch
    model = make_model()
    expected = outputs_of(model, known).last_hidden_state
    array = table.numpy().copy()
    array.flags.writeable = False  # as the tokenizer's, of which PyTorch would warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.cache_words(array)
    torch.testing.assert_close(
        outputs_of(model, {"input_ids": known["input_ids"]}).last_hidden_state, expected, rtol=0, atol=1e-6
    )


def test_words_without_characters_need_none_when_cached(make_model, vocabulary_batch):
    table, _, unknown = vocabulary_batch
    model = make_model(character_embedding_size=0, word_embedding_size=3)
    ids_only = {key: unknown[key] for key in ("input_ids", "attention_mask")}
    expected = outputs_of(model, ids_only).last_hidden_state
    model.cache_words(table)
    assert torch.equal(outputs_of(model, ids_only).last_hidden_state, expected)


@pytest.mark.parametrize("bad_id", [2, 7, 19, -1])
def test_unknown_words_without_characters_are_an_error(make_model, vocabulary_batch, bad_id):
    table, known, _ = vocabulary_batch
    model = make_model()
    model.cache_words(table)
    known["input_ids"][0, 1] = bad_id
    with pytest.raises(ValueError, match=rf"without a cached vector \(ids \[{bad_id}\]\): pass character_ids"):
        model(input_ids=known["input_ids"], attention_mask=known["attention_mask"])


def test_cached_words_are_not_saved(make_model, vocabulary_batch, tmp_path):
    model = make_model()
    before = set(model.state_dict())
    model.cache_words(vocabulary_batch[0])
    assert set(model.state_dict()) == before
    model.save_pretrained(tmp_path)
    assert ElmoModel.from_pretrained(tmp_path).word_table is None


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.unfreeze_bilm(),
        lambda model: model.double(),
        lambda model: model.to(torch.bfloat16),
        lambda model: model.load_state_dict(model.state_dict()),
        lambda model: ElmoHolder(model).load_state_dict(ElmoHolder(model).state_dict()),
    ],
    ids=["unfrozen", "double", "bfloat16", "loaded into", "loaded into as a part"],
)
def test_cached_words_go_when_they_no_longer_hold(make_model, vocabulary_batch, change):
    table, known, _ = vocabulary_batch
    model = make_model()
    model.cache_words(table)
    change(model)
    assert model.word_table is None
    with pytest.raises(ValueError, match="pass character_ids"):
        model(input_ids=known["input_ids"])


class ElmoHolder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.part = model


def test_cached_words_are_not_trusted_once_a_parameter_trains(make_model, vocabulary_batch):
    table, known, _ = vocabulary_batch
    model = make_model()
    model.cache_words(table)
    model.token_encoder.requires_grad_(True)  # not by unfreeze_bilm
    with torch.no_grad():
        model.token_encoder.projection.bias += 1.0
    expected = make_model().eval()
    expected.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        outputs_of(model, known).last_hidden_state, outputs_of(expected, known).last_hidden_state, rtol=0, atol=1e-6
    )


def test_cached_words_move_with_the_model(make_model, vocabulary_batch):
    model = make_model()
    model.cache_words(vocabulary_batch[0])
    model.float()  # as it is already
    assert model.word_table is not None
    assert model.to("meta").word_table.device.type == "meta"


def test_a_model_with_hooks_and_cache_can_be_copied_and_pickled(make_model, vocabulary_batch):
    table, known, _ = vocabulary_batch
    model = make_model()
    model.cache_words(table)
    expected = outputs_of(model, known).last_hidden_state
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(outputs_of(copied, known).last_hidden_state, expected)
        copied.load_state_dict(copied.state_dict())
        assert copied.word_table is None
    assert model.word_table is not None


# What trains


def trainable(model) -> set[str]:
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_gradients_reach_everything(make_model, make_batch, sentences):
    for options in ({}, {"representation": "scalar_mix"}, {"word_embedding_size": 3, "num_representations": 2}):
        model = make_model(**options, dropout=0.0).train()
        outputs = model(**make_batch(sentences))
        sum(part.square().sum() for part in outputs.representations or [outputs.last_hidden_state]).backward()
        silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
        assert silent == []


@pytest.mark.parametrize(
    "options", [{}, {"representation": "scalar_mix", "projection_size": None, "cell_size": 4}], ids=str
)
def test_gradients_are_exact(make_model, make_batch, options):
    tiny = {
        "filters": [[1, 2], [2, 2]],
        "projection_size": 3,
        "cell_size": 3,
        "dropout": 0.0,
        "representation_size": 2,
    }
    model = make_model(**{**tiny, **options}).double().train()
    batch = make_batch([["ab", "c"], ["d"]])
    state = tuple(part.requires_grad_() for part in outputs_of(model, batch).state)
    parameters = dict(model.named_parameters())
    fixed = "token_encoder.character_cnn.character_embeddings.weight"  # row 0 has no gradient by design
    names = [name for name in parameters if name != fixed]

    def run(hidden, cell, *values):
        values = {**dict(zip(names, values, strict=True)), fixed: parameters[fixed]}
        outputs = torch.func.functional_call(
            model, values, kwargs={**batch, "state": (hidden, cell), "use_cache": True}
        )
        return outputs.last_hidden_state, *outputs.state

    values = [*state, *(parameters[name].detach().requires_grad_() for name in names)]
    assert torch.autograd.gradcheck(run, values, fast_mode=True)


def test_dropout_only_where_the_bilm_trains(make_model, make_batch, sentences):
    model, batch = make_model(dropout=0.5), make_batch(sentences)
    model.train()
    assert not torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)
    model.freeze_bilm()
    assert model.training
    assert torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)
    model.eval().train()
    assert torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)
    model.unfreeze_bilm()
    assert not torch.equal(model(**batch).last_hidden_state, model(**batch).last_hidden_state)


def test_a_frozen_bilm_leaves_no_graph(make_model, make_batch, sentences):
    model = make_model().train()
    model.freeze_bilm()
    outputs = model(**make_batch(sentences), output_hidden_states=True, use_cache=True)
    assert not any(layer.requires_grad for layer in outputs.hidden_states)
    assert not any(part.requires_grad for part in outputs.state)
    outputs.last_hidden_state.sum().backward()
    assert {name for name, value in model.named_parameters() if value.grad is not None} == {"combinations.0.weight"}


def test_heads_train_what_lies_above_the_bilm(make_model, make_batch, sentences, tmp_path):
    head = make_model(ElmoForSequenceClassification)
    assert head.elmo.is_bilm_frozen
    assert all(parameter.requires_grad for parameter in head.elmo.combinations.parameters())
    head.save_pretrained(tmp_path)
    loaded = ElmoForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.elmo.is_bilm_frozen
    assert all(parameter.requires_grad for parameter in loaded.elmo.combinations.parameters())
    loaded.unfreeze_bilm()
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    loaded.save_pretrained(tmp_path)
    again, report = ElmoForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert all(parameter.requires_grad for parameter in again.parameters())
    assert not report["missing_keys"]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(make_model, make_batch, sentences, use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = make_model(ElmoForPreTraining).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        torch.manual_seed(4)
        model(**make_batch(sentences)).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-7, msg=name)


# Initialisation (Peters et al., 2018, as published)


def check_initialisation(model: ElmoForPreTraining):
    config, encoder = model.config, model.elmo.token_encoder
    features = config.character_feature_size

    def uniform(values, bound):
        assert values.abs().max() <= bound
        torch.testing.assert_close(values.std(), torch.tensor(bound / 3**0.5), rtol=0.1, atol=0)

    def normal(values, std):
        assert values.abs().max() > 2.5 * std
        torch.testing.assert_close(values.std(), torch.tensor(std), rtol=0.1, atol=0)

    uniform(encoder.character_cnn.character_embeddings.weight[1:], 1.0)
    assert not encoder.character_cnn.character_embeddings.weight[0].any()
    for convolution, (width, _) in zip(encoder.character_cnn.convolutions, config.filters, strict=True):
        if config.hidden_act == "relu":
            uniform(convolution.weight, 0.05)
        else:
            normal(convolution.weight, (width * config.character_embedding_size) ** -0.5)
        assert not convolution.bias.any()
    for highway in encoder.character_cnn.highways:
        normal(highway.carry.weight, features**-0.5)
        normal(highway.transform.weight, features**-0.5)
        assert (highway.carry.bias == -2).all()
        assert not highway.transform.bias.any()
    normal(encoder.projection.weight, features**-0.5)
    assert not encoder.projection.bias.any()
    size, cells = config.output_size, config.cell_size
    for layer in model.elmo.lstm.layers:
        uniform(torch.cat([layer.input_weight, layer.recurrent_weight], 1), (6 / (2 * size + 4 * cells)) ** 0.5)
        uniform(layer.projection_weight, (6 / (size + cells)) ** 0.5)
        assert not layer.bias.any()
    normal(model.softmax.weight, size**-0.5)
    assert not model.softmax.bias.any()
    for combination in model.elmo.combinations:
        if config.representation == "scalar_mix":
            assert combination.gamma == 1 and not combination.weights.any()
        else:
            block = torch.eye(size) / (config.num_hidden_layers + 1)
            assert torch.equal(combination.weight[:, :size], block)


LARGER = {"filters": [[1, 64], [2, 64]], "cell_size": 48, "projection_size": 32, "vocab_size": 200}


@pytest.mark.parametrize("options", [{}, {"hidden_act": "tanh", "representation": "scalar_mix"}], ids=str)
def test_initialisation(make_config, options, tmp_path):
    torch.manual_seed(0)
    config = make_config(**LARGER, representation_size=32, **options)
    check_initialisation(ElmoForPreTraining(config))
    # from_pretrained builds on the meta device: parameters that a checkpoint lacks must start the same way.
    check_initialisation(ElmoForPreTraining.from_pretrained(None, config=config, state_dict={}))


def test_a_checkpoint_without_head_and_combination(make_config, make_model, tmp_path):
    torch.manual_seed(0)
    model = make_model(**LARGER)
    model.save_pretrained(tmp_path)
    loaded = ElmoForPreTraining.from_pretrained(tmp_path, representation="scalar_mix", num_representations=2)
    assert torch.equal(loaded.elmo.lstm.layers[1].bias, model.lstm.layers[1].bias)
    for mix in loaded.elmo.combinations:
        assert mix.gamma == 1 and not mix.weights.any()
    torch.testing.assert_close(loaded.softmax.weight.std(), torch.tensor(32**-0.5), rtol=0.1, atol=0)


# Embeddings


def test_resizing_leaves_a_character_model_as_it_is(make_model):
    model = make_model()
    embeddings = model.get_input_embeddings()
    assert embeddings.num_embeddings == 262
    assert model.resize_token_embeddings(1000) is embeddings
    assert model.config.vocab_size == 20


def test_resizing_a_model_with_words_is_refused(make_model):
    model = make_model(ElmoForPreTraining, word_embedding_size=4)
    assert model.get_input_embeddings().num_embeddings == 20
    assert model.resize_token_embeddings(21) is model.get_input_embeddings()  # len(tokenizer)
    with pytest.raises(ValueError, match="20 words and cannot be resized to 25"):
        model.resize_token_embeddings(25)


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"character_ids": None}, "reads characters: pass character_ids"),
        (
            {"character_ids": torch.full((2, 4, 50), 262)},
            r"character_ids has values from 262 to 262.*character_vocab_size",
        ),
        ({"character_ids": torch.full((2, 4, 50), -1)}, "character_ids has values from -1"),
        ({"character_ids": torch.ones(2, 4, 49).int()}, r"character_ids must be integers of shape .*50.*\(2, 4, 49\)"),
        ({"character_ids": torch.ones(2, 50).int()}, r"character_ids must be integers of shape .*\(2, 50\)"),
        ({"character_ids": torch.ones(2, 4, 50)}, "character_ids must be integers .* not torch.float32"),
        ({"attention_mask": torch.ones(2, 5)}, r"attention_mask has shape \(2, 5\).*\(2, 4\)"),
        ({"attention_mask": torch.ones(2, 1, 4, 4)}, r"attention_mask has shape \(2, 1, 4, 4\)"),
        ({"input_ids": torch.ones(2, 5).long()}, r"input_ids has shape \(2, 5\).*\(2, 4\)"),
        ({"input_ids": torch.ones(2, 4)}, "input_ids must be integers .* not torch.float32"),
        ({"input_ids": torch.ones(2, 4, 2).long()}, r"input_ids must be integers of shape .*\(2, 4, 2\)"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(make_model, change, message):
    batch = {
        "character_ids": torch.ones(2, 4, 50, dtype=torch.int16),
        "attention_mask": torch.ones(2, 4),
        "input_ids": torch.ones(2, 4, dtype=torch.int64),
    }
    for model_class in (ElmoModel, ElmoForPreTraining):
        with pytest.raises(ValueError, match=message):
            make_model(model_class)(**{**batch, **change})


def test_bad_words_are_refused_by_name(make_model, make_batch, sentences):
    model, batch = make_model(word_embedding_size=3), make_batch(sentences)
    with pytest.raises(ValueError, match="has a word embedding: pass input_ids"):
        model(batch["character_ids"])
    for bad_id in (20, -1):
        batch["input_ids"][0, 1] = bad_id
        with pytest.raises(ValueError, match="input_ids has values .*config.vocab_size is 20"):
            model(**batch)


@pytest.mark.parametrize(
    ("rows", "message"), [(torch.ones(4, 49).int(), r"\(words, 50\)"), (torch.ones(4, 50), "integers")], ids=str
)
def test_bad_tables_are_refused_by_name(make_model, rows, message):
    with pytest.raises(ValueError, match=message):
        make_model().cache_words(rows)
