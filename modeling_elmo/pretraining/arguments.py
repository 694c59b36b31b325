"""Every option of pretraining, in one place. The defaults are the README's first command: a small model in minutes."""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, get_args, get_type_hints

from transformers import HfArgumentParser

from tokenization_elmo import WORD_SPLITTINGS

from ..configuration_elmo import ElmoConfig, config_of_options
from ..text_files import read_object
from .corpus import EMBEDDED, TextFormat
from .schedules import SCHEDULES


def option(default: Any, text: str) -> Any:
    """A field with its help; a list default is copied."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class DataArguments:
    """Text and vocabulary."""

    train_files: list[str] = option(
        [EMBEDDED],
        "files, folders or globs of text (.txt, .jsonl, .parquet; also .gz, .zst), or one dataset on the "
        "Hub, which is streamed; 'embedded': the English documentation that every installation carries",
    )
    validation_files: list[str] | None = option(
        None,
        "held-out text; files of it in a folder of train_files are not trained on; by default a share of train_files",
    )
    held_out_share: float = option(0.02, "share of the training text that is held out where there are no files for it")
    text_format: str = option(
        "sentences",
        "sentences: tokenised, one a line; paragraphs: raw text, one a line; wrapped: raw text with hard line breaks",
    )
    language: str = option("en", "ISO 639-1 code by whose rules raw text is split into sentences")
    word_splitting: str = option("treebank", "how raw text is split into words: treebank, whitespace or unicode")
    lines_per_record: int = option(1, "consecutive lines that stay together when the text is shuffled")
    dataset_config: str | None = option(None, "configuration of a dataset on the Hub")
    dataset_split: str = option("train", "training split of a dataset on the Hub")
    column: str = option("text", "column of a dataset or table that holds the text")

    vocab_file: str | None = option(None, "one word a line by falling count (elmo vocab); by default counted")
    vocab_size: int | None = option(6000, "rows of the softmax at most, if counted; null keeps all words")
    min_count: int = option(1, "rarer words are <UNK> to the softmax, if counted")

    shuffle: bool = option(True, "whether to shuffle the text anew in each epoch")
    shuffle_buffer: int = option(2**17, "records that are shuffled together")
    num_workers: int | None = option(None, "processes that prepare windows; by default 4 for a GPU, else 0")


@dataclass
class ModelArguments:
    """The network; meanings as in ElmoConfig."""

    init_from: str | None = option(None, "checkpoint whose weights to go on from; the options below then do not count")
    rebuild_vocabulary: bool = option(False, "with init_from: a new vocabulary from this text; known words keep rows")

    character_embedding_size: int = option(16, "width of a character's embedding; 0: the model reads words only")
    filters: list[str] = option(
        ["1:16", "2:32", "3:64", "4:96", "5:96"], "convolutions over characters, each width:number"
    )
    hidden_act: str = option("relu", "activation after the convolutions: relu or tanh")
    num_highway_layers: int = option(1, "highway layers above the convolutions")
    word_embedding_size: int = option(0, "width of a word embedding beside the characters; 0: none")
    num_hidden_layers: int = option(2, "LSTM layers in each direction")
    cell_size: int = option(256, "memory cells of a layer and direction")
    projection_size: int | None = option(96, "width of the LSTM's output; null: no projection")
    cell_clip: float | None = option(3.0, "bound of the cells' values; null: none")
    projection_clip: float | None = option(3.0, "bound of the projected values; null: none")
    forget_bias: float = option(1.0, "constant added to the forget gates; published: 1")
    use_residual: bool = option(True, "whether a layer's input is added to its output, from the second layer on")
    bidirectional: bool = option(True, "whether there is a backward language model too")
    dropout: float = option(0.0, "on each LSTM layer's input and on the last output; published: 0.1, over 10 epochs")
    input_dropout: float | None = option(None, "on the first LSTM layer's input; null: as dropout")
    num_negative_samples: int = option(1000, "words drawn for the sampled softmax; 0: exact")
    adaptive_softmax_cutoffs: list[int] | None = option(None, "word ids at which an adaptive softmax's clusters begin")
    representation: str = option("projection", "how the layers become one vector: projection or scalar_mix")
    representation_size: int = option(512, "width of the projected representation")
    uniform_init: float | None = option(None, "weights start in U(-x, x), highways nearly open; null: as published")


@dataclass
class TrainingArguments:
    """Optimisation, and what is written."""

    output_dir: str = option("elmo-pretrained", "folder of the model, its checkpoints and its logs")
    overwrite: bool = option(False, "begin again although output_dir holds checkpoints, which are deleted")
    seed: int = option(0, "of initial weights, shuffling, dropout and negative samples")

    # Length. A window is unroll_steps words of each of batch_size streams of text.
    batch_size: int = option(32, "streams read side by side, over all processes")
    unroll_steps: int = option(20, "words in a window, beyond which no gradient flows; the LSTM's state does")
    state_reset: float = option(
        0.05,
        "chance that a stream begins a window from the zero state, as every sentence does where the model is used; "
        "published: 0, but then cells may settle where no sentence alone ever takes them",
    )
    accumulation_steps: int = option(1, "parts into which the streams of a step are divided to save memory")
    num_epochs: float | None = option(None, "passes over the training text, which is counted first")
    max_steps: int | None = option(
        None, "windows to train on, whatever num_epochs; neither given: one epoch, of the embedded text 0.7"
    )

    # Optimizer. As published: adagrad, learning_rate 0.2, max_grad_norm 10, loss_times_window.
    optimizer: str = option("adamw", "adamw, adagrad or sgd")
    learning_rate: float = option(5e-3, "at its highest")
    schedule: str = option("cosine", f"of the learning rate: {', '.join(SCHEDULES)}")
    warmup_steps: int = option(100, "steps over which the learning rate rises from 0")
    final_learning_rate: float = option(0.02, "last learning rate of linear and cosine, as a share of the highest")
    plateau_improvement: float = option(1.0, "plateau halves the rate where held-out perplexity falls by less")
    weight_decay: float = option(0.01, "of adamw, for matrices")
    beta2: float = option(0.99, "adamw's decay of the second moment")
    accumulator: float = option(1.0, "adagrad's initial sum of squares")
    max_grad_norm: float | None = option(1.0, "bound of the gradient's norm over all weights; null: none")
    frozen: list[str] = option([], "weights that stay as they start or were, by how their names begin")
    loss_times_window: bool = option(False, "multiply the mean loss by unroll_steps before the gradient, as published")

    # Hardware
    mixed_precision: str = option("no", "autocast: no, bf16 or fp16")
    gradient_checkpointing: bool = option(False, "compute activations again in the backward pass to save memory")
    torch_compile: bool = option(False, "compile the LSTMs")
    cpu: bool = option(False, "stay on the CPU although there is a GPU")

    # Watching
    logging_steps: int = option(50, "steps between lines of progress")
    eval_steps: int | None = option(None, "steps between held-out perplexities; by default a tenth of all")
    eval_batch_size: int | None = option(None, "streams of the held-out text; by default batch_size")
    max_eval_words: int | None = option(None, "held-out words at most; null: all")
    save_steps: int | None = option(None, "steps between checkpoints; by default eval_steps")
    keep_checkpoints: int = option(2, "newest checkpoints to keep, beside the best")
    report_to: list[str] = option([], "trackers of Accelerate that are installed: tensorboard, wandb, ...")
    show_neighbours: bool = option(True, "at the end, show words' neighbours in held-out contexts")


# What numbers must be, beside what ElmoConfig says of the network's. NaN is none of it.
_NUMBERS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (
        "batch_size unroll_steps accumulation_steps logging_steps keep_checkpoints shuffle_buffer num_hidden_layers "
        "lines_per_record min_count vocab_size",
        lambda value: value >= 1,
        "at least 1",
    ),
    (
        "max_steps num_epochs eval_steps save_steps eval_batch_size max_eval_words max_grad_norm learning_rate "
        "uniform_init",
        lambda value: 0 < value < math.inf,
        "positive and finite",
    ),
    (
        "seed num_workers warmup_steps plateau_improvement weight_decay accumulator",
        lambda value: 0 <= value < math.inf,
        "0 or more",
    ),
    (
        "state_reset held_out_share final_learning_rate beta2",
        lambda value: 0 <= value <= 1,
        "between 0 and 1",
    ),
)


@dataclass
class PretrainingArguments:
    """All options together; [`parse_arguments`] makes it."""

    data: DataArguments
    model: ModelArguments
    training: TrainingArguments

    def __post_init__(self):
        data, training = self.data, self.training
        for name, value, choices in (
            ("optimizer", training.optimizer, ("adamw", "adagrad", "sgd")),
            ("schedule", training.schedule, tuple(SCHEDULES)),
            ("mixed_precision", training.mixed_precision, ("no", "bf16", "fp16")),
            ("text_format", data.text_format, get_args(TextFormat)),
            ("word_splitting", data.word_splitting, WORD_SPLITTINGS),
        ):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
        options = self.as_dict()
        for names, fits, words in _NUMBERS:
            for name in names.split():
                value = options[name]
                if value is not None and not fits(value):
                    raise ValueError(f"{name} is {value}; it must be {words}")
        if self.model.rebuild_vocabulary and not self.model.init_from:
            raise ValueError("rebuild_vocabulary is for going on from a checkpoint: give init_from too")

    def as_dict(self) -> dict[str, Any]:
        """All options, flat: what a recipe may hold."""
        return asdict(self.data) | asdict(self.model) | asdict(self.training)

    def config(self, vocab_size: int, **token_ids: int | None) -> ElmoConfig:
        """The configuration of a new model; `token_ids` are those of the special tokens, by default as in ElmoConfig.

        Raises:
            ValueError: the options contradict each other, or the vocabulary.
        """
        known = {f.name for f in fields(ModelArguments)} - {"init_from", "rebuild_vocabulary", "uniform_init"}
        options = {name: getattr(self.model, name) for name in known}
        options["filters"] = [_filter(entry) for entry in self.model.filters]
        return config_of_options(vocab_size=vocab_size, **token_ids, **options)


def parse_arguments(arguments: list[str] | None = None) -> PretrainingArguments:
    """Options from the command line. A first argument that ends in .json is a recipe: a file with options by name,
    which the flags after it override; null is null in both.

    Raises:
        ValueError: the recipe is no JSON object or holds an unknown option, or options contradict each other.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = HfArgumentParser((DataArguments, ModelArguments, TrainingArguments), description=__doc__)
    types = _option_types()
    for action in parser._actions:
        if type(None) in get_args(types.get(action.dest)):
            action.type = _or_null(action.type)
    if arguments and arguments[0].endswith(".json"):
        parser.set_defaults(**_read_recipe(Path(arguments.pop(0))))
    groups = parser.parse_args_into_dataclasses(arguments)
    for group in groups:
        for name, value in vars(group).items():
            if value == [None]:  # an option that takes several values
                setattr(group, name, None)
    return PretrainingArguments(*groups)


def _read_recipe(path: Path) -> dict[str, Any]:
    recipe = read_object(path)
    types = _option_types()
    for name, value in recipe.items():
        if name not in types:
            raise ValueError(f"recipe {path}: no option is called {name!r}; --help lists them")
        if not _fits(value, types[name]):
            raise ValueError(f"recipe {path}: {name} is {value!r}; it must be of type {types[name]}")
    return recipe


def _option_types() -> dict[str, Any]:
    groups = (DataArguments, ModelArguments, TrainingArguments)
    return {name: kind for group in groups for name, kind in get_type_hints(group).items()}


def _or_null(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    @wraps(kind)  # whose name stands in argparse's messages
    def read(text: str) -> Any:
        return None if text == "null" else kind(text)

    return read


def _fits(value: Any, kind: Any) -> bool:
    options = getattr(kind, "__args__", None)
    origin = getattr(kind, "__origin__", None)
    if origin is list:
        return isinstance(value, list) and all(_fits(entry, options[0]) for entry in value)
    if options:
        return any(_fits(value, each) for each in options)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _filter(entry: str) -> list[int]:
    width, _, number = entry.partition(":")
    if not (width.isdigit() and number.isdigit()):
        raise ValueError(f"filters has {entry!r}; an entry is width:number, for example 3:64")
    return [int(width), int(number)]
