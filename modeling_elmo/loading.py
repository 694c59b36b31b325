"""Loading a checkpoint for use, with messages that name it when it is none, or damaged."""

from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from .quantization import quantize
from .text_files import read_object

PRECISIONS = ("float32", "bfloat16", "int8")


def load(auto_class: type, name: str | Path, **options):
    """`auto_class.from_pretrained(name, **options)`.

    Raises:
        ValueError: naming the checkpoint, if it is none, or its files are damaged or do not fit each other.
    """
    path = Path(name)
    if path.is_file():
        raise ValueError(f"{name} is a file; give the folder of a checkpoint")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"{name} has no config.json; `elmo convert` makes a checkpoint of published weights")
        read_object(path / "config.json")  # names the file, which transformers does not always do
    try:
        return auto_class.from_pretrained(name, **options)
    except (OSError, ImportError):
        raise
    except Exception as error:  # damage has many kinds of error
        if isinstance(error, ValueError) and str(name) in str(error):
            raise
        raise ValueError(
            f"{name} is damaged, or its files do not fit each other: {auto_class.__name__} says {damage(error)}"
        ) from error


def load_tokenizer(model: PreTrainedModel | str | Path):
    """The tokenizer of a checkpoint given by name, or of that which a model came from.

    Raises:
        ValueError: if the model came from none; see also [`load`].
    """
    if isinstance(model, PreTrainedModel):
        if not model.name_or_path:
            raise ValueError("this model was not loaded from a checkpoint: pass its tokenizer (tokenizer=...)")
        model = model.name_or_path
    return load(AutoTokenizer, model)


def load_in(precision: str | None, name: str | Path, device: str | None) -> PreTrainedModel:
    """The model of a checkpoint, ready to multiply in that precision."""
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"precision is {precision!r}; choose one of {PRECISIONS}")
    if precision == "int8":
        return quantize(put_on(load(AutoModel, name, dtype=torch.float32), device or "cpu"))
    options = {} if precision is None else {"dtype": getattr(torch, precision)}
    return put_on(load(AutoModel, name, **options), device)


def put_on(model: PreTrainedModel, device: str | None) -> PreTrainedModel:
    """The model on a device, by default the GPU if there is one.

    Raises:
        ValueError: if there is no such device.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"the model cannot be put on device {str(device)!r}: {error}") from error


def damage(error: Exception) -> str:
    """What is wrong with a file of weights, by the error of whoever read it."""
    # PyTorch says first how to run a pickle's code, and last what is wrong with it.
    return str(error).rpartition("WeightsUnpickler error: ")[2].strip() or type(error).__name__
