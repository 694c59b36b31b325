"""ELMoForManyLangs models made up by chance, and their arithmetic in plain numpy and float64.

Knows the files only, and nothing of the project's code.
"""

import json
from pathlib import Path

import numpy as np
import torch
from conversion.published_bilm import clip, highest_responses, sigmoid

CHARACTERS = ["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", *"Teabcdhiknrv.é\u3000"]
WORDS = ["<oov>", "<bos>", "<eos>", "<pad>", "the", "river", "café"]
WORDS.append("supercalifragilisticexpialidociousandthensomemor")  # cut, as longer ones are


def make_network(**changes) -> dict:
    """The network's configuration; `changes` replace entries of the encoder or of the token embedder."""
    network = {
        "encoder": {
            "name": "elmo",
            "projection_dim": 6,
            "cell_clip": 0.8,
            "proj_clip": 0.6,
            "dim": 11,
            "n_layers": 2,
        },
        "token_embedder": {
            "name": "cnn",
            "activation": "relu",
            "filters": [[1, 4], [2, 5]],
            "n_highway": 2,
            "word_dim": 7,
            "char_dim": 5,
            "max_characters_per_token": 50,
        },
        "dropout": 0.1,
    }
    for name, value in changes.items():
        section = "encoder" if name in network["encoder"] else "token_embedder"
        network[section][name] = value
    return network


def make_tensors(network: dict, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random contents of token_embedder.pkl and encoder.pkl, in float32."""
    rng = np.random.default_rng(seed)
    embedder, encoder = network["token_embedder"], network["encoder"]
    width, cells = encoder["projection_dim"], encoder["dim"]
    shapes, features = {}, 0
    if embedder["word_dim"]:
        shapes["word_emb_layer.embedding.weight"] = (len(WORDS), embedder["word_dim"])
    if embedder["char_dim"]:
        shapes["char_emb_layer.embedding.weight"] = (len(CHARACTERS), embedder["char_dim"])
        for i, (span, number) in enumerate(embedder["filters"]):
            shapes[f"convolutions.{i}.weight"] = (number, embedder["char_dim"], span)
            shapes[f"convolutions.{i}.bias"] = (number,)
            features += number
        for i in range(embedder["n_highway"]):
            shapes[f"highways._layers.{i}.weight"] = (2 * features, features)
            shapes[f"highways._layers.{i}.bias"] = (2 * features,)
    shapes["projection.weight"] = (width, embedder["word_dim"] + features)
    shapes["projection.bias"] = (width,)
    layers = {}
    for layer in range(encoder["n_layers"]):
        for direction in ("forward", "backward"):
            key = f"{direction}_layer_{layer}."
            layers[key + "input_linearity.weight"] = (4 * cells, width)
            layers[key + "state_linearity.weight"] = (4 * cells, width)
            layers[key + "state_linearity.bias"] = (4 * cells,)
            layers[key + "state_projection.weight"] = (width, cells)
    return tuple(
        {key: rng.normal(0, 0.5, shape).astype(np.float32) for key, shape in part.items()} for part in (shapes, layers)
    )


def write_dic(path: Path, entries: list[str]):
    path.write_text("".join(f"{entry}\t{i}\n" for i, entry in enumerate(entries)), encoding="utf-8")


def write_elmoformanylangs(folder: Path, network: dict, embedder: dict, encoder: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"config_path": "/home/someone/elmo/configs/cnn_sample.json"}))
    (folder / "cnn_sample.json").write_text(json.dumps(network))
    if network["token_embedder"]["char_dim"]:
        write_dic(folder / "char.dic", CHARACTERS)
    if network["token_embedder"]["word_dim"]:
        write_dic(folder / "word.dic", WORDS)
    for name, tensors in (("token_embedder.pkl", embedder), ("encoder.pkl", encoder)):
        torch.save({key: torch.from_numpy(array) for key, array in tensors.items()}, folder / name)
    return folder


class PublishedElmoForManyLangs:
    """The layers of a sentence, in float64."""

    def __init__(self, network: dict, embedder: dict[str, np.ndarray], encoder: dict[str, np.ndarray]):
        self.embedder, self.encoder = network["token_embedder"], network["encoder"]
        self.tensors = {key: array.astype(np.float64) for key, array in (embedder | encoder).items()}

    def token_vector(self, word: str) -> np.ndarray:
        is_boundary = word in ("<bos>", "<eos>")
        word = word if is_boundary else word[:48]
        parts = []
        if self.embedder["word_dim"]:
            row = WORDS.index(word) if word in WORDS else 0
            parts.append(self.tensors["word_emb_layer.embedding.weight"][row])
        if self.embedder["char_dim"]:
            parts.append(self.character_features([word] if is_boundary else list(word)))
        return self.tensors["projection.weight"] @ np.concatenate(parts) + self.tensors["projection.bias"]

    def character_features(self, characters: list[str]) -> np.ndarray:
        row = ["<eow>", *characters, "<bow>"]  # the wrong way round, as in all trained models
        row += ["<pad>"] * (50 - len(row))
        ids = [CHARACTERS.index(item) if item in CHARACTERS else CHARACTERS.index("<oov>") for item in row]
        embedded = self.tensors["char_emb_layer.embedding.weight"][ids]
        vector = np.concatenate(
            [
                highest_responses(
                    embedded,
                    self.tensors[f"convolutions.{i}.weight"].transpose(2, 1, 0),
                    self.tensors[f"convolutions.{i}.bias"],
                )
                for i in range(len(self.embedder["filters"]))
            ]
        )
        vector = np.maximum(vector, 0) if self.embedder["activation"] == "relu" else np.tanh(vector)
        for i in range(self.embedder["n_highway"]):
            both = self.tensors[f"highways._layers.{i}.weight"] @ vector + self.tensors[f"highways._layers.{i}.bias"]
            transformed, gate = np.split(both, 2)
            vector = sigmoid(gate) * vector + (1 - sigmoid(gate)) * np.maximum(transformed, 0)
        return vector

    def layers(self, sentence: list[str]) -> np.ndarray:
        """`(layers + 1, words + 2, 2 * P)`, the boundaries included."""
        vectors = np.array([self.token_vector(word) for word in ["<bos>", *sentence, "<eos>"]])
        forward = self.run_lstms(vectors, "forward")
        backward = self.run_lstms(vectors[::-1], "backward")[:, ::-1]
        return np.concatenate([forward, backward], axis=-1)

    def run_lstms(self, inputs: np.ndarray, direction: str) -> np.ndarray:
        layers = [inputs]
        for layer in range(self.encoder["n_layers"]):
            outputs = self.run_lstm(layers[-1], f"{direction}_layer_{layer}.")
            layers.append(outputs + layers[-1] if layer > 0 else outputs)
        return np.array(layers)

    def run_lstm(self, inputs: np.ndarray, key: str) -> np.ndarray:
        hidden, cell = np.zeros(self.encoder["projection_dim"]), np.zeros(self.encoder["dim"])
        outputs = []
        for vector in inputs:
            gates = self.tensors[key + "input_linearity.weight"] @ vector
            gates += self.tensors[key + "state_linearity.weight"] @ hidden + self.tensors[key + "state_linearity.bias"]
            i, f, g, o = np.split(gates, 4)
            cell = clip(sigmoid(i) * np.tanh(g) + sigmoid(f) * cell, self.encoder["cell_clip"])
            hidden = self.tensors[key + "state_projection.weight"] @ (sigmoid(o) * np.tanh(cell))
            hidden = clip(hidden, self.encoder["proj_clip"])
            outputs.append(hidden)
        return np.array(outputs)
