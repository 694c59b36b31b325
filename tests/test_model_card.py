import re

import pytest
from huggingface_hub import ModelCard

from modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoTokenizer
from modeling_elmo.configuration_elmo import AUTO_MAP
from modeling_elmo.model_card import TEMPLATE, fill_model_card, write_model_card

FIELDS = {"name": "someone/elmo", "summary": "A tiny $model.", "origin": "Made by chance."}


def usage_of(card: str) -> str:
    return re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)


def test_metadata_and_text(make_config):
    config = make_config()
    options = {"language": ["en", "de"], "datasets": ["d"], "base_model": "b"}
    text = fill_model_card(config, evaluation="Perplexity 40.", word_splitting="unicode", **options, **FIELDS)
    data = ModelCard(text).data
    assert data.language == ["en", "de"] and data.datasets == ["d"]
    assert data.library_name == "transformers" and data.pipeline_tag == "feature-extraction"
    assert data.base_model == "b" and data.tags == ["elmo"]
    assert "# someone/elmo\n" in text and "A tiny $model." in text and "Made by chance." in text
    assert "Perplexity 40." in text and "`unicode`" in text and "projected to 6" in text
    assert "None" not in text


def test_what_is_not_known_is_not_claimed(make_config):
    data = ModelCard(fill_model_card(make_config(), **FIELDS)).data.to_dict()
    assert data.keys() == {"library_name", "tags", "pipeline_tag"}


@pytest.mark.parametrize("model_class", [ElmoModel, ElmoForPreTraining])
def test_its_example_runs(tmp_path, make_model, model_class):
    model = make_model(model_class)
    model.save_pretrained(tmp_path / "ours")
    tokenizer = ElmoTokenizer(vocab=["<S>", "</S>", "<UNK>", "the", *"abcdefghijklmnop"])
    tokenizer.save_pretrained(tmp_path / "ours")
    path = write_model_card(tmp_path / "ours", model.config, **{**FIELDS, "name": str(tmp_path / "ours")})
    scope = {}
    exec(usage_of(path.read_text(encoding="utf-8")).replace(", trust_remote_code=True", ""), scope)
    if model_class is ElmoModel:
        assert scope["vectors"].shape == (2, 7, model.config.hidden_size)
    else:
        assert scope["outputs"].forward_surprisal.shape == (2, 7)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_single_direction_is_not_said_to_be_two(make_config, bidirectional):
    config = make_config(bidirectional=bidirectional)
    config.architectures = ["ElmoForPreTraining"]
    text = fill_model_card(config, **FIELDS)
    assert ("outputs.backward_surprisal" in text) == bidirectional
    assert ("depends on the whole sentence" in text) == bidirectional
    assert ("depends on the words before it" in text) != bidirectional


@pytest.mark.parametrize("auto_class", sorted(set(AUTO_MAP) - {"AutoConfig"}))
def test_each_class_is_loaded_by_its_own_name(make_config, auto_class):
    config = make_config()
    config.architectures = [AUTO_MAP[auto_class].rpartition(".")[2]]
    assert f"model = {auto_class}.from_pretrained(" in usage_of(fill_model_card(config, **FIELDS))


def test_every_kind_of_input_is_described(make_config):
    words = make_config(character_embedding_size=0, word_embedding_size=6, bidirectional=False, projection_size=None)
    text = fill_model_card(words, **FIELDS)
    assert "| Word embedding | 20 of 6 dimensions |" in text and "Convolutions" not in text
    assert "| LSTM layers | 2, forward |" in text and "projected" not in text


def test_template_lies_in_the_package():
    assert TEMPLATE.is_file()
    assert set(re.findall(r"\$(\w+)", TEMPLATE.read_text(encoding="utf-8"))) == {
        *("metadata", "name", "summary", "context", "usage", "word_splitting", "architecture", "origin", "evaluation")
    }
