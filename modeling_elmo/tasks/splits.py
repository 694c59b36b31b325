"""The splits of a task's data: from files or a data set, some of them held out or thinned."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from ..extras import require
from .arguments import DataArguments


def sample(items: Sequence, fraction: float, seed: int) -> list:
    """A random share of the items, at least one, in their order; smaller shares are part of larger ones."""
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    return [items[index] for index in sorted(order[: max(1, round(fraction * len(items)))])]


def hold_out(items: Sequence, fraction: float, seed: int, group: Callable[[Any], Any]) -> tuple[list, list]:
    """Splits off a random share of the groups, so that items of a group stay together: those kept, those held out."""
    groups = list(dict.fromkeys(group(item) for item in items))
    held_out = set(sample(groups, fraction, seed))
    kept = [item for item in items if group(item) not in held_out]
    return kept, [item for item in items if group(item) in held_out]


def load_splits(
    data: DataArguments,
    seed: int,
    read_file: Callable[[str, str], list],
    read_rows: Callable[[Any], list],
    group: Callable[[Any], Any],
) -> dict[str, list]:
    """The items of `train`, `validation` and, where there is one, `test`.

    Args:
        data: which files or data set.
        seed: of what is drawn at random.
        read_file: gives a file's items; told the split's name too.
        read_rows: gives the items of a `datasets.Dataset`.
        group: what items have in common that must not stand on both sides of a split, the premise for instance.
    """
    if data.dataset_name is not None:
        datasets = require("datasets", "train", f"reading the data set {data.dataset_name}")
        loaded = datasets.load_dataset(data.dataset_name, data.dataset_config_name)
        splits = {name: read_rows(loaded[name]) for name in ("train", "validation", "test") if name in loaded}
        if "train" not in splits:
            raise ValueError(f"{data.dataset_name} has no split 'train', only {sorted(loaded)}")
        if not splits.get("test", True):  # its labels are kept secret, as GLUE's
            del splits["test"]
    else:
        files = {"train": data.train_file, "validation": data.validation_file, "test": data.test_file}
        splits = {name: read_file(path, name) for name, path in files.items() if path is not None}
    if "validation" not in splits:
        if not data.validation_fraction:
            raise ValueError("there is no validation split: give --validation_fraction")
        splits["train"], splits["validation"] = hold_out(splits["train"], data.validation_fraction, seed, group)
        if splits["validation"] and not splits["train"]:
            raise ValueError(
                f"--validation_fraction {data.validation_fraction} holds out all training data, since what is of one "
                "document or text stays together: lower it, or give --validation_file"
            )
    for name, items in splits.items():
        if not items:
            raise ValueError(f"the {name} data are empty")
    if data.train_fraction < 1:
        splits["train"] = sample(splits["train"], data.train_fraction, seed)
    if data.max_eval_samples is not None:
        for name in set(splits) - {"train"}:
            splits[name] = sample(splits[name], min(1.0, data.max_eval_samples / len(splits[name])), seed)
    return splits
