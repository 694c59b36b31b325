"""Texts of known and unknown words, and what tests of vectors and their files share."""

import os
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.numpy import load_file
from tiny_vocabulary import WORDS

OTHERS = [*WORDS, "naïveté", "😀", "unheard-of", "Donaudampfschifffahrtsgesellschaftskapitänspatent"]


def random_text(lines: int, seed: int = 0, longest: int = 14) -> list[list[str]]:
    draw = random.Random(seed)
    return [draw.choices(OTHERS, k=draw.randint(0, longest)) for _ in range(lines)]


def write_text(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
    return path


def plain_layers(embedder, words: list[str]) -> np.ndarray:
    """All layers of one sentence by one call of the model."""
    inputs = embedder.tokenizer(words, is_split_into_words=True, return_tensors="pt", return_token_type_ids=False)
    inputs = {name: torch.atleast_2d(tensor) for name, tensor in inputs.items()}
    inputs["character_ids"] = inputs["character_ids"].reshape(1, -1, 50)
    with torch.no_grad():
        return torch.stack(embedder.model(**inputs, output_hidden_states=True).hidden_states, 1)[0].numpy()


def cut_to_words(layers: np.ndarray) -> np.ndarray:
    return layers[..., 1:-1, :]


def read_file(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, by name."""
    if path.suffix == ".hdf5":
        with h5py.File(path) as file:
            return {name: file[name][...] for name in file if name != "sentence_to_index"}
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    return load_file(path)


def run_command(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "modeling_elmo.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)
