"""The baseline, embeddings beside ELMo, the optimizer, processes that share a cache."""

from contextlib import contextmanager

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from modeling_elmo import ElmoForTokenClassification, ElmoModel, ElmoTokenizer
from modeling_elmo.task_model import CONTEXT_FREE_SCALE
from modeling_elmo.tasks.arguments import DataArguments, FinetuningArguments, ModelArguments
from modeling_elmo.tasks.examples import PaddingCollator, encode_tagged
from modeling_elmo.tasks.finetuning import TaskTrainer, finetune, hub_name, load_model, make_optimizer
from modeling_elmo.tasks.layer_cache import CachedLayersDataset, LayerCache
from modeling_elmo.tasks.question_answering import texts_of
from modeling_elmo.tasks.sequence_classification import LabelledText
from modeling_elmo.tasks.squad import Question

WORDS = [["the", "river", "bank", "."], ["the", "bank", "is", "closed"], ["the", "river", "is", "open"]]


def test_baseline_trains_words_and_characters_without_context():
    tokenizer, model = load_model(
        ModelArguments(without_elmo=True, head_hidden_size=8), AutoModelForTokenClassification, WORDS, num_labels=3
    )
    assert isinstance(model, ElmoForTokenClassification)
    # Words that occur once are unknown.
    assert tokenizer.vocab_size == 3 + 4 and model.config.head_hidden_size == 8
    model.eval()
    examples = encode_tagged(tokenizer, WORDS, [[0, 1, 2, 0]] * 3)
    batch = PaddingCollator(tokenizer)(examples)
    vectors = model.elmo(**{name: values for name, values in batch.items() if name != "labels"}).last_hidden_state
    # "river" in other company has the same vector, another word has another.
    torch.testing.assert_close(vectors[0, 2], vectors[2, 2])
    assert not torch.allclose(vectors[0, 2], vectors[0, 3])
    model.train()(**batch).loss.backward()
    encoder = model.elmo.token_encoder
    assert encoder.word_embeddings.weight.grad[3:].abs().sum(-1).min() > 0
    assert encoder.character_cnn.convolutions[0].weight.grad.abs().max() > 0


def test_words_beside_elmo_are_split_as_the_bilm_reads_them(make_model, tmp_path):
    ElmoTokenizer(vocab=["bank"], word_splitting="whitespace").save_pretrained(tmp_path)
    make_model(ElmoModel).save_pretrained(tmp_path)
    arguments = ModelArguments(model_name_or_path=str(tmp_path), context_free_size=6)
    item, question = LabelledText("It isn't open.", "It isn't.", "no"), Question("1", "Why?", "It isn't.", [], [])
    for texts in (item.texts, texts_of([question, question])):
        tokenizer, _ = load_model(arguments, AutoModelForSequenceClassification, texts * 2)
        assert tokenizer.word_splitting == "whitespace" and {"isn't", "isn't."} & tokenizer.get_vocab().keys()


def test_embeddings_that_train_beside_elmo(make_model, tmp_path):
    ElmoTokenizer(vocab=["bank"]).save_pretrained(tmp_path)
    pretrained = make_model(ElmoModel, bos_token_id=1, eos_token_id=2, unk_token_id=0, pad_token_id=3)
    pretrained.save_pretrained(tmp_path)
    arguments = ModelArguments(model_name_or_path=str(tmp_path), context_free_size=6, head_hidden_size=8)
    tokenizer, model = load_model(arguments, AutoModelForTokenClassification, WORDS, num_labels=3)
    # The words are the task's with its boundary marks, the biLM is the pretrained one.
    assert tokenizer.vocab_size == model.config.vocab_size == 3 + 4
    config = model.config
    assert (config.bos_token_id, config.eos_token_id, config.unk_token_id, config.pad_token_id) == (0, 1, 2, None)
    torch.testing.assert_close(model.elmo.lstm.layers[0].bias, pretrained.lstm.layers[0].bias)
    batch = PaddingCollator(tokenizer)(encode_tagged(tokenizer, WORDS, [[0, 1, 2, 0]] * 3))
    model.train()(**batch).loss.backward()
    encoder = model.context_free
    assert encoder.word_embeddings.weight.grad[3:].abs().sum(-1).min() > 0
    assert encoder.character_cnn.convolutions[0].weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.elmo.lstm.parameters())
    # ELMo's features are standardised; those beside them are weaker and stay as they are.
    (vectors,), words, _ = model.represent(batch["character_ids"], batch["attention_mask"], batch["input_ids"])
    expected = CONTEXT_FREE_SCALE * encoder(batch["character_ids"][words], batch["input_ids"][words])
    torch.testing.assert_close(vectors[words][:, -6:], expected)
    torch.testing.assert_close(
        vectors[words][:, :-6].mean(0), torch.zeros(model.config.hidden_size), atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match="pass both"):
        model(character_ids=batch["character_ids"], attention_mask=batch["attention_mask"])


@pytest.mark.parametrize("base", [{"without_elmo": True}, {"model_name_or_path": "elmo"}])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"head_hidden_size": 0}, "head_hidden_size is 0; it must be at least 1"),
        ({"head_dropout": 1.5}, r"head_dropout is 1.5; it must be in \[0, 1\)"),
        ({"representation": "sum"}, "representation is 'sum'; it must be one of"),
        ({"context_free_size": 7}, "context_free_size is 7; it must be even"),
    ],
)
def test_options_that_no_model_has_are_named(base, option, message):
    arguments = ModelArguments(**base)
    for name, value in option.items():
        setattr(arguments, name, value)
    with pytest.raises(ValueError, match=message):
        load_model(arguments, AutoModelForTokenClassification, WORDS, num_labels=3)


def test_a_checkpoint_with_another_head_is_refused(make_model, tmp_path):
    ElmoTokenizer(vocab=["bank"]).save_pretrained(tmp_path)
    make_model(ElmoForTokenClassification, num_labels=5).save_pretrained(tmp_path)
    arguments = ModelArguments(model_name_or_path=str(tmp_path))
    with pytest.raises(ValueError, match=f"{tmp_path} has a head already, with other sizes or labels"):
        load_model(arguments, AutoModelForTokenClassification, WORDS, num_labels=3)


def test_what_is_no_young_head_has_its_own_learning_rate(make_model, tmp_path):
    training = FinetuningArguments(output_dir=str(tmp_path), learning_rate=0.01, use_cpu=True)

    def groups(model, **options):
        arguments = ModelArguments(model_name_or_path="x", elmo_learning_rate=0.002, **options)
        groups = make_optimizer(model, arguments, training).param_groups
        parameters = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
        assert set(parameters) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        return parameters

    frozen = make_model(ElmoForTokenClassification, representation="projection")
    frozen.set_trainable()
    rates = groups(frozen)
    assert [key for key, rate in rates.items() if rate == 0.002] == [id(frozen.elmo.combinations[0].weight)]
    mixed = make_model(ElmoForTokenClassification, representation="scalar_mix")
    mixed.set_trainable()
    assert set(groups(mixed).values()) == {0.01}
    unfrozen = make_model(ElmoForTokenClassification, representation="scalar_mix", freeze_bilm=False)
    rates = groups(unfrozen, unfreeze=True)
    assert rates[id(unfrozen.elmo.lstm.layers[0].bias)] == 0.002 and rates[id(unfrozen.classifier.weight)] == 0.01
    assert rates[id(unfrozen.elmo.combinations[0].gamma)] == 0.01


def test_label_smoothing_would_train_no_crf(make_model, tmp_path):
    data, arguments = DataArguments(train_file="t", validation_file="v"), ModelArguments(without_elmo=True)
    training = FinetuningArguments(str(tmp_path), label_smoothing_factor=0.1)
    model = make_model(ElmoForTokenClassification)
    with pytest.raises(ValueError, match="--label_smoothing_factor is for texts of one class each"):
        finetune(model, ElmoTokenizer(), {"train": []}, lambda name: None, data, arguments, training, "")


def test_predictions_keep_their_order_when_training_groups_by_length(make_model, tmp_path):
    tokenizer = ElmoTokenizer()
    examples = encode_tagged(
        tokenizer, [["a"] * length for length in (2, 5, 1, 4, 3)], [[0] * 2, [1] * 5, [0], [1] * 4, [0] * 3]
    )
    trainer = TaskTrainer(
        make_model(ElmoForTokenClassification, num_labels=2),
        FinetuningArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, train_sampling_strategy="group_by_length"),
        data_collator=PaddingCollator(tokenizer),
        eval_dataset=examples,
        processing_class=tokenizer,
        card={},
    )
    labels = trainer.predict(examples).label_ids
    assert [(row != -100).sum() for row in labels] == [2, 5, 1, 4, 3]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(("counted", "expected"), [("all", 2 * 5), ("non_padding", 5 + 3)])
def test_words_are_counted_and_not_their_characters(make_model, tmp_path, counted, expected, cached):
    tokenizer, model = ElmoTokenizer(), make_model(ElmoForTokenClassification, num_labels=2)
    examples = encode_tagged(tokenizer, [["a"] * 3, ["a"]], [[0] * 3, [1]])
    if cached:
        cache = LayerCache.build(tmp_path / "layers", model.elmo, examples)
        examples = CachedLayersDataset(examples, cache)
    trainer = TaskTrainer(
        model,
        FinetuningArguments(
            str(tmp_path),
            use_cpu=True,
            max_steps=1,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            include_num_input_tokens_seen=counted,
        ),
        data_collator=PaddingCollator(tokenizer),
        train_dataset=examples,
        processing_class=tokenizer,
        card={},
    )
    trainer.train()
    assert trainer.state.num_input_tokens_seen == expected


def test_other_processes_wait_for_the_layer_cache(make_model, tmp_path, monkeypatch):
    class Filled(Exception):
        pass

    waiting = []

    @contextmanager
    def main_process_first(self, local=True, desc=""):
        waiting.append("all nodes" if not local else "this node")
        yield
        waiting.clear()

    def build(*arguments):
        assert waiting == ["all nodes"]
        raise Filled

    monkeypatch.setattr(FinetuningArguments, "main_process_first", main_process_first)
    monkeypatch.setattr(LayerCache, "build", build)
    data = DataArguments(train_file="a", validation_file="b", cache_layers=str(tmp_path))
    model = make_model(model_class=ElmoForTokenClassification, num_labels=2)
    examples = {"train": [], "validation": []}
    with pytest.raises(Filled):
        finetune(
            model, ElmoTokenizer(), examples, lambda name: None, data, None, FinetuningArguments(str(tmp_path)), ""
        )


def test_a_checkpoint_in_half_precision_is_trained_in_full(make_model, tmp_path):
    ElmoTokenizer(vocab=["bank"]).save_pretrained(tmp_path)
    make_model(ElmoModel).half().save_pretrained(tmp_path)
    arguments = ModelArguments(model_name_or_path=str(tmp_path))
    model = load_model(arguments, AutoModelForTokenClassification, WORDS, num_labels=3)[1]
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_only_what_is_no_folder_is_a_name_on_the_hub(tmp_path):
    assert hub_name("someone/elmo") == "someone/elmo"
    assert hub_name(str(tmp_path)) is hub_name(None) is None
