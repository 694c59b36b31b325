"""Classification of texts and pairs."""

import random

import pytest
import torch
from tiny_heads import make_head
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
    set_seed,
)

from modeling_elmo import ElmoForSequenceClassification, ElmoModel, ElmoTokenizer

CLOSE = {"atol": 2e-4, "rtol": 1e-3}
PAIR = (["The", "bank", "is", "closed", "."], ["A", "river", "!"])


@pytest.fixture
def tokenizer():
    return ElmoTokenizer()


def encode(tokenizer, *texts, side="right", **options):
    tokenizer.padding_side = side
    pairs = [pair for _, pair in texts] if isinstance(texts[0], tuple) else None
    firsts = [text for text, _ in texts] if pairs else list(texts)
    return tokenizer(firsts, pairs, is_split_into_words=True, padding=True, return_tensors="pt", **options)


@pytest.mark.parametrize("options", [{}, {"num_representations": 2, "head_num_layers": 2}, {"context_free_size": 6}])
def test_neither_batch_nor_padding_matters(make_model, tokenizer, sentences, options):
    model = make_model(ElmoForSequenceClassification, head_hidden_size=5, **options)
    alone = torch.cat([model(**encode(tokenizer, sentence)).logits for sentence in sentences])
    for side in ("right", "left"):
        torch.testing.assert_close(model(**encode(tokenizer, *sentences, side=side)).logits, alone, **CLOSE)
    assert alone.std() > 0.1


@pytest.mark.parametrize("norm", [None, "sentence"])
def test_the_bilm_reads_each_text_of_a_pair_alone(make_model, tokenizer, norm):
    model = make_model(ElmoForSequenceClassification, representation="scalar_mix", scalar_mix_norm=norm)
    outputs = model.represent(**encode(tokenizer, PAIR), output_hidden_states=True)
    firsts, seconds = (model.represent(**encode(tokenizer, text), output_hidden_states=True) for text in PAIR)
    for together, first, second in zip(outputs[2], firsts[2], seconds[2], strict=True):
        torch.testing.assert_close(together, torch.cat([first, second], dim=1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(outputs[0][0], torch.cat([firsts[0][0], seconds[0][0]], dim=1), atol=1e-5, rtol=1e-4)
    assert torch.equal(outputs[1], torch.cat([firsts[1], seconds[1]], dim=1))
    assert outputs[1].sum() == 8


def test_both_texts_and_their_order_matter(make_model, tokenizer):
    model = make_model(ElmoForSequenceClassification)
    logits = model(**encode(tokenizer, PAIR, PAIR[::-1], (PAIR[0], PAIR[0]))).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    assert (logits[0] - logits[2]).abs().max() > 1e-3


def test_a_text_alone_is_its_own_partner(make_model, tokenizer):
    model = make_model(ElmoForSequenceClassification)
    alone = model(**encode(tokenizer, PAIR[0])).logits
    torch.testing.assert_close(model(**encode(tokenizer, (PAIR[0], PAIR[0]))).logits, alone, **CLOSE)
    # Also where other rows of the batch are pairs.
    both, single = encode(tokenizer, PAIR), encode(tokenizer, PAIR[0])
    length = both["input_ids"].shape[1] - single["input_ids"].shape[1]
    rows = {}
    for name, values in single.items():
        padding = tokenizer.pad_token_id if name == "input_ids" else 0
        shape = (1, length, *values.shape[2:])
        rows[name] = torch.cat([both[name], torch.cat([values, values.new_full(shape, padding)], dim=1)])
    torch.testing.assert_close(model(**rows).logits[1:], alone, **CLOSE)


@pytest.mark.parametrize("marks", [True, False])
def test_a_pair_without_a_first_text(make_model, tokenizer, marks):
    model = make_model(ElmoForSequenceClassification, num_representations=2)
    pair = ([], PAIR[1])
    alone = model(**encode(tokenizer, pair, add_special_tokens=marks)).logits
    for side in ("right", "left"):
        batch = encode(tokenizer, pair, PAIR, side=side, add_special_tokens=marks)
        torch.testing.assert_close(model(**batch).logits[:1], alone, **CLOSE)


def test_layers_in_place_of_characters(make_model, tokenizer):
    model = make_model(ElmoForSequenceClassification, num_representations=2)
    inputs = encode(tokenizer, PAIR, PAIR[::-1])
    outputs = model(**inputs, output_hidden_states=True)
    layers = torch.stack(outputs.hidden_states, dim=2)
    del inputs["character_ids"]
    torch.testing.assert_close(model(**inputs, layers=layers).logits, outputs.logits, **CLOSE)
    with pytest.raises(ValueError, match="pass input_ids"):
        model(attention_mask=inputs["attention_mask"], layers=layers)
    with pytest.raises(ValueError, match=r"layers has shape .* must be \(batch, sequence, num_layers \+ 1"):
        model(**inputs, layers=layers[:, 1:])
    with pytest.raises(ValueError, match="2 layers given; this model combines 3"):
        model(**inputs, layers=layers[:, :, 1:])


def test_text_without_words_gives_finite_logits(make_model, tokenizer):
    model = make_model(ElmoForSequenceClassification)
    logits = model(**tokenizer(["", "Hello there."], padding=True, return_tensors="pt")).logits
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("options", "labels", "loss"),
    [
        ({"num_labels": 3}, torch.tensor([2, 0]), torch.nn.functional.cross_entropy),
        ({"num_labels": 1}, torch.tensor([0.5, 4.0]), lambda x, y: torch.nn.functional.mse_loss(x[:, 0], y)),
        (
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            torch.tensor([[1.0, 0, 1], [0, 0, 1]]),
            torch.nn.functional.binary_cross_entropy_with_logits,
        ),
        ({"num_labels": 2, "problem_type": "regression"}, torch.rand(2, 2), torch.nn.functional.mse_loss),
    ],
)
def test_losses(make_model, tokenizer, options, labels, loss):
    model = make_model(ElmoForSequenceClassification, **options)
    outputs = model(**encode(tokenizer, *PAIR), labels=labels)
    torch.testing.assert_close(outputs.loss, loss(outputs.logits, labels))


@pytest.mark.parametrize("freeze", [True, False])
def test_what_trains(make_model, tokenizer, freeze, tmp_path):
    make_model(ElmoModel).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, freeze_bilm=freeze).train()
    bilm = {name: value.clone() for name, value in model.elmo.state_dict().items() if "combinations" not in name}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(**encode(tokenizer, *PAIR), labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    assert model.elmo.combinations[0].weight.grad.abs().max() > 0
    changed = [not torch.equal(model.elmo.state_dict()[name], value) for name, value in bilm.items()]
    assert not any(changed) if freeze else sum(changed) > len(changed) / 2


def test_a_head_in_bfloat16_counts_its_inputs_in_float32(make_model, tokenizer, tmp_path):
    make_model(ElmoModel).to(torch.bfloat16).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).train()
    assert model.dtype == torch.bfloat16
    inputs, other = encode(tokenizer, *PAIR), encode(tokenizer, PAIR[0])
    for batch in [inputs] * 500 + [other]:
        logits = model(**batch).logits
    assert logits.dtype == torch.bfloat16
    (standardize,) = model.standardizations
    before = standardize.running_mean.clone()
    model(**other)  # in bfloat16 the average of 501 batches would not move
    assert standardize.running_mean.dtype == torch.float32 and not torch.equal(standardize.running_mean, before)


def test_save_and_load(make_model, tokenizer, tmp_path):
    model = make_model(ElmoForSequenceClassification, num_labels=3)
    model.standardizations[0].running_mean.normal_()
    model.save_pretrained(tmp_path)
    inputs = encode(tokenizer, PAIR)
    for options in ({}, {"trust_remote_code": True}):
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
    base = ElmoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(base(**inputs).last_hidden_state, model.elmo(**inputs).last_hidden_state)


def test_bfloat16(make_model, tokenizer):
    model = make_model(ElmoForSequenceClassification)
    expected = model(**encode(tokenizer, PAIR)).logits
    logits = model.to(torch.bfloat16)(**encode(tokenizer, PAIR)).logits
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, atol=0.5, rtol=0.2)


# Learning

GOOD = ["lovely", "wonderful", "funny", "warm", "brilliant", "delightful", "charming", "moving"]
BAD = ["dull", "awful", "tedious", "cold", "terrible", "boring", "stupid", "empty"]
PATTERNS = [
    "A {} and {} {}.",
    "The {2} is {0}, and so {1}!",
    "What a {}, {} {}!",
    'I found the {2} "{0} and {1}".',
]


def reviews(number, seed):
    draw = random.Random(seed)
    for _ in range(number):
        label = draw.randrange(2)
        words = draw.sample(GOOD if label else BAD, 2)
        subject = draw.choice(["story", "film", "cast", "comedy", "score"])
        yield draw.choice(PATTERNS).format(*words, subject), label


@pytest.fixture
def small_model_options():
    """Random, but wide enough that words differ."""
    return {
        "filters": [[1, 16], [2, 16], [3, 32], [4, 64]],
        "character_embedding_size": 16,
        "cell_size": 32,
        "projection_size": 32,
        "cell_clip": None,
        "projection_clip": None,
        "representation": "scalar_mix",
        "head_hidden_size": 32,
        "head_dropout": 0.2,
    }


def test_learns_with_trainer_and_serves_in_a_pipeline(make_config, tokenizer, small_model_options, tmp_path):
    set_seed(0)
    labels = {0: "negative", 1: "positive"}
    config = make_config(id2label=labels, label2id={"negative": 0, "positive": 1}, **small_model_options)
    model = ElmoForSequenceClassification(config)
    data = {
        name: [{**tokenizer(text), "labels": label} for text, label in reviews(number, seed)]
        for name, number, seed in (("train", 240, 1), ("dev", 60, 2))
    }
    arguments = TrainingArguments(
        str(tmp_path),
        num_train_epochs=4,
        learning_rate=3e-3,
        per_device_train_batch_size=16,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=data["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    trainer.train()
    prediction = trainer.predict(data["dev"])
    assert prediction.predictions.shape == (60, 2)
    assert (prediction.predictions.argmax(-1) == prediction.label_ids).mean() > 0.9
    trainer.save_model()
    classify = pipeline("text-classification", str(tmp_path))
    answers = classify(["A charming and funny cast.", "What a boring, stupid comedy!"])
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    assert [pair["label"] for pair in classify([{"text": "So warm.", "text_pair": "So cold."}])]


def test_a_batch_without_texts():
    model = make_head(ElmoForSequenceClassification, num_labels=2).eval()
    characters = torch.zeros(0, 3, model.config.max_characters_per_token, dtype=torch.int16)
    assert model(character_ids=characters).logits.shape == (0, 2)
