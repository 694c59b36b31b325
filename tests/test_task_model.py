"""What all task heads share, whatever their task."""

import pytest
import torch
from tiny_heads import HEADS, make_head

from modeling_elmo import (
    ElmoForCoreferenceResolution,
    ElmoForPreTraining,
    ElmoForQuestionAnswering,
    ElmoForSemanticRoleLabeling,
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoTokenizer,
)
from modeling_elmo.tasks.coreference import resolve_text
from modeling_elmo.tasks.question_answering import answer
from modeling_elmo.tasks.semantic_role_labeling import label_roles

TOKENIZER = ElmoTokenizer()


def make_batch(model_class) -> dict[str, torch.Tensor]:
    texts = [["Ann", "met", "Bo", "."], ["She", "left"]]
    questions = [["who", "?"], ["where"]]
    rows = (questions, texts) if model_class is ElmoForQuestionAnswering else (texts,)
    batch = dict(TOKENIZER(*rows, is_split_into_words=True, padding=True, return_tensors="pt"))
    if model_class is ElmoForSemanticRoleLabeling:
        batch["predicate_mask"] = torch.zeros_like(batch["input_ids"])
        batch["predicate_mask"][:, 2] = 1
    if model_class is ElmoForPreTraining:
        batch["labels"] = torch.full_like(batch["input_ids"], 3)
    return batch


@torch.no_grad()
@pytest.mark.parametrize("model_class", [*HEADS, ElmoForPreTraining], ids=lambda head: head.__name__)
def test_configurations_that_ask_for_tuples(model_class):
    model, batch = make_head(model_class), make_batch(model_class)
    expected = model(**batch).to_tuple()
    model.config.return_dict = False
    torch.testing.assert_close(model(**batch), expected)


def test_from_text_to_answers_in_training_mode_and_where_the_configuration_asks_for_tuples():
    text = "Ann met Bo. She left."
    calls = {
        ElmoForCoreferenceResolution: lambda model: resolve_text(model, TOKENIZER, text),
        ElmoForQuestionAnswering: lambda model: answer(model, TOKENIZER, "Who left?", text),
        ElmoForSemanticRoleLabeling: lambda model: label_roles(model, TOKENIZER, text, ["met", "left"]),
    }
    for model_class, call in calls.items():
        model = make_head(model_class, **({"max_span_width": 3, "head_dropout": 0.5} | labels_of(model_class)))
        expected = call(model)
        model.config.return_dict = False
        assert call(model.train()) == expected and model.training
    document = [["Ann", "met", "Bo", "."], ["She", "left"]]
    model = make_head(ElmoForCoreferenceResolution, head_dropout=0.5)
    expected = model.resolve(document, TOKENIZER)
    model.config.return_dict = False
    assert model.train().resolve(document, TOKENIZER) == expected


def test_parts_that_are_frozen_in_training_stay_so():
    model = make_head(ElmoForCoreferenceResolution).train()
    model.standardizations.eval()
    modes = [module.training for module in model.modules()]
    model.resolve([["Ann", "left"], ["She", "sings"]], TOKENIZER)
    assert [module.training for module in model.modules()] == modes and not all(modes)


@pytest.mark.parametrize("num_representations", [1, 2])
@pytest.mark.parametrize("model_class", [ElmoForSequenceClassification, ElmoForQuestionAnswering])
def test_texts_without_any_position(model_class, num_representations):
    batch = TOKENIZER(["", ""], add_special_tokens=False, padding=True, return_tensors="pt")
    batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    outputs = make_head(model_class, num_representations=num_representations)(**batch)
    assert outputs[0].shape[0] == 2 and outputs[0].isfinite().all()


def test_boundaries_among_characters_that_are_no_bytes_need_word_ids(make_model):
    model = make_model(ElmoForTokenClassification, character_vocab_size=300)
    batch = make_batch(ElmoForTokenClassification)
    model(**batch)
    with pytest.raises(ValueError, match="pass input_ids"):
        model(character_ids=batch["character_ids"])


def labels_of(model_class) -> dict:
    labels = ["O", "B-V", "I-V", "B-A1", "I-A1"] if model_class is ElmoForSemanticRoleLabeling else ["O", "X"]
    return {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
