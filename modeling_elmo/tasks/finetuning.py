"""Fine-tuning of a task head: the model or its baseline, training with Trainer, prediction."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import Dataset, SequentialSampler
from transformers import AutoConfig, AutoTokenizer, EvalPrediction, Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, PredictionOutput

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import ElmoConfig, config_of_options, word_fields
from ..layer_combination import ElmoProjection
from ..model_card import write_model_card
from .arguments import DataArguments, FinetuningArguments, ModelArguments
from .examples import PaddingCollator
from .layer_cache import CachedLayersDataset, LayerCache
from .reports import checkpoint_name, describe_results, describe_training, plain_metrics

Metrics = Callable[[EvalPrediction], dict[str, float]]
Change = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]


def load_model(arguments: ModelArguments, auto_class, train_texts: Iterable[str | Sequence[str]], **options):
    """The tokenizer and the model with a new head: `auto_class` is an Auto class or, for tasks without one, the head's
    own; the vocabulary of words that train with it is that of `train_texts`, raw or as words; `options` go to its
    configuration.

    Without ELMo the model is the same head over vectors without context: embeddings of the training data's words
    beside convolutions over their characters, all of which train with the head (the paper's baselines).

    Raises:
        ValueError: naming the option whose value a configuration may not have, or a checkpoint whose head does not
            fit.
    """
    names = ("representation", "num_representations", "context_free_size")
    names += ("head_hidden_size", "head_num_layers", "head_dropout")
    options |= {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    config_of_options(**options)  # `from_pretrained` does not check them
    if arguments.without_elmo:
        # Words seen once train the vector of unknown words.
        tokenizer = ElmoTokenizer.train_from_iterator(train_texts, min_frequency=2)
        build = getattr(auto_class, "from_config", auto_class)
        return tokenizer, build(baseline_config(tokenizer, **options))
    tokenizer = AutoTokenizer.from_pretrained(arguments.model_name_or_path)
    reads_words = AutoConfig.from_pretrained(arguments.model_name_or_path).word_embedding_size > 0
    if arguments.context_free_size and not reads_words:
        # The biLM reads characters: the words may be the task's own.
        tokenizer = ElmoTokenizer.train_from_iterator(
            train_texts,
            min_frequency=2,
            word_splitting=tokenizer.word_splitting,
            max_characters_per_token=tokenizer.max_characters_per_token,
            character_vocab=tokenizer.character_vocab,
        )
        options |= word_fields(tokenizer)
    # Whatever it was saved in: AdamW's steps are smaller than what float16 and bfloat16 tell apart.
    options["dtype"] = torch.float32
    try:
        model = auto_class.from_pretrained(arguments.model_name_or_path, freeze_bilm=not arguments.unfreeze, **options)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ValueError(
            f"{arguments.model_name_or_path} has a head already, with other sizes or labels than this one's: give the "
            "pretrained ELMo that it was fine-tuned from"
        ) from error
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


def label_options(labels: Sequence[str]) -> dict[str, dict]:
    """The names and numbers of the labels, for a configuration."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


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


class TaskTrainer(Trainer):
    """Trainer that predicts in the order of the examples, with the same model in all processes, and leaves a model
    card with the task's results, also when it pushes to the Hub."""

    def __init__(self, *args, card: dict[str, Any], **kwargs):
        super().__init__(*args, **kwargs)
        self.card = card

    def create_model_card(self, *args, **kwargs):
        if self.args.should_save:
            name = checkpoint_name(self.args)
            write_model_card(self.args.output_dir, self.model.config, name=name, **self.card)

    def evaluation_loop(self, *args, **kwargs):
        if dist.is_available() and dist.is_initialized():
            # Each process has measured batches of its own since it was last told the first one's statistics, which
            # are saved.
            for buffer in self.model.standardizations.buffers():
                dist.broadcast(buffer, 0)
        return super().evaluation_loop(*args, **kwargs)

    def _get_eval_sampler(self, eval_dataset: Dataset) -> SequentialSampler:
        # Trainer's own groups by length here too; but a prediction belongs to an example by its place.
        return SequentialSampler(eval_dataset)

    def _track_num_input_tokens(self, inputs: dict[str, torch.Tensor]):
        # Trainer counts the numbers of the model's main input, fifty characters a word; cached layers have none.
        super()._track_num_input_tokens(inputs | {self.model.main_input_name: inputs["attention_mask"]})


def finetune(
    model,
    tokenizer: ElmoTokenizer,
    examples: dict[str, list[dict[str, Any]]],
    metrics_of: Callable[[str], Metrics],
    data: DataArguments,
    arguments: ModelArguments,
    training: FinetuningArguments,
    summary: str,
    usage: str | None = None,
    train_size: int | None = None,
    collator: Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]] | None = None,
    change: Change | None = None,
) -> tuple[TaskTrainer, dict[str, PredictionOutput], dict[str, dict[str, float]]]:
    """Trains, and predicts all splits but `train` with the best checkpoint.

    The output folder then has the model, its card, `trainer_state.json` with the curve, and `<split>_results.json`.
    Under several processes all have all predictions, and the one whose `training.should_save` is true writes.

    Args:
        model, tokenizer: of [`load_model`].
        examples: of each split.
        metrics_of: for the name of a split, what makes metrics of Trainer's predictions for it.
        data, arguments, training: options.
        summary: for the model card, what the model is.
        usage: for the model card, Python code in which `{name}` is the model; by default that of its Auto class.
        train_size: for the model card, how many examples are trained on where one makes several of `examples`.
        collator: makes batches of examples, by default [`PaddingCollator`].
        change: makes a training example anew for each epoch, a random part of it for instance.

    Returns:
        the trainer, and for each split Trainer's prediction output, and the metrics under their own names.
    """
    if training.label_smoothing_factor and model.config.problem_type != "single_label_classification":
        # Trainer's loss, which stands in for the head's own.
        raise ValueError("--label_smoothing_factor is for texts of one class each: leave it out")
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
    dataset = hub_name(data.dataset_name)
    card = {
        "summary": summary,
        "origin": describe_training(data, arguments, training, train_size or len(examples["train"])),
        "word_splitting": tokenizer.word_splitting,
        "datasets": [dataset] if dataset else [],
        "base_model": hub_name(arguments.model_name_or_path),
        "usage": usage and usage.format(name=checkpoint_name(training)),
    }
    trainer = TaskTrainer(
        model,
        training,
        data_collator=collator or PaddingCollator(tokenizer),
        train_dataset=sets["train"],
        eval_dataset=sets["validation"],
        processing_class=tokenizer,
        compute_metrics=metrics_of("validation"),
        optimizers=(make_optimizer(model, arguments, training), None),
        card=card,
    )
    resume = training.resume_from_checkpoint
    if resume == "last":
        resume = last_checkpoint(training.output_dir)
    result = trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    trainer.save_metrics("train", result.metrics)
    predictions = {}
    # First the validation data, which may choose what the model predicts the others with and is saved with.
    for name in sorted((name for name in examples if name != "train"), key=lambda name: name != "validation"):
        trainer.compute_metrics = metrics_of(name)
        predictions[name] = trainer.predict(sets[name], metric_key_prefix=name)
        trainer.log_metrics(name, predictions[name].metrics)
        trainer.save_metrics(name, predictions[name].metrics)
    trainer.save_model()
    metrics = {name: plain_metrics(output.metrics, name) for name, output in predictions.items()}
    card["evaluation"] = describe_results(metrics)
    trainer.create_model_card()
    if training.push_to_hub:
        trainer.push_to_hub()
    return trainer, predictions, metrics


def hub_name(name: str | None) -> str | None:
    """The name, unless it is a folder's here."""
    return None if name is None or Path(name).exists() else name


def last_checkpoint(output_dir: str) -> str | None:
    """The newest of Trainer's checkpoints that is complete: of one that was being written when the process was killed
    the state, which comes last, is missing."""
    steps = {}
    for folder in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        step = folder.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
        if step.isdecimal() and (folder / TRAINER_STATE_NAME).is_file():
            steps[int(step)] = str(folder)
    return steps[max(steps)] if steps else None


def make_optimizer(model, arguments: ModelArguments, training: FinetuningArguments) -> torch.optim.Optimizer:
    """AdamW over what trains, with a learning rate of its own for what is no young head's: ELMo's projection, which
    starts as a good average of the layers, and the biLM, where it trains."""
    modules = [each for each in model.elmo.combinations if isinstance(each, ElmoProjection)]
    if arguments.unfreeze:
        modules += [model.elmo.token_encoder, model.elmo.lstm]
    elmo = {id(parameter) for module in modules for parameter in module.parameters()}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if id(p) not in elmo], "lr": training.learning_rate},
        {"params": [p for p in parameters if id(p) in elmo], "lr": arguments.elmo_learning_rate},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(training.adam_beta1, training.adam_beta2),
        eps=training.adam_epsilon,
        weight_decay=training.weight_decay,
    )
