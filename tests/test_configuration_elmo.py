import json

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig, configuration_utils

from modeling_elmo import ElmoConfig
from modeling_elmo.configuration_elmo import AUTO_MAP


def test_the_defaults_are_the_original_model():
    config = ElmoConfig()
    assert config.character_feature_size == config.token_feature_size == 2048
    assert config.has_token_projection
    assert (config.output_size, config.layer_size, config.num_directions) == (512, 1024, 2)
    assert (config.num_highway_layers, config.num_hidden_layers, config.cell_size) == (2, 2, 4096)
    assert (config.cell_clip, config.projection_clip, config.use_residual) == (3.0, 3.0, True)
    assert config.hidden_size == config.representation_size == 512
    assert config.num_layers == config.num_hidden_layers


def test_a_width_that_follows_from_others_cannot_be_set():
    with pytest.raises(ValueError, match="ElmoConfig.hidden_size follows from representation_size"):
        ElmoConfig(hidden_size=100)


def test_widths_of_other_models():
    assert ElmoConfig(representation="scalar_mix").hidden_size == 1024
    assert ElmoConfig(representation="scalar_mix", bidirectional=False).hidden_size == 512
    assert ElmoConfig(projection_size=None).output_size == 4096
    assert ElmoConfig(word_embedding_size=100).token_feature_size == 2148
    words_only = ElmoConfig(character_embedding_size=0, word_embedding_size=512)
    assert (words_only.character_feature_size, words_only.has_token_projection) == (0, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"representation": "average"}, "representation"),
        ({"scalar_mix_norm": "layer"}, "scalar_mix_norm"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"character_vocab_size": 0}, "character_vocab_size"),
        ({"max_characters_per_token": 0}, "max_characters_per_token"),
        ({"cell_size": 0}, "cell_size"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_representations": 0}, "num_representations"),
        ({"projection_size": 0}, "projection_size"),
        ({"cell_clip": 0}, "cell_clip"),
        ({"projection_clip": float("nan")}, "projection_clip"),
        ({"projection_clip": -3.0}, "projection_clip"),
        ({"num_negative_samples": -1}, "num_negative_samples"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"input_dropout": 1.0}, "input_dropout"),
        ({"context_free_size": 5}, "context_free_size"),
        ({"character_embedding_size": 0}, "would read nothing"),
        ({"filters": []}, "filters"),
        ({"filters": [[1, 2, 3]]}, "filters"),
        ({"filters": [[51, 2]]}, "max_characters_per_token"),
        ({"filters": [[0, 2]]}, "filters"),
        ({"filters": [[2, 0]]}, "filters"),
        ({"token_projection": False}, "token_projection"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"cell_size": "large"}, "cell_size"),
        ({"filters": "all"}, "filters"),
        ({"bidirectional": "yes"}, "bidirectional"),
        ({"coreference_genres": 2}, "coreference_genres"),
        ({"null_threshold": "low"}, "null_threshold"),
    ],
    ids=str,
)
def test_impossible_values_are_refused_by_name(options, message):
    with pytest.raises(Exception, match=message):  # strict configurations raise classes of their own
        ElmoConfig(**options)


def test_saved_and_loaded_it_is_the_same(make_config, tmp_path):
    config = make_config(word_embedding_size=3, scalar_mix_norm="sentence", cell_clip=None, num_labels=5)
    config.save_pretrained(tmp_path)
    for loaded in (ElmoConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, ElmoConfig)
        assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()
        assert loaded.num_labels == 5


def test_the_auto_map_is_always_all_of_it(make_config, tmp_path):
    config = make_config(auto_map={"AutoModel": "elsewhere.Model"})
    # What transformers does when a class is saved that shares its Auto class with another.
    config.auto_map["AutoModel"] = "modeling_elmo_other.ElmoForOther"
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"] == AUTO_MAP
    assert ElmoConfig.from_pretrained(tmp_path).auto_map == AUTO_MAP


def test_several_sentence_ends_are_refused():
    with pytest.raises(StrictDataclassFieldValidationError, match="eos_token_id"):
        ElmoConfig(eos_token_id=[1, 2])


@pytest.mark.parametrize("pad_token_id, warns", [(100, False), (101, True), (5, False)])
def test_the_padding_token_may_stand_behind_the_words(pad_token_id, warns, monkeypatch):
    warnings = []
    monkeypatch.setattr(configuration_utils.logger, "warning_once", warnings.append)
    ElmoConfig(vocab_size=100, pad_token_id=pad_token_id)
    assert bool(warnings) == warns
