"""What a fine-tuning leaves to be read: the model card's texts, and a summary of results."""

import json
from pathlib import Path

from transformers import TrainingArguments

from .arguments import DataArguments, FinetuningArguments, ModelArguments


def checkpoint_name(training: TrainingArguments) -> str:
    """Under which the model is loaded, as its card says."""
    return training.hub_model_id or Path(training.output_dir).name


def plain_metrics(metrics: dict[str, float], split: str) -> dict[str, float]:
    """Trainer's metrics of a split under their own names, without times and memory."""
    skipped = ("runtime", "per_second", "_time", "model_preparation", "_mem_")
    return {
        key.removeprefix(f"{split}_"): value
        for key, value in metrics.items()
        if not any(word in key for word in skipped)
    }


def describe_results(metrics: dict[str, dict[str, float]]) -> str:
    """A Markdown table, a row for each split."""
    names = list(dict.fromkeys(name for row in metrics.values() for name in row))
    lines = ["| split | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for split, row in metrics.items():
        lines.append(f"| {split} | " + " | ".join(f"{row[name]:.4f}" for name in names) + " |")
    return "\n".join(lines)


def describe_training(data: DataArguments, arguments: ModelArguments, training: FinetuningArguments, size: int) -> str:
    """How the head came to be, for the model card."""
    source = data.dataset_name or Path(data.train_file).name
    base = "word and character embeddings trained with it" if arguments.without_elmo else arguments.model_name_or_path
    bilm = "" if arguments.without_elmo else ", the biLM " + ("trained too" if arguments.unfreeze else "frozen")
    length = {"epochs": training.num_train_epochs} if training.max_steps <= 0 else {"steps": training.max_steps}
    settings = length | {
        "batch size": training.train_batch_size * training.gradient_accumulation_steps * training.world_size,
        "learning rate": training.learning_rate,
        "seed": training.seed,
    }
    details = ", ".join(f"{name} {value:g}" for name, value in settings.items())
    kept = "best epoch" if training.eval_strategy == "epoch" else "best checkpoint"
    kept = f", {kept} kept" if training.load_best_model_at_end else ""
    return f"A head fine-tuned on {size} examples of {source}, above {base}{bilm}; {details}{kept}."


def write_summary(training: TrainingArguments, **values):
    """Writes what else a recipe found, beside Trainer's files: `summary.json`. Of several processes one does it."""
    if training.should_save:
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        (Path(training.output_dir) / "summary.json").write_text(text, encoding="utf-8")
