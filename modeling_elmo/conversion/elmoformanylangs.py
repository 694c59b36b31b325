"""ELMoForManyLangs (Che et al., 2018): config.json, char.dic, word.dic, encoder.pkl, token_embedder.pkl.

Against the published biLMs, the gates stand in another order, the forget bias is part of the bias, the highway's gate
says how much is kept instead of how much is transformed, and characters are code points.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import ElmoConfig, word_fields
from ..loading import damage
from .checkpoint import Checkpoint, check_finite, empty_model, parameter_arrays
from .errors import ConversionError, check_shapes
from .options import Options
from .provenance import elmoformanylangs_card
from .sources import SourceFiles


@dataclass(frozen=True)
class Part:
    """`parameter[place] = change(state_dict[key])`."""

    key: str
    shape: tuple[int, ...]
    parameter: str
    place: Any = ...
    change: Callable[[np.ndarray], np.ndarray] = np.asarray


def read_elmoformanylangs(sources: SourceFiles, word_splitting: str) -> Checkpoint:
    """Reads a model of ELMoForManyLangs."""
    network = network_options(sources)
    has_words = network.get("token_embedder.word_dim", int, 0) > 0
    has_characters = network.get("token_embedder.char_dim", int, 0) > 0
    tokenizer = ElmoTokenizer.from_dic_files(
        sources.find("character dictionary", ["char.dic"]) if has_characters else None,
        sources.find("word dictionary", ["word.dic"]) if has_words else None,
        word_splitting=word_splitting,
        max_characters_per_token=network.max_characters("token_embedder.max_characters_per_token"),
    )
    config = network.config(
        **network_fields(network),
        character_vocab_size=2 + max(tokenizer.character_vocab.values()),
        **word_fields(tokenizer),
    )
    files = []
    for name, parts in (
        ("token_embedder.pkl", list(embedder_parts(config))),
        ("encoder.pkl", list(encoder_parts(config))),
    ):
        path = sources.find("weights", [name])
        tensors = load_state_dict(path)
        expected = {part.key: part.shape for part in parts}
        found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        check_shapes(path, expected, found, f"{network.path} and the .dic files")
        files.append((path, parts, tensors))
    # Not before: the numbers in a hostile configuration could ask for all memory.
    model = empty_model(config, softmax=False)
    parameters = parameter_arrays(model)
    for path, parts, tensors in files:
        last_use = {part.key: part for part in parts}
        for part in parts:
            values = tensors[part.key].detach().float().numpy()
            check_finite(path, part.key, values)
            parameters[part.parameter][part.place] = part.change(values)
            if part is last_use[part.key]:
                del tensors[part.key], values  # what is copied need not stay
    return Checkpoint(model, tokenizer, elmoformanylangs_card(sources))


def network_options(sources: SourceFiles) -> Options:
    """The network's configuration, which lies beside the config.json that names it by a path of another machine."""
    network = config = Options.read(sources.find("configuration", ["config.json"]))
    if "encoder" not in config:
        name = config.get("config_path", str).replace("\\", "/").rpartition("/")[2]
        what = f"network's configuration (config_path of {config.path})"
        network = Options.read(sources.find(what, [name], ["cnn*.json"]))
    for section, supported in (("encoder", "elmo"), ("token_embedder", "cnn")):
        kind = network.get(f"{section}.name", str)
        if kind.lower() != supported:
            raise ConversionError(
                f"{network.path}: {section}.name is {kind!r}; only models with {supported!r} are ELMo models"
            )
    return network


def network_fields(network: Options) -> dict[str, Any]:
    """The fields of ElmoConfig that the network's configuration determines."""
    number = (int, float)
    fields = {
        "num_hidden_layers": network.get("encoder.n_layers", int),
        "cell_size": network.get("encoder.dim", int),
        "projection_size": network.get("encoder.projection_dim", int),
        "cell_clip": network.get("encoder.cell_clip", number, None),
        "projection_clip": network.get("encoder.proj_clip", number, None),
        "forget_bias": 0.0,
        "use_residual": True,
        "dropout": network.get("dropout", number, 0.1),
        "representation": "scalar_mix",
        "word_embedding_size": network.get("token_embedder.word_dim", int, 0),
        "character_embedding_size": network.get("token_embedder.char_dim", int, 0),
        "max_characters_per_token": network.max_characters("token_embedder.max_characters_per_token"),
        "token_projection": True,
    }
    if fields["character_embedding_size"]:
        fields["filters"] = network.get("token_embedder.filters", list)
        fields["hidden_act"] = network.get("token_embedder.activation", str)
        fields["num_highway_layers"] = network.get("token_embedder.n_highway", int)
    return fields


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A pickle that holds a state dict and nothing else: no code of it is run."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage has many kinds of error
        reason = damage(error).splitlines()[0]
        raise ConversionError(f"{path} is damaged, or holds more than tensors, which is refused: {reason}") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in tensors.items()
    ):
        raise ConversionError(f"{path} is not a state dict (tensors by name)")
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ConversionError(f"{path}: {key} has dtype {tensor.dtype}; weights are floating-point numbers")
        if tensor.layout != torch.strided or tensor.is_meta:
            raise ConversionError(f"{path}: {key} is sparse or without values; weights are plain arrays")
    return tensors


def embedder_parts(config: ElmoConfig) -> Iterator[Part]:
    """Where the numbers of token_embedder.pkl go."""
    encoder, cnn = "elmo.token_encoder.", "elmo.token_encoder.character_cnn."
    if config.word_embedding_size:
        shape = (config.vocab_size, config.word_embedding_size)
        yield Part("word_emb_layer.embedding.weight", shape, f"{encoder}word_embeddings.weight")
    if config.character_embedding_size:
        shape = (config.character_vocab_size - 1, config.character_embedding_size)
        parameter = f"{cnn}character_embeddings.weight"
        yield Part("char_emb_layer.embedding.weight", shape, parameter, slice(1, None))
        for i, (width, number) in enumerate(config.filters):
            shape = (number, config.character_embedding_size, width)
            yield Part(f"convolutions.{i}.weight", shape, f"{cnn}convolutions.{i}.weight")
            yield Part(f"convolutions.{i}.bias", (number,), f"{cnn}convolutions.{i}.bias")
        size = config.character_feature_size
        for i in range(config.num_highway_layers):
            for kind, shape in (("weight", (2 * size, size)), ("bias", (2 * size,))):
                key, parameter = f"highways._layers.{i}.{kind}", f"{cnn}highways.{i}."
                yield Part(key, shape, f"{parameter}transform.{kind}", change=lambda rows: rows[:size])
                # sigmoid(-z) = 1 - sigmoid(z): the gate keeps, ours transforms
                yield Part(key, shape, f"{parameter}carry.{kind}", change=lambda rows: -rows[size:])
    shape = (config.output_size, config.token_feature_size)
    yield Part("projection.weight", shape, f"{encoder}projection.weight")
    yield Part("projection.bias", shape[:1], f"{encoder}projection.bias")


def encoder_parts(config: ElmoConfig) -> Iterator[Part]:
    """Where the numbers of encoder.pkl go."""
    width, cells = config.output_size, config.cell_size
    for layer in range(config.num_hidden_layers):
        parameter = f"elmo.lstm.layers.{layer}."
        for place, direction in enumerate(("forward", "backward")):
            key, shape = f"{direction}_layer_{layer}.", (4 * cells, width)
            yield Part(f"{key}input_linearity.weight", shape, f"{parameter}input_weight", place, gate_columns)
            yield Part(f"{key}state_linearity.weight", shape, f"{parameter}recurrent_weight", place, gate_columns)
            yield Part(f"{key}state_linearity.bias", shape[:1], f"{parameter}bias", place, gate_columns)
            shape = (width, cells)
            yield Part(f"{key}state_projection.weight", shape, f"{parameter}projection_weight", place, np.transpose)


def gate_columns(rows: np.ndarray) -> np.ndarray:
    """Rows in the order input, forget, candidate, output -> columns in the order input, candidate, forget, output."""
    input_gate, forget_gate, candidate, output_gate = np.split(rows, 4)
    return np.concatenate([input_gate, candidate, forget_gate, output_gate]).T
