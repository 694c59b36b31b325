"""The library's pipelines over a model that sees nothing but character_ids."""

import pytest
import torch
from transformers import PreTrainedConfig, PreTrainedModel, pipeline
from transformers.modeling_outputs import BaseModelOutput, TokenClassifierOutput

from tokenization_elmo import ElmoTokenizer


class FirstLetterConfig(PreTrainedConfig):
    model_type = "first_letter"


class FirstLetter(PreTrainedModel):
    """Calls every word with a capital letter (A to Z) an entity; the vectors are the rows."""

    config_class = FirstLetterConfig
    main_input_name = "character_ids"

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, character_ids, attention_mask=None, input_ids=None, token_type_ids=None):
        vectors = character_ids.float() * self.scale
        if self.config.num_labels != 3:
            return BaseModelOutput(last_hidden_state=vectors)
        letter = character_ids[..., 1] - 2  # after the mark of the beginning; ids count from 1
        is_entity = ((letter >= 64) & (letter <= 89)).float()
        return TokenClassifierOutput(
            logits=torch.stack([1 - is_entity, 0 * is_entity, 3 * is_entity], -1) * self.scale
        )


LABELS = {0: "O", 1: "B-ENT", 2: "I-ENT"}
TEXT = "we met (Anna Smith), \"Bob\"; and Éva, O'Neill's aunt."
ENTITIES = ["Anna Smith", "Bob", "O"]


@pytest.fixture
def classify(tokenizer):
    model = FirstLetter(FirstLetterConfig(id2label=LABELS, label2id={name: n for n, name in LABELS.items()}))
    return pipeline("token-classification", model=model, tokenizer=tokenizer)


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_token_classification(classify, strategy):
    """Punctuation touches the entities; Anna is a known word, Smith and Bob are not."""
    found = classify(TEXT, aggregation_strategy=strategy)
    assert [TEXT[entity["start"] : entity["end"]] for entity in found] == ENTITIES
    assert [entity["word"] for entity in found] == ENTITIES
    assert all(entity["entity_group"] == "ENT" and entity["score"] > 0.8 for entity in found)


def test_token_classification_of_single_tokens(classify):
    found = classify(TEXT)
    assert [entity["word"] for entity in found] == ["Anna", "Smith", "Bob", "O"]
    assert [TEXT[entity["start"] : entity["end"]] for entity in found] == ["Anna", "Smith", "Bob", "O"]
    assert [entity["index"] for entity in found] == [4, 5, 9, 15]


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_token_classification_in_batches(classify, strategy):
    texts = [TEXT, "Bob", "nobody here", "the cat saw Anna."]
    batched = classify(texts, batch_size=4, aggregation_strategy=strategy)
    assert batched == [classify(text, aggregation_strategy=strategy) for text in texts]
    assert [len(found) for found in batched] == [3, 1, 0, 1]


def test_token_classification_of_split_words(classify):
    words = ["met", "(", "Anna", "Mc Smith", ")", "."]
    (found,) = classify(words, is_split_into_words=True, aggregation_strategy="first")
    assert [entity["word"] for entity in found] == ["Anna Mc Smith"]
    assert (found[0]["start"], found[0]["end"]) == (6, 19)


def test_token_classification_with_stride(classify):
    classify.tokenizer.model_max_length = 8
    found = classify(TEXT, stride=3, aggregation_strategy="simple")
    assert [TEXT[entity["start"] : entity["end"]] for entity in found] == ENTITIES


def test_feature_extraction(tokenizer):
    extract = pipeline("feature-extraction", model=FirstLetter(FirstLetterConfig()), tokenizer=tokenizer)
    texts = ["the cat", "Anna saw a zebra"]
    for text, vectors in zip(texts, extract(texts, batch_size=2), strict=True):
        rows = tokenizer(text, return_tensors="pt")["character_ids"].tolist()
        # shorter texts of a batch are padded with empty rows
        assert vectors[0][: len(rows[0])] == rows[0]
        assert not any(map(any, vectors[0][len(rows[0]) :]))
        assert extract(text) == rows


def test_feature_extraction_without_vocabulary():
    tokenizer = ElmoTokenizer()
    extract = pipeline("feature-extraction", model=FirstLetter(FirstLetterConfig()), tokenizer=tokenizer)
    assert extract("the cat", return_tensors=True).shape == (1, 4, 50)
