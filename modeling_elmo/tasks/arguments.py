"""Options that the recipes of all tasks share: of the model, the data and the training."""

import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments


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
    elmo_learning_rate: float = field(
        default=1e-4, metadata={"help": "Of the projection of ELMo's layers, and of the biLM where it trains."}
    )
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
        if self.dataset_name and (self.validation_file or self.test_file):
            raise ValueError("--dataset_name has splits of its own: leave --validation_file and --test_file out")
        if not 0 < self.train_fraction <= 1 or not 0 <= self.validation_fraction < 1:
            raise ValueError("--train_fraction must be in (0, 1] and --validation_fraction in [0, 1)")
        if self.max_eval_samples is not None and self.max_eval_samples < 1:
            raise ValueError(f"--max_eval_samples is {self.max_eval_samples}; it must be at least 1")
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
        if self.optim not in ("adamw_torch", "adamw_torch_fused") or self.optim_args:
            raise ValueError("the recipes train with AdamW of PyTorch: leave --optim and --optim_args out")
        for name in ("dataloader_drop_last", "prediction_loss_only", "batch_eval_metrics"):
            if getattr(self, name):  # Trainer heeds them where it evaluates, too
                raise ValueError(f"the recipes need the predictions for all examples at once: leave --{name} out")
        for name in ("bf16_full_eval", "fp16_full_eval"):
            if getattr(self, name):  # Trainer rounds the model itself, and saves it so
                raise ValueError(f"--{name} would round the weights of the model that is saved: leave it out")
        if not self.eval_do_concat_batches:
            raise ValueError("the recipes need the predictions as one array: leave --eval_do_concat_batches out")

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
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        return parser.parse_json_file(sys.argv[1])
    return parser.parse_args_into_dataclasses()
