"""Labels for words, and what users expect of Trainer and pipelines."""

import copy
import itertools
import random

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from seqeval.metrics import f1_score
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    initialization,
    pipeline,
    set_seed,
)

from modeling_elmo import ElmoForTokenClassification, ElmoModel, ElmoTokenizer

CLOSE = {"atol": 2e-4, "rtol": 1e-3}
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: index for index, label in enumerate(LABELS)}}


@pytest.fixture
def tokenizer():
    return ElmoTokenizer()


def encode(tokenizer, *sentences, side="right"):
    tokenizer.padding_side = side
    return tokenizer(list(sentences), is_split_into_words=True, padding=True, return_tensors="pt")


@pytest.mark.parametrize(
    "options",
    [{}, {"num_representations": 2, "head_num_layers": 2}, {"num_representations": 2, "context_free_size": 6}],
)
def test_neither_batch_nor_padding_matters(make_model, tokenizer, sentences, options):
    model = make_model(ElmoForTokenClassification, head_hidden_size=5, **NAMES, **options)
    for side in ("right", "left"):
        inputs = encode(tokenizer, *sentences, side=side)
        logits = model(**inputs).logits
        assert logits.shape == (*inputs["input_ids"].shape, 5)
        assert (logits[inputs["attention_mask"] == 0] == 0).all()
        for row, sentence in enumerate(sentences):
            alone = model(**encode(tokenizer, sentence)).logits[0]
            assert alone[1:-1].std() > 0.1
            torch.testing.assert_close(logits[row][inputs["attention_mask"][row] == 1], alone, **CLOSE)


def test_logits_obey_the_label_scheme(make_model, tokenizer, sentences):
    for seed in range(5):
        model = make_model(ElmoForTokenClassification, seed=seed, head_hidden_size=5, **NAMES)
        inputs = encode(tokenizer, *sentences)
        best = model(**inputs).logits.argmax(-1)
        for row, sentence in enumerate(sentences):
            path = ["O", *(LABELS[label] for label in best[row, 1 : len(sentence) + 1])]
            for before, after in itertools.pairwise(path):
                assert after[0] != "I" or (before[0] in "BI" and before[2:] == after[2:])


def test_loss_counts_labelled_words_only(make_model, tokenizer, sentences):
    model = make_model(ElmoForTokenClassification, head_hidden_size=5, **NAMES)
    inputs = encode(tokenizer, *sentences)
    words = inputs["input_ids"] == tokenizer.unk_token_id
    labels = torch.where(words, 0, -100)
    both = model(**inputs, labels=labels)
    separate = [
        model(**encode(tokenizer, sentence), labels=torch.tensor([[-100, *[0] * len(sentence), -100]])).loss
        * len(sentence)
        for sentence in sentences
    ]
    torch.testing.assert_close(both.loss, sum(separate) / sum(map(len, sentences)), **CLOSE)
    # What stands at boundary marks and padding is not looked at.
    torch.testing.assert_close(model(**inputs, labels=labels.masked_fill(~words, 3)).loss, both.loss, **CLOSE)
    torch.testing.assert_close(model(**inputs, labels=labels, num_items_in_batch=1).loss, sum(separate), **CLOSE)
    assert model(**inputs, labels=torch.full_like(labels, -100)).loss.abs() < 1e-3
    with pytest.raises(ValueError, match="'I-LOC' stands after 'O'"):
        model(**encode(tokenizer, ["in", "Rome"]), labels=torch.tensor([[-100, 0, 4, -100]]))


def test_scheme_option_overrides_the_names(make_model):
    assert make_model(ElmoForTokenClassification, **NAMES).crf.scheme == "BIO"
    assert make_model(ElmoForTokenClassification, label_scheme="none", **NAMES).crf.may_follow.all()
    assert make_model(ElmoForTokenClassification, num_labels=3).crf.scheme == "none"
    with pytest.raises(StrictDataclassClassValidationError, match="label_scheme is 'IOB1'"):
        make_model(ElmoForTokenClassification, label_scheme="IOB1")


def test_layers_in_place_of_characters(make_model, tokenizer, sentences):
    model = make_model(ElmoForTokenClassification, **NAMES)
    inputs = encode(tokenizer, *sentences)
    outputs = model(**inputs, output_hidden_states=True)
    del inputs["character_ids"]
    logits = model(**inputs, layers=torch.stack(outputs.hidden_states, dim=2)).logits
    torch.testing.assert_close(logits, outputs.logits, **CLOSE)


def test_constraints_survive_saving_and_loading(make_model, tokenizer, sentences, tmp_path):
    model = make_model(ElmoForTokenClassification, head_hidden_size=5, **NAMES)
    model.save_pretrained(tmp_path / "head")
    make_model(ElmoModel).save_pretrained(tmp_path / "base")
    inputs = encode(tokenizer, *sentences)
    for options in ({}, {"trust_remote_code": True}):
        loaded = AutoModelForTokenClassification.from_pretrained(tmp_path / "head", **options)
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
        fresh = AutoModelForTokenClassification.from_pretrained(tmp_path / "base", **NAMES, **options)
        assert torch.equal(fresh.crf.may_follow, model.crf.may_follow)
        assert torch.equal(fresh.crf.may_start, model.crf.may_start)
        assert (fresh.crf.transitions == 0).all()
    with initialization.no_init_weights():
        bare = ElmoForTokenClassification(model.config)
    bare.load_state_dict(model.state_dict())
    torch.testing.assert_close(bare.eval()(**inputs).logits, model(**inputs).logits)


# Learning

PEOPLE = ["Anna", "Peter Smith", "Maria da Silva", "John", "Ingrid Berg", "Omar Haddad"]
PLACES = ["Paris", "New York", "Rome", "South Africa", "Buenos Aires", "Oslo"]
PATTERNS = [
    "{0} lives in {2} .",
    "{2} is nice in May .",
    'Yesterday I met " {0} " , who likes {2} .',
    "{0} , {1} and I left .",
]


def sentences_with_names(number, seed):
    draw = random.Random(seed)
    for _ in range(number):
        fillers = [*draw.sample(PEOPLE, 2), draw.choice(PLACES)]
        words, labels = [], []
        for part in draw.choice(PATTERNS).split():
            if part.startswith("{"):
                place = int(part[1])
                name, kind = fillers[place].split(), "LOC" if place == 2 else "PER"
                words += name
                labels += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
            else:
                words.append(part)
                labels.append("O")
        yield words, labels


@pytest.fixture
def model_and_data(make_config, tokenizer):
    set_seed(0)
    config = make_config(
        filters=[[1, 16], [2, 16], [3, 32], [4, 64]],
        character_embedding_size=16,
        cell_size=32,
        projection_size=32,
        cell_clip=None,
        projection_clip=None,
        representation="scalar_mix",
        head_hidden_size=32,
        head_dropout=0.2,
        **NAMES,
    )
    data = {}
    for name, number, seed in (("train", 160, 1), ("dev", 40, 2)):
        data[name] = []
        for words, labels in sentences_with_names(number, seed):
            encoding = tokenizer(words, is_split_into_words=True)
            aligned = [-100 if word is None else LABELS.index(labels[word]) for word in encoding.word_ids()]
            data[name].append({**encoding, "labels": aligned})
    return ElmoForTokenClassification(config), data


def make_trainer(folder, model, tokenizer, data, **options):
    def compute_metrics(prediction):
        gold, predicted = [], []
        for ids, scores in zip(prediction.label_ids, prediction.predictions, strict=True):
            gold.append([LABELS[label] for label in ids[ids != -100]])
            predicted.append([LABELS[label] for label in scores.argmax(-1)[ids != -100]])
        return {"f1": f1_score(gold, predicted)}

    defaults = {
        "num_train_epochs": 4,
        "learning_rate": 5e-3,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 7,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return Trainer(
        model,
        TrainingArguments(str(folder), **{**defaults, **options}),
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )


def test_learns_and_serves_in_a_pipeline(model_and_data, tokenizer, tmp_path):
    model, data = model_and_data
    trainer = make_trainer(
        tmp_path,
        model,
        tokenizer,
        data,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        train_sampling_strategy="group_by_length",
    )
    trainer.train()
    assert trainer.evaluate()["eval_f1"] == trainer.state.best_metric > 0.95
    trainer.save_model(tmp_path / "best")
    text = 'Yesterday I met "Peter Smith", who likes New York.'
    found = {}
    for strategy in ("simple", "first", "average", "max"):
        tag = pipeline("token-classification", str(tmp_path / "best"), aggregation_strategy=strategy)
        found[strategy] = [(entity["entity_group"], text[entity["start"] : entity["end"]]) for entity in tag(text)]
    assert found["simple"] == [("PER", "Peter Smith"), ("LOC", "New York")]
    assert all(entities == found["simple"] for entities in found.values())


def test_gradient_accumulation_gives_the_same_steps(model_and_data, tokenizer, tmp_path):
    model, data = model_and_data
    model.config.head_dropout = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # In training the standardisation depends on the batches before; a constant one makes steps comparable.
    model.standardizations.requires_grad_(False)
    model.standardizations[0].train = lambda mode=True: model.standardizations[0]
    model.standardizations[0].training = False
    losses = []
    for size, steps in ((16, 1), (4, 4)):
        trainer = make_trainer(
            tmp_path,
            copy.deepcopy(model),
            tokenizer,
            data,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=5,
            logging_steps=1,
        )
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_resumes_where_it_stopped(model_and_data, tokenizer, tmp_path):
    model, data = model_and_data
    options = {"num_train_epochs": 2, "save_strategy": "epoch", "logging_steps": 1}
    whole = make_trainer(tmp_path / "whole", copy.deepcopy(model), tokenizer, data, **options)
    whole.train()
    resumed = make_trainer(tmp_path / "whole", copy.deepcopy(model), tokenizer, data, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-20"))
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_bf16_flag(model_and_data, tokenizer, tmp_path):
    model, data = model_and_data
    trainer = make_trainer(tmp_path, model, tokenizer, data, bf16=True, num_train_epochs=3)
    trainer.train()
    assert trainer.evaluate()["eval_f1"] > 0.5
