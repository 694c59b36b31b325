"""Checkpoints of a run that can be killed at any moment: each is complete or does not exist.

A checkpoint is written into a folder with a temporary name, forced to the disk, and renamed. Nothing in it is a pickle
of objects: weights are safetensors, other tensors are read with `weights_only`.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..configuration_elmo import ElmoConfig
from ..text_files import sync
from .arguments import DataArguments, ModelArguments, PretrainingArguments, TrainingArguments

FOLDER, UNFINISHED = "checkpoints", "unfinished"


def checkpoint_path(output_dir: Path, step: int) -> Path:
    return output_dir / FOLDER / f"step-{step:08d}"


def saved_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in (output_dir / FOLDER).glob("step-*") if path.is_dir())


def write_checkpoint(path: Path, is_main: bool, barrier: Callable[[], None], write: Callable[[Path], None]) -> None:
    """Calls `write(folder)` in every process, then gives the folder its name.

    Raises:
        OSError: the files cannot be written; the checkpoints before are as they were.
    """
    unfinished = path.parent / UNFINISHED
    if is_main:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    barrier()
    try:
        write(unfinished)
    except (OSError, RuntimeError, SafetensorError) as error:  # of a full disk, PyTorch's and safetensors' own
        raise OSError(
            f"{path} cannot be written ({error}); the same command goes on from the checkpoint before it"
        ) from error
    barrier()
    if is_main:
        for file in unfinished.rglob("*"):
            sync(file)
        sync(unfinished)
        os.replace(unfinished, path)
        sync(path.parent)
    barrier()


def keep_checkpoints(output_dir: Path, newest: int, best_step: int | None) -> None:
    """Deletes all but the newest checkpoints and the best one."""
    saved = saved_checkpoints(output_dir)
    best = None if best_step is None else checkpoint_path(output_dir, best_step)
    for path in saved[:-newest]:
        if path != best:
            # Renamed first: a checkpoint that is half deleted must not look complete.
            doomed = path.with_name(f"deleted-{path.name}")
            os.replace(path, doomed)
            shutil.rmtree(doomed)


def clean_up(output_dir: Path) -> None:
    """Removes what a killed process left half written or half deleted."""
    for path in [*(output_dir / FOLDER).glob("deleted-*"), output_dir / FOLDER / UNFINISHED]:
        shutil.rmtree(path, ignore_errors=True)


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, as long as it is tensors, numbers, text, lists and dictionaries."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: not a file of tensors that this program wrote, or damaged: {error}") from error


# Options by which a run that goes on must not differ from its beginning.
FIXED = (
    *("init_from", "rebuild_vocabulary", "character_embedding_size", "filters", "hidden_act", "num_highway_layers"),
    *("word_embedding_size", "num_hidden_layers", "cell_size", "projection_size", "forget_bias", "use_residual"),
    *("bidirectional", "adaptive_softmax_cutoffs", "representation", "representation_size", "optimizer"),
    *("batch_size", "seed", "train_files", "dataset_config", "dataset_split", "column", "validation_files"),
    *("text_format", "language", "word_splitting", "vocab_file", "vocab_size", "min_count", "shuffle", "frozen"),
)


def check_same_run(folder: Path, before: dict[str, Any], now: PretrainingArguments, vocab_size: int):
    """Refuses to go on from a checkpoint of another run; `vocab_size` is that of the softmax."""
    now = now.as_dict()
    # A run that knew no such option yet did what its default does.
    before = PretrainingArguments(DataArguments(), ModelArguments(), TrainingArguments()).as_dict() | before
    changed = [name for name in FIXED if before[name] != now[name]]
    # Whether the softmax is sampled decides which gradients are sparse, and so what an optimizer keeps.
    configs = (
        ElmoConfig(vocab_size=vocab_size, num_negative_samples=each["num_negative_samples"]) for each in (before, now)
    )
    if len({config.samples_softmax for config in configs}) > 1:
        changed.append("num_negative_samples")
    if changed:
        name = changed[0]
        raise ValueError(
            f"{folder} is from a run with {name} = {before[name]!r}, not {now[name]!r}: give another output_dir, "
            "the same options as before, or overwrite"
        )
