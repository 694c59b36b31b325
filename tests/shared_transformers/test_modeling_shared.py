"""transformers' shared tests of configurations, models and training, against ours."""

import unittest

import pytest
import torch

from modeling_elmo import ElmoConfig, ElmoForPreTraining, ElmoModel

REASON = "needs transformers' shared tests: set TRANSFORMERS_SOURCE to its unpacked source distribution"
modeling = pytest.importorskip("transformers_tests.test_modeling_common", reason=REASON)
configuration = pytest.importorskip("transformers_tests.test_configuration_common", reason=REASON)
training = pytest.importorskip("transformers_tests.test_training_mixin", reason=REASON)

CHARACTERS = 8


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

    def get_config(self) -> ElmoConfig:
        return ElmoConfig(
            vocab_size=self.vocab_size,
            max_characters_per_token=CHARACTERS,
            character_embedding_size=4,
            filters=[[1, 4], [2, 6]],
            num_highway_layers=1,
            num_hidden_layers=self.num_hidden_layers,
            cell_size=self.cell_size,
            projection_size=self.projection_size,
            representation_size=self.hidden_size,
            num_negative_samples=8,
        )

    def prepare_config_and_inputs_for_common(self):
        input_ids = torch.randint(3, self.vocab_size, (self.batch_size, self.seq_length))
        attention_mask = torch.ones_like(input_ids)
        attention_mask[1, 5:] = 0
        return self.get_config(), {
            "character_ids": character_rows(input_ids),
            "input_ids": input_ids,
            "attention_mask": attention_mask,
        }


class ElmoModelTest(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (ElmoModel, ElmoForPreTraining)
    has_attentions = False
    test_resize_embeddings = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = ElmoModelTester(self)

    def test_config(self):
        configuration.ConfigTester(
            self, config_class=ElmoConfig, common_properties=["hidden_size", "num_hidden_layers"]
        ).run_common_tests()
