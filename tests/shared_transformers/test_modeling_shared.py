"""transformers' shared tests of configurations, models and training, against ours."""

import unittest

import pytest
import torch

from modeling_elmo import (
    ElmoConfig,
    ElmoForPreTraining,
    ElmoForQuestionAnswering,
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoModel,
)

REASON = "needs transformers' shared tests: set TRANSFORMERS_SOURCE to its unpacked source distribution"
modeling = pytest.importorskip("transformers_tests.test_modeling_common", reason=REASON)
configuration = pytest.importorskip("transformers_tests.test_configuration_common", reason=REASON)
training = pytest.importorskip("transformers_tests.test_training_mixin", reason=REASON)

CHARACTERS = 8
# The shared tests know by name which models have no loss and which labels the others take.
for names, model_class in (
    ("MODEL_MAPPING_NAMES", ElmoModel),
    ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES", ElmoForSequenceClassification),
    ("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES", ElmoForTokenClassification),
    ("MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES", ElmoForQuestionAnswering),
):
    setattr(modeling, names, {**getattr(modeling, names), "elmo": model_class.__name__})


def character_rows(input_ids: torch.Tensor) -> torch.Tensor:
    """A different row for every word id: `(...)` -> `(..., CHARACTERS)`."""
    return torch.stack([1 + (input_ids + 3 * place) % 200 for place in range(CHARACTERS)], dim=-1)


class ElmoModelTester:
    """A tiny model and a batch for it, as the shared tests want them."""

    batch_size, seq_length, is_training = 3, 7, True
    vocab_size, num_hidden_layers, cell_size, projection_size, hidden_size = 30, 2, 12, 8, 16
    causal_lm_class = ElmoForPreTraining

    def __init__(self, parent):
        self.parent = parent

    def get_config(self, **options) -> ElmoConfig:
        sizes = {
            "vocab_size": self.vocab_size,
            "max_characters_per_token": CHARACTERS,
            "character_embedding_size": 4,
            "filters": [[1, 4], [2, 6]],
            "num_highway_layers": 1,
            "num_hidden_layers": self.num_hidden_layers,
            "cell_size": self.cell_size,
            "projection_size": self.projection_size,
            "representation_size": self.hidden_size,
            "num_negative_samples": 8,
            "head_hidden_size": 6,
        }
        return ElmoConfig(**{**sizes, **options})

    def prepare_config_and_inputs_for_common(self):
        input_ids = torch.randint(3, self.vocab_size, (self.batch_size, self.seq_length))
        attention_mask = torch.ones_like(input_ids)
        attention_mask[1, 5:] = 0
        return self.get_config(), {
            "character_ids": character_rows(input_ids),
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            # What stands before and after: the two texts of a pair.
            "token_type_ids": (torch.arange(self.seq_length) > 2).long().expand_as(input_ids).clone(),
        }


class ElmoModelTest(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (ElmoModel, ElmoForPreTraining)
    has_attentions = False
    test_resize_embeddings = False  # words are read by their characters
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = ElmoModelTester(self)

    def test_config(self):
        configuration.ConfigTester(
            self, config_class=ElmoConfig, common_properties=["hidden_size", "num_hidden_layers"]
        ).run_common_tests()


class ElmoHeadTester(ElmoModelTester):
    """The biLM trains too: the shared tests want gradients, and checkpoints, everywhere."""

    def get_config(self) -> ElmoConfig:
        return super().get_config(freeze_bilm=False)


class ElmoHeadsTest(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (ElmoForQuestionAnswering, ElmoForSequenceClassification, ElmoForTokenClassification)
    has_attentions = False
    test_resize_embeddings = False  # words are read by their characters
    test_mismatched_shapes = False  # the test changes vocab_size, on which no shape of these models depends
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = ElmoHeadTester(self)

    @unittest.skip("the constraints of label sequences are written by _init_weights alone, not by __init__ before it")
    def test_init_weights_can_init_buffers(self):
        pass

    @unittest.skip("the texts of a pair are read alone: the layers that come out are put together from theirs")
    def test_retain_grad_hidden_states_attentions(self):
        pass


class ElmoOverfittingTester(ElmoModelTester):
    """Large enough to learn one batch by heart."""

    def get_config(self) -> ElmoConfig:
        return super().get_config(
            filters=[[1, 32], [2, 32]], cell_size=64, projection_size=32, dropout=0.0, num_negative_samples=0
        )


class ElmoTrainingTest(training.TrainingTesterMixin, unittest.TestCase):
    model_tester = ElmoOverfittingTester(None)
    training_overfit_seq_length = 32

    def _create_text_training_batch(self, batch_size: int, seq_length: int, vocab_size: int):
        batch = super()._create_text_training_batch(batch_size, seq_length, vocab_size)
        return {**batch, "character_ids": character_rows(batch["input_ids"])}
