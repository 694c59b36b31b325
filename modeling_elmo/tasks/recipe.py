"""What the recipes that fine-tune a task head share: options, the model or its baseline, training, results."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoTokenizer,
    EvalPrediction,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from modeling_elmo import ElmoConfig, ElmoTokenizer
from modeling_elmo.model_card import write_model_card

from .examples import PaddingCollator
from .layer_cache import CachedLayersDataset, LayerCache

Metrics = Callable[[EvalPrediction], dict[str, float]]


@dataclass
class ModelArguments:
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A pretrained ELMo: a folder or a repository of the Hub."}
    )
    without_elmo: bool = field(
        default=False,
        metadata={"help": "The baseline: the same head over word and character embeddings that train with it."},
    )
    representation: str | None = field(
        default=None, metadata={"help": "How layers are combined: projection or scalar_mix. By default the model's."}
    )
    num_representations: int | None = field(
        default=None, metadata={"help": "2: a second combination at the output of the head's LSTM."}
    )
    context_free_size: int | None = field(
        default=None,
        metadata={"help": "Width of word and character embeddings that train beside ELMo's vectors, as in the paper."},
    )
    unfreeze: bool = field(default=False, metadata={"help": "Train the biLM too."})
    bilm_learning_rate: float = field(default=1e-4, metadata={"help": "Of the biLM, where it trains."})
    head_hidden_size: int | None = None
    head_num_layers: int | None = None
    head_dropout: float | None = None

    def __post_init__(self):
        if self.without_elmo == (self.model_name_or_path is not None):
            raise ValueError("give either --model_name_or_path with a pretrained ELMo, or --without_elmo")
        if self.without_elmo and any(
            (self.unfreeze, self.representation, self.num_representations, self.context_free_size)
        ):
            raise ValueError("--without_elmo has no biLM: leave --unfreeze and the representation's options out")


@dataclass
class DataArguments:
    train_file: str | None = field(default=None, metadata={"help": "Plain, .gz or .zst."})
    validation_file: str | None = None
    test_file: str | None = None
    dataset_name: str | None = field(
        default=None, metadata={"help": "A data set of the Hub (or a folder of one) instead of files."}
    )
    dataset_config_name: str | None = None
    validation_fraction: float = field(
        default=0.0, metadata={"help": "Where there is no validation file: the share of the training data held out."}
    )
    train_fraction: float = field(
        default=1.0, metadata={"help": "The share of the training data that is used, drawn by --data_seed or --seed."}
    )
    max_eval_samples: int | None = field(
        default=None, metadata={"help": "At most so many examples of each other split, drawn at random."}
    )
    cache_layers: str | None = field(
        default=None, metadata={"help": "A folder: the frozen biLM's layers are computed once and kept there."}
    )
    cache_dtype: str = field(default="float32", metadata={"help": "float32, or float16 in half the space."})

    def __post_init__(self):
        if (self.train_file is None) == (self.dataset_name is None):
            raise ValueError("give either --train_file or --dataset_name")
        if not 0 < self.train_fraction <= 1 or not 0 <= self.validation_fraction < 1:
            raise ValueError("--train_fraction must be in (0, 1] and --validation_fraction in [0, 1)")
        if self.train_file and not self.validation_file and not self.validation_fraction:
            raise ValueError("give --validation_file, or --validation_fraction to hold out some of the training data")


@dataclass
class FinetuningArguments(TrainingArguments):
    """Trainer's options with defaults for a small head above a frozen biLM."""

    output_dir: str = field(default="elmo-finetuned")
    learning_rate: float = 1e-3
    num_train_epochs: float = 10
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 64
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    save_total_limit: int | None = 1
    load_best_model_at_end: bool = True
    report_to: str | None = "none"
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available, metadata={"help": "By default where there is a GPU."}
    )

    def __post_init__(self):
        self.names_metric = self.metric_for_best_model is not None
        super().__post_init__()

    @property
    def split_seed(self) -> int:
        """Of what is drawn from the data before training."""
        return self.seed if self.data_seed is None else self.data_seed

    def prefer(self, metric: str):
        """The best checkpoint is that with the highest value of this metric, unless the options name another."""
        # Trainer's own default, which it sets by now, is the lowest loss.
        if not self.names_metric:
            self.metric_for_best_model, self.greater_is_better = metric, True


def parse_arguments(
    data_arguments: type[DataArguments],
    description: str | None,
    training_arguments: type[FinetuningArguments] = FinetuningArguments,
) -> tuple[Any, Any, Any]:
    """The command line (or one JSON file of options) as data's, model's and training's arguments."""
    parser = HfArgumentParser((data_arguments, ModelArguments, training_arguments), description=description)
    return parser.parse_args_into_dataclasses()


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
    read_file: Callable[[str], list],
    read_rows: Callable[[Any], list],
    group: Callable[[Any], Any],
) -> dict[str, list]:
    """The items of `train`, `validation` and, where there is one, `test`.

    Args:
        data: which files or data set.
        seed: of what is drawn at random.
        read_file: gives a file's items.
        read_rows: gives the items of a `datasets.Dataset`.
        group: what items have in common that must not stand on both sides of a split, the premise for instance.
    """
    if data.dataset_name is not None:
        from datasets import load_dataset

        loaded = load_dataset(data.dataset_name, data.dataset_config_name)
        splits = {name: read_rows(loaded[name]) for name in ("train", "validation", "test") if name in loaded}
        if "train" not in splits:
            raise ValueError(f"{data.dataset_name} has no split 'train', only {sorted(loaded)}")
    else:
        files = {"train": data.train_file, "validation": data.validation_file, "test": data.test_file}
        splits = {name: read_file(path) for name, path in files.items() if path is not None}
    if "validation" not in splits:
        if not data.validation_fraction:
            raise ValueError("there is no validation split: give --validation_fraction")
        splits["train"], splits["validation"] = hold_out(splits["train"], data.validation_fraction, seed, group)
    for name, items in splits.items():
        if not items:
            raise ValueError(f"the {name} data are empty")
    if data.train_fraction < 1:
        splits["train"] = sample(splits["train"], data.train_fraction, seed)
    if data.max_eval_samples is not None:
        for name in set(splits) - {"train"}:
            splits[name] = sample(splits[name], min(1.0, data.max_eval_samples / len(splits[name])), seed)
    return splits


def load_model(arguments: ModelArguments, auto_class, train_words: Iterable[Sequence[str]], **options):
    """The tokenizer and the model with a new head: `auto_class` is an Auto class or, for tasks without one, the head's
    own; `options` go to its configuration.

    Without ELMo the model is the same head over vectors without context: embeddings of the training data's words
    beside convolutions over their characters, all of which train with the head (the paper's baselines).
    """
    names = ("representation", "num_representations", "context_free_size")
    names += ("head_hidden_size", "head_num_layers", "head_dropout")
    options |= {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.without_elmo:
        # Words seen once train the vector of unknown words.
        tokenizer = ElmoTokenizer.train_from_iterator(train_words, min_frequency=2)
        build = getattr(auto_class, "from_config", auto_class)
        return tokenizer, build(baseline_config(tokenizer, **options))
    tokenizer = AutoTokenizer.from_pretrained(arguments.model_name_or_path)
    reads_words = AutoConfig.from_pretrained(arguments.model_name_or_path).word_embedding_size > 0
    if arguments.context_free_size and not reads_words:
        # The biLM reads characters: the words may be the task's own.
        tokenizer = ElmoTokenizer.train_from_iterator(
            train_words,
            min_frequency=2,
            word_splitting=tokenizer.word_splitting,
            max_characters_per_token=tokenizer.max_characters_per_token,
            character_vocab=tokenizer.character_vocab,
        )
        options["vocab_size"] = tokenizer.vocab_size
    model = auto_class.from_pretrained(arguments.model_name_or_path, freeze_bilm=not arguments.unfreeze, **options)
    return tokenizer, model


def baseline_config(tokenizer: ElmoTokenizer, word_size: int = 100, character_size: int = 100, **options):
    """The configuration of the baseline "without ELMo": a token encoder that trains and no biLM at all."""
    return ElmoConfig(
        **{
            "vocab_size": tokenizer.vocab_size,
            "num_hidden_layers": 0,
            "bidirectional": False,
            "word_embedding_size": word_size,
            "filters": [[3, character_size]],
            "num_highway_layers": 0,
            "projection_size": word_size + character_size,
            "representation": "scalar_mix",
            "freeze_bilm": False,
            **options,
        }
    )


class TaskTrainer(Trainer):
    """Trainer that leaves a model card with the task's results, also when it pushes to the Hub."""

    def __init__(self, *args, card: dict[str, Any], **kwargs):
        super().__init__(*args, **kwargs)
        self.card = card

    def create_model_card(self, *args, **kwargs):
        if self.args.should_save:
            name = checkpoint_name(self.args)
            write_model_card(self.args.output_dir, self.model.config, name=name, **self.card)


def checkpoint_name(training: TrainingArguments) -> str:
    """Under which the model is loaded, as its card says."""
    return training.hub_model_id or Path(training.output_dir).name


Change = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]


class ChangedExamples(Dataset):
    """Examples that `change` makes anew out of others for each epoch.

    What is drawn follows from seed, epoch and index alone, so that training goes on from a checkpoint as if it had
    not stopped, whatever a data loader reads ahead.
    """

    def __init__(self, examples: Sequence[dict[str, Any]], change: Change, seed: int):
        self.examples, self.change, self.seed, self.epoch = examples, change, seed, 0

    def set_epoch(self, epoch: int):
        """Trainer's data loader calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.change(self.examples[index], np.random.default_rng((self.seed, self.epoch, index)))


def finetune(
    model,
    tokenizer: ElmoTokenizer,
    examples: dict[str, list[dict[str, Any]]],
    compute_metrics: Metrics | Mapping[str, Metrics],
    data: DataArguments,
    arguments: ModelArguments,
    training: FinetuningArguments,
    card: dict[str, Any],
    collator: Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]] | None = None,
    change: Change | None = None,
) -> tuple[TaskTrainer, dict[str, Any]]:
    """Trains, and predicts all splits but `train` with the best checkpoint.

    The output folder then has the model, its card, `trainer_state.json` with the curve, and `<split>_results.json`.
    Under several processes all have all predictions, and the one whose `training.should_save` is true writes.

    Args:
        model, tokenizer: of [`load_model`].
        examples: of each split.
        compute_metrics: from Trainer's predictions for a split; or, by split, a function for each of them.
        data, arguments, training: options.
        card: what [`write_model_card`] is told.
        collator: makes batches of examples, by default [`PaddingCollator`].
        change: makes a training example anew for each epoch, a random part of it for instance.

    Returns:
        the trainer, and Trainer's prediction output for each split.
    """
    sets: dict[str, Any] = dict(examples)
    if change is not None:
        sets["train"] = ChangedExamples(examples["train"], change, training.seed)
    if data.cache_layers:
        if not model.config.freeze_bilm:
            raise ValueError("--cache_layers needs a frozen biLM: leave --unfreeze and --without_elmo out")
        model.to(training.device)
        everything = [example for split in examples.values() for example in split]
        with training.main_process_first(local=False):  # the others find the cache complete
            cache = LayerCache.build(data.cache_layers, model.elmo, everything, data.cache_dtype)
        keep_characters = model.config.context_free_size > 0
        sets = {name: CachedLayersDataset(split, cache, keep_characters) for name, split in sets.items()}
    if not isinstance(compute_metrics, Mapping):
        compute_metrics = dict.fromkeys(examples, compute_metrics)
    trainer = TaskTrainer(
        model,
        training,
        data_collator=collator or PaddingCollator(tokenizer),
        train_dataset=sets["train"],
        eval_dataset=sets["validation"],
        processing_class=tokenizer,
        compute_metrics=compute_metrics["validation"],
        optimizers=(make_optimizer(model, arguments, training), None),
        card=card,
    )
    resume = training.resume_from_checkpoint
    if resume == "last":
        resume = get_last_checkpoint(training.output_dir)
    result = trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    trainer.save_metrics("train", result.metrics)
    predictions = {}
    # First the validation data, which may choose what the model predicts the others with and is saved with.
    for name in sorted((name for name in examples if name != "train"), key=lambda name: name != "validation"):
        trainer.compute_metrics = compute_metrics[name]
        predictions[name] = trainer.predict(sets[name], metric_key_prefix=name)
        trainer.log_metrics(name, predictions[name].metrics)
        trainer.save_metrics(name, predictions[name].metrics)
    trainer.save_model()
    card["evaluation"] = describe_results({name: output.metrics for name, output in predictions.items()})
    trainer.create_model_card()
    if training.push_to_hub:
        trainer.push_to_hub()
    return trainer, predictions


def make_optimizer(model, arguments: ModelArguments, training: TrainingArguments) -> torch.optim.Optimizer:
    """AdamW over what trains, with a learning rate of its own for a pretrained biLM."""
    bilm = {id(p) for module in (model.elmo.token_encoder, model.elmo.lstm) for p in module.parameters()}
    pretrained = bilm if arguments.unfreeze else set()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if id(p) not in pretrained], "lr": training.learning_rate},
        {"params": [p for p in parameters if id(p) in pretrained], "lr": arguments.bilm_learning_rate},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(training.adam_beta1, training.adam_beta2),
        eps=training.adam_epsilon,
        weight_decay=training.weight_decay,
    )


def describe_results(metrics: dict[str, dict[str, float]]) -> str:
    """A Markdown table, a row for each split."""
    skipped = ("runtime", "per_second", "_time", "model_preparation")
    rows = {
        split: {
            key.removeprefix(f"{split}_"): value
            for key, value in values.items()
            if not any(word in key for word in skipped)
        }
        for split, values in metrics.items()
    }
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| split | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for split, row in rows.items():
        lines.append(f"| {split} | " + " | ".join(f"{row[name]:.4f}" for name in names) + " |")
    return "\n".join(lines)


def describe_training(data: DataArguments, arguments: ModelArguments, training: FinetuningArguments, size: int) -> str:
    """How the head came to be, for the model card."""
    source = data.dataset_name or Path(data.train_file).name
    base = "word and character embeddings trained with it" if arguments.without_elmo else arguments.model_name_or_path
    bilm = "" if arguments.without_elmo else ", the biLM " + ("trained too" if arguments.unfreeze else "frozen")
    settings = {
        "epochs": training.num_train_epochs,
        "batch size": training.train_batch_size * training.gradient_accumulation_steps * training.world_size,
        "learning rate": training.learning_rate,
        "seed": training.seed,
    }
    details = ", ".join(f"{name} {value:g}" for name, value in settings.items())
    return f"A head fine-tuned on {size} examples of {source}, above {base}{bilm}; {details}, best epoch kept."


def write_summary(training: TrainingArguments, **values):
    """Writes what else a recipe found, beside Trainer's files: `summary.json`. Of several processes one does it."""
    if training.should_save:
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        (Path(training.output_dir) / "summary.json").write_text(text, encoding="utf-8")


__all__ = [
    "DataArguments",
    "FinetuningArguments",
    "ModelArguments",
    "TaskTrainer",
    "checkpoint_name",
    "describe_training",
    "finetune",
    "load_model",
    "load_splits",
    "parse_arguments",
    "set_seed",
    "write_summary",
]
