"""The path of a user from a converted folder to the layers of sentences."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

TEXT = [
    ["The", "river", "bank", "."],
    ["naïve", "café", "Привет", "🙂"],
    ["supercalifragilisticexpialidociousandthensomemorelettersuntilitiscut", "!"],
    ["Ж" * 40],
    ["the", "<S>", "river", "</S>"],
]


@pytest.fixture(scope="session")
def text() -> list[list[str]]:
    """Sentences with long words, characters of several bytes, unknown words and literal boundaries."""
    return TEXT


class Embedder:
    """What `from_pretrained` makes of a folder, applied to words."""

    def __init__(self, folder: Path):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder)
        self.state = None

    @torch.no_grad()
    def __call__(self, sentences: list[list[str]], carry: bool = False) -> list[np.ndarray]:
        """The layers `(layers + 1, words + 2, directions * P)` of each sentence."""
        inputs = self.tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        outputs = self.model(**inputs, output_hidden_states=True, use_cache=True, state=self.state if carry else None)
        self.state = outputs.state
        layers = torch.stack(outputs.hidden_states).numpy()
        return [layers[:, row, : len(words) + 2] for row, words in enumerate(sentences)]


@pytest.fixture(scope="session")
def embedder() -> Callable[[Path], Embedder]:
    return Embedder
