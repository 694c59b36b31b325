"""A converted model, and how it becomes a folder that transformers loads."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import ElmoConfig
from ..model_card import write_model_card
from ..modeling_elmo import ElmoModel
from ..modeling_elmo_pretraining import ElmoForPreTraining
from .errors import ConversionError


@dataclass
class Checkpoint:
    """A model, its tokenizer, and what its card says of where they come from (`write_model_card`)."""

    model: ElmoModel | ElmoForPreTraining
    tokenizer: ElmoTokenizer
    card: dict

    def save(self, folder: Path, name: str):
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        splitting = self.tokenizer.word_splitting
        write_model_card(folder, self.model.config, name=name, word_splitting=splitting, **self.card)


def empty_model(config: ElmoConfig, softmax: bool) -> ElmoModel | ElmoForPreTraining:
    """A model in fp32 whose biLM (and softmax) await their numbers; only the combination of layers has its own."""
    with torch.device("meta"):
        model = (ElmoForPreTraining if softmax else ElmoModel)(config).float()
    model.to_empty(device="cpu")
    model.tie_weights()
    with torch.no_grad():
        for module in model.base_model.combinations.modules():
            model._init_weights(module)
        if config.character_embedding_size:
            model.base_model.token_encoder.character_cnn.character_embeddings.weight[0] = 0
    return model.eval()


def parameter_arrays(model: ElmoModel | ElmoForPreTraining) -> dict[str, np.ndarray]:
    """Views of the parameters, by their names in ElmoForPreTraining."""
    prefix = "" if isinstance(model, ElmoForPreTraining) else "elmo."
    return {prefix + name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def check_finite(path: Path, key: str, values: np.ndarray):
    if not np.isfinite(values).all():
        count = values.size - int(np.isfinite(values).sum())
        raise ConversionError(f"{path}: {key} holds {count} numbers that are NaN or infinite")


@contextmanager
def new_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to write into that becomes `target` at the end, or vanishes if anything fails.

    Raises:
        ConversionError: if `target` is a file, or a folder that is not empty and `overwrite` is not given.
    """
    check_target(target, overwrite)
    target = target.resolve()  # "." has no name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        yield partial
        if target.exists():
            for file in partial.iterdir():
                file.replace(target / file.name)
        else:
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(target: Path, overwrite: bool):
    if target.exists() and not target.is_dir():
        raise ConversionError(f"{target} is a file; the result is a folder")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ConversionError(f"{target} is not empty; give another folder, or --overwrite to replace its files")
