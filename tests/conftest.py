"""What many tests need: a tiny configuration, models whose parameters are all random, batches of words."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tiny_vocabulary import WORDS

from modeling_elmo import ElmoConfig, ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel, ElmoTokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)

TINY = {
    "vocab_size": 20,
    "character_embedding_size": 4,
    "filters": [[1, 3], [2, 4], [3, 5]],
    "num_highway_layers": 1,
    "cell_size": 10,
    "projection_size": 6,
    # Tight enough that they are reached all the time.
    "cell_clip": 0.7,
    "projection_clip": 0.5,
    "representation_size": 8,
    "num_negative_samples": 5,
}


def character_row(word: str) -> list[int]:
    """The row of a word: UTF-8 bytes between marks, padded, everything plus one."""
    marks = {"<S>": [256], "</S>": [257]}
    row = [258, *marks.get(word, word.encode("utf-8", "ignore")[:48]), 259]
    return [1 + character for character in row + [260] * (50 - len(row))]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data for development, which is no part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data for development in {folder}")
    return folder


@pytest.fixture(scope="session")
def make_config() -> Callable[..., ElmoConfig]:
    """`make_config(**options)`: a tiny configuration."""

    def make(**options) -> ElmoConfig:
        return ElmoConfig(**{**TINY, **options})

    return make


@pytest.fixture(scope="session")
def make_model(make_config) -> Callable[..., ElmoPreTrainedModel]:
    """`make_model(model_class, seed=0, **options)`: a tiny model in evaluation mode; every parameter is random,
    because zeros (of biases, say) hide mistakes."""

    def make(model_class=ElmoModel, seed: int = 0, **options) -> ElmoPreTrainedModel:
        torch.manual_seed(seed)
        model = model_class(make_config(**options)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.4)
        return model

    return make


@pytest.fixture(scope="session")
def tokenizer() -> ElmoTokenizer:
    return ElmoTokenizer(vocab=WORDS)


@pytest.fixture(scope="session")
def language_model(make_model) -> ElmoForPreTraining:
    return make_model(ElmoForPreTraining, representation="scalar_mix")


@pytest.fixture(scope="session")
def checkpoint(language_model, tokenizer, tmp_path_factory) -> Path:
    """The language model and its tokenizer on disk."""
    folder = tmp_path_factory.mktemp("checkpoint")
    language_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., dict[str, torch.Tensor]]:
    """`make_batch(sentences, side="right", length=None)`: the model's inputs for lists of words, as the tokenizer
    makes them; `input_ids` are a number for each letter a word begins with."""

    def make(sentences: Sequence[Sequence[str]], side: str = "right", length: int | None = None, marks: bool = True):
        words = [["<S>", *sentence, "</S>"] if marks else list(sentence) for sentence in sentences]
        length = max([length or 0, *map(len, words)])
        character_ids = torch.zeros(len(words), length, 50, dtype=torch.int16)
        input_ids = torch.full((len(words), length), TINY["vocab_size"])
        for row, sentence in enumerate(words):
            start = 0 if side == "right" else length - len(sentence)
            for place, word in enumerate(sentence, start):
                character_ids[row, place] = torch.tensor(character_row(word))
                special = {"<S>": 0, "</S>": 1}
                input_ids[row, place] = special.get(word, 2 + ord(word[0]) % (TINY["vocab_size"] - 2))
        attention_mask = (character_ids[..., 0] != 0).long()
        return {"character_ids": character_ids, "attention_mask": attention_mask, "input_ids": input_ids}

    return make


SENTENCES = [
    ["The", "old", "bank", "by", "the", "river", "was", "closed", "."],
    ["Hé", "said", "😀", "naïveté"],
    ["Ok"],
    ["pneumonoultramicroscopicsilicovolcanoconiosis", "ist", "Donaudampfschifffahrtsgesellschaftskapitänspatent"],
    ["the", "river", "bank", "the", "river"],
]


@pytest.fixture(scope="session")
def sentences() -> list[list[str]]:
    """Of different lengths, with repeated, very long and non-ASCII words."""
    return SENTENCES
