import pytest
import torch

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.softmax import sample_log_uniform


def test_surprisals_are_the_exact_ones(make_model, make_batch, sentences):
    model, batch = make_model(ElmoForPreTraining), make_batch(sentences, side="left")
    with torch.no_grad():
        outputs = model(**batch, output_hidden_states=True)
        top = outputs.hidden_states[-1]
        half = model.config.output_size
        forward, backward = (model.softmax(part).log_softmax(-1) for part in top.split(half, dim=-1))
    totals = [[], []]
    for row, mask in enumerate(batch["attention_mask"].bool()):
        places = mask.nonzero()[:, 0].tolist()
        for before, after in zip(places[:-1], places[1:], strict=True):
            ids = batch["input_ids"][row]
            expected = [-forward[row, before, ids[after]], -backward[row, after, ids[before]]]
            torch.testing.assert_close(outputs.forward_surprisal[row, after], expected[0], rtol=0, atol=1e-5)
            torch.testing.assert_close(outputs.backward_surprisal[row, before], expected[1], rtol=0, atol=1e-5)
            for total, value in zip(totals, expected, strict=True):
                total.append(value)
        assert outputs.forward_surprisal[row, places[0]] == outputs.backward_surprisal[row, places[-1]] == 0
    torch.testing.assert_close(outputs.forward_loss, torch.stack(totals[0]).mean())
    torch.testing.assert_close(outputs.backward_loss, torch.stack(totals[1]).mean())
    torch.testing.assert_close(outputs.loss, (outputs.forward_loss + outputs.backward_loss) / 2)


@pytest.mark.parametrize("training", [False, True])
def test_losses_of_ids_of_any_integer_type(make_model, make_batch, sentences, training):
    model, batch = make_model(ElmoForPreTraining, dropout=0.0).train(training), make_batch(sentences)
    samples = sample_log_uniform(20, 5)
    expected = model(**batch, negative_samples=samples).loss
    batch["input_ids"] = batch["input_ids"].to(torch.int16)
    assert torch.equal(model(**batch, negative_samples=samples).loss, expected)


def test_labels_stand_for_input_ids(make_model, make_batch, sentences):
    model, batch = make_model(ElmoForPreTraining), make_batch(sentences)
    expected = model(**batch)
    ids = batch.pop("input_ids")
    assert model(**batch).loss is None
    torch.testing.assert_close(model(**batch, labels=ids).loss, expected.loss)
    ignored = ids.clone()
    ignored[:, 2] = -100
    outputs = model(**batch, labels=ignored)
    assert not outputs.forward_surprisal[:, 2].any() and not outputs.backward_surprisal[:, 2].any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0), (2, 4)])
def test_language_models_of_nothing(make_model, shape):
    model = make_model(ElmoForPreTraining)
    ids = torch.full(shape, model.config.vocab_size)
    for mode in (True, False):
        outputs = model.train(mode)(character_ids=torch.zeros(*shape, 50, dtype=torch.int16), input_ids=ids)
        assert outputs.loss == outputs.forward_loss == outputs.backward_loss == 0
        assert torch.equal(outputs.forward_surprisal, torch.zeros(shape))


def test_language_models_of_single_words_train(make_model, make_batch):
    model = make_model(ElmoForPreTraining).train()
    loss = model(**make_batch([["a"], ["b"]], marks=False)).loss
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize(
    "options",
    [{"num_negative_samples": 0}, {}, {"adaptive_softmax_cutoffs": [5]}],
    ids=["exact", "sampled", "adaptive"],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_batch_with_nothing_to_predict_trains(make_model, make_batch, sentences, options, sparse):
    model = make_model(ElmoForPreTraining, **options).train()
    model.softmax.sparse = sparse
    batch = make_batch(sentences)
    nothing = {key: value[:, :0] for key, value in batch.items()}
    index = torch.zeros(2, 3, dtype=torch.int64)
    windows = {"forward_index": index, "backward_index": index}
    windows |= {f"{direction}_targets": index - 100 for direction in ("forward", "backward")}
    windows |= {key: batch[key][0, :1] for key in ("character_ids", "input_ids")}
    for inputs in (batch | {"labels": torch.full_like(batch["input_ids"], -100)}, nothing, windows):
        model.zero_grad()
        outputs = model(**inputs)
        outputs.loss.backward()
        assert outputs.loss == outputs.forward_loss == outputs.backward_loss == 0
        gradients = [
            p.grad.coalesce().values() if p.grad.is_sparse else p.grad
            for p in model.parameters()
            if p.grad is not None
        ]
        assert gradients and not any(gradient.any() for gradient in gradients)


def test_pretraining_trains_all_but_the_combination(make_model, tmp_path):
    model = make_model(ElmoForPreTraining)
    model.save_pretrained(tmp_path)
    for one in (model, ElmoForPreTraining.from_pretrained(tmp_path)):
        frozen = {name for name, parameter in one.named_parameters() if not parameter.requires_grad}
        assert frozen == {"elmo.combinations.0.weight"}


def test_tied_embeddings(make_model, make_batch, sentences, tmp_path):
    options = {"character_embedding_size": 0, "word_embedding_size": 6, "tie_word_embeddings": True}
    model = make_model(ElmoForPreTraining, **options)
    assert model.softmax.weight is model.elmo.token_encoder.word_embeddings.weight
    model.save_pretrained(tmp_path)
    loaded = ElmoForPreTraining.from_pretrained(tmp_path)
    assert loaded.softmax.weight is loaded.elmo.token_encoder.word_embeddings.weight
    batch = make_batch(sentences)
    assert torch.equal(loaded(**batch).loss, model(**batch).loss)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.ones(2, 3).long(), r"labels has shape \(2, 3\)"),
        (torch.full((2, 4), 20), "labels has values from 20 to 20.*vocab_size"),
        (torch.full((2, 4), -5), "labels has values from -5"),
    ],
    ids=str,
)
def test_bad_labels_are_refused_by_name(make_model, labels, message):
    with pytest.raises(ValueError, match=message):
        make_model(ElmoForPreTraining)(torch.ones(2, 4, 50, dtype=torch.int16), labels=labels)
