"""Published biLMs made up by chance, and their arithmetic in plain numpy and float64, one word and one step at a time.

Knows the files only, and nothing of the project's code.
"""

import json
from pathlib import Path

import h5py
import numpy as np


def make_options(**changes) -> dict:
    """options.json of a tiny model; `changes` replace sections' entries, `None` takes an entry out."""
    options = {
        "char_cnn": {
            "activation": "relu",
            "embedding": {"dim": 5},
            "filters": [[1, 4], [2, 5], [3, 6]],
            "max_characters_per_token": 50,
            "n_characters": 262,
            "n_highway": 2,
        },
        "lstm": {
            "dim": 11,
            "n_layers": 2,
            "projection_dim": 6,
            "cell_clip": 0.8,
            "proj_clip": 0.6,
            "use_skip_connections": True,
        },
        "n_tokens_vocab": 9,
        "batch_size": 128,
    }
    for name, value in changes.items():
        section = next((options[key] for key in ("char_cnn", "lstm") if name in options.get(key, ())), options)
        if value is None:
            del section[name]
        else:
            section[name] = value
    return options


def make_arrays(options: dict, seed: int = 0, vocab_size: int = 0, softmax: bool = False) -> dict[str, np.ndarray]:
    """Random arrays of all the shapes that the options ask for, in float32."""
    rng = np.random.default_rng(seed)
    lstm, shapes = options["lstm"], {}
    width, cells = lstm["projection_dim"], lstm["dim"]
    if "char_cnn" in options:
        cnn = options["char_cnn"]
        size = cnn["embedding"]["dim"]
        features = sum(number for _, number in cnn["filters"])
        shapes["char_embed"] = (261, size)
        for i, (span, number) in enumerate(cnn["filters"]):
            shapes[f"CNN/W_cnn_{i}"], shapes[f"CNN/b_cnn_{i}"] = (1, span, size, number), (number,)
        for i in range(cnn.get("n_highway", 0)):
            for gate in ("carry", "transform"):
                shapes[f"CNN_high_{i}/W_{gate}"], shapes[f"CNN_high_{i}/b_{gate}"] = (features,) * 2, (features,)
        if features != width:
            shapes["CNN_proj/W_proj"], shapes["CNN_proj/b_proj"] = (features, width), (width,)
    else:
        shapes["embedding"] = (vocab_size, width)
    for direction in range(2 if options.get("bidirectional", True) else 1):
        for layer in range(lstm["n_layers"]):
            key = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
            shapes[key + "W_0"], shapes[key + "B"] = (2 * width, 4 * cells), (4 * cells,)
            if width != cells:
                shapes[key + "W_P_0"] = (cells, width)
    if softmax:
        if not options.get("share_embedding_softmax"):
            shapes["softmax/W"] = (vocab_size, width)
        shapes["softmax/b"] = (vocab_size,)
    return {key: rng.normal(0, 0.5, shape).astype(np.float32) for key, shape in shapes.items()}


def write_arrays(path: Path, arrays: dict[str, np.ndarray]):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def write_bilm(folder: Path, options: dict, arrays: dict[str, np.ndarray], words: list[str] | None = None) -> Path:
    """options.json, weights.hdf5 and, where `words` are given, vocab.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    write_arrays(folder / "weights.hdf5", arrays)
    if words is not None:
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda key, item: arrays.update({key: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


# The arithmetic


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def character_ids(word: str, length: int) -> list[int]:
    """Ids of a word's characters, into the file's character embedding."""
    marks = {"<S>": [256], "</S>": [257]}
    ids = [258, *marks.get(word, word.encode()[: length - 2]), 259]
    return ids + [260] * (length - len(ids))


def highest_responses(characters: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Maximum over positions of a convolution: `(characters, size)`, `(span, size, number)` -> `(number,)`."""
    span = kernel.shape[0]
    windows = [characters[at : at + span] for at in range(len(characters) - span + 1)]
    return np.max([np.tensordot(window, kernel, 2) + bias for window in windows], axis=0)


def token_vector(options: dict, arrays: dict[str, np.ndarray], word: str) -> np.ndarray:
    cnn = options["char_cnn"]
    activation = {"relu": lambda values: np.maximum(values, 0), "tanh": np.tanh}[cnn["activation"]]
    characters = arrays["char_embed"][character_ids(word, cnn["max_characters_per_token"])]
    vector = np.concatenate(
        [
            activation(highest_responses(characters, arrays[f"CNN/W_cnn_{i}"][0], arrays[f"CNN/b_cnn_{i}"]))
            for i in range(len(cnn["filters"]))
        ]
    )
    for i in range(cnn.get("n_highway", 0)):
        key = f"CNN_high_{i}/"
        carry = sigmoid(vector @ arrays[key + "W_carry"] + arrays[key + "b_carry"])
        transformed = np.maximum(vector @ arrays[key + "W_transform"] + arrays[key + "b_transform"], 0)
        vector = carry * transformed + (1 - carry) * vector
    if "CNN_proj/W_proj" in arrays:
        vector = vector @ arrays["CNN_proj/W_proj"] + arrays["CNN_proj/b_proj"]
    return vector


def clip(values: np.ndarray, bound: float | None) -> np.ndarray:
    return values if bound is None else np.clip(values, -bound, bound)


class PublishedBilm:
    """The layers of sentences, in float64. The state stays from one sentence to the next unless it is `reset`."""

    def __init__(self, options: dict, arrays: dict[str, np.ndarray], words: list[str] | None = None):
        self.options, self.words = options, words
        self.arrays = {key: array.astype(np.float64) for key, array in arrays.items()}
        self.directions = 2 if options.get("bidirectional", True) else 1
        self.reset()

    def reset(self):
        lstm = self.options["lstm"]
        self.state = {
            (direction, layer): (np.zeros(lstm["projection_dim"]), np.zeros(lstm["dim"]))
            for direction in range(self.directions)
            for layer in range(lstm["n_layers"])
        }

    def token_vector(self, word: str) -> np.ndarray:
        if "char_cnn" in self.options:
            return token_vector(self.options, self.arrays, word)
        known = {word: row for row, word in enumerate(self.words)}
        return self.arrays["embedding"][known.get(word, known["<UNK>"])]

    def layers(self, sentence: list[str]) -> np.ndarray:
        """`(layers + 1, words + 2, directions * P)`, the boundaries included."""
        vectors = np.array([self.token_vector(word) for word in ["<S>", *sentence, "</S>"]])
        sides = []
        for direction in range(self.directions):
            layers = self.run_lstms(vectors[::-1] if direction else vectors, direction)
            sides.append(layers[:, ::-1] if direction else layers)
        return np.concatenate(sides, axis=-1)

    def run_lstms(self, inputs: np.ndarray, direction: int) -> np.ndarray:
        layers = [inputs]
        for layer in range(self.options["lstm"]["n_layers"]):
            outputs = np.array([self.step(direction, layer, vector) for vector in layers[-1]])
            if self.options["lstm"].get("use_skip_connections") and layer > 0:
                outputs = outputs + layers[-1]
            layers.append(outputs)
        return np.array(layers)

    def step(self, direction: int, layer: int, vector: np.ndarray) -> np.ndarray:
        lstm, key = self.options["lstm"], f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
        hidden, cell = self.state[direction, layer]
        gates = np.concatenate([vector, hidden]) @ self.arrays[key + "W_0"] + self.arrays[key + "B"]
        i, j, f, o = np.split(gates, 4)
        cell = clip(sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(j), lstm.get("cell_clip"))
        hidden = sigmoid(o) * np.tanh(cell)
        if key + "W_P_0" in self.arrays:
            hidden = clip(hidden @ self.arrays[key + "W_P_0"], lstm.get("proj_clip"))
        self.state[direction, layer] = hidden, cell
        return hidden
