"""A whole pretraining: text, vocabulary, model, training, and what is left behind for others."""

import json
import math
import os
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from transformers import AutoTokenizer
from transformers.utils import logging

from tokenization_elmo import ElmoTokenizer

from ..configuration_elmo import word_fields
from ..matrix_products import has_kernels_of
from ..model_card import write_model_card
from ..modeling_elmo_pretraining import ElmoForPreTraining
from .arguments import DataArguments, PretrainingArguments, TrainingArguments
from .checkpoints import FOLDER, replace_file, saved_checkpoints
from .corpus import EMBEDDED, Corpus, open_corpus
from .learning_curve import draw_learning_curve
from .neighbours import print_neighbours
from .progress import clock_time
from .trainer import PretrainingTrainer
from .vocabulary import SPECIAL_WORDS, WordCounts, count_words, unigram_perplexity, write_vocabulary
from .warm_start import check_initial_model, load_initial_model

ARGUMENTS_FILE, VOCABULARY_FILE, FACTS_FILE = "pretraining.json", "vocab.txt", "text.json"
NEIGHBOUR_SENTENCES = 2000
LARGEST_VOCABULARY = 2**31
EMBEDDED_EPOCHS = 0.7  # some three minutes on two cores, the making of the text included


@dataclass(frozen=True)
class TextFacts:
    """What counting the training text has shown; `None` where it was not counted.

    Attributes:
        num_positions: words and sentence ends of the training text.
        unigram: held-out perplexity of a model that knows only how frequent the words are.
    """

    num_positions: int | None = None
    unigram: float | None = None


def pretrain(arguments: PretrainingArguments) -> Path:
    """Runs or resumes a pretraining; returns the folder with the model."""
    options = arguments.training
    # What can be wrong whatever the text is wrong now, not after its words are counted.
    check_trackers(options.report_to)
    arguments.config(LARGEST_VOCABULARY)
    check_initial_model(arguments.model)
    output_dir = Path(options.output_dir)
    logging.disable_progress_bar()  # of files that are written in an instant
    accelerator = Accelerator(
        cpu=options.cpu,
        mixed_precision=options.mixed_precision,
        log_with=options.report_to or None,
        project_dir=str(output_dir),
        # One process counts the words of the corpus while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=12))],
    )
    if options.mixed_precision == "fp16" and accelerator.scaler is None:
        raise ValueError(
            f"mixed_precision is fp16, for which there is no loss scaling on {accelerator.device}: choose bf16 or no"
        )
    if options.mixed_precision == "bf16" and accelerator.device.type == "cpu" and not has_kernels_of(torch.bfloat16):
        accelerator.print(
            "warning: this processor has no instructions for bf16: it multiplies in fp32 all the same, and with "
            "mixed_precision no it need not convert"
        )
    check_batch_sizes(options, accelerator.num_processes)
    if accelerator.is_main_process:
        if options.overwrite or not saved_checkpoints(output_dir):  # what was counted is of another run, or of none
            (output_dir / FACTS_FILE).unlink(missing_ok=True)
        output_dir.mkdir(parents=True, exist_ok=True)
    corpus, held_out = first_on_main(accelerator, lambda: open_texts(arguments.data))
    tokenizer, facts = first_on_main(accelerator, lambda: prepare_vocabulary(arguments, corpus, held_out, accelerator))
    max_steps = number_of_steps(arguments, facts)

    torch.manual_seed(options.seed)
    if arguments.model.init_from:
        model = load_initial_model(arguments.model, tokenizer)
    else:
        model = ElmoForPreTraining(arguments.config(**word_fields(tokenizer)))
    freeze(model, options.frozen)
    if arguments.model.uniform_init is not None and not arguments.model.init_from:
        initialize_uniformly(model, arguments.model.uniform_init)
    model.to(accelerator.device)
    if accelerator.num_processes > 1:
        for parameter in model.parameters():
            dist.broadcast(parameter.data, 0)

    trainer = PretrainingTrainer(
        model, tokenizer, corpus, held_out, arguments, accelerator, max_steps, unigram=facts.unigram
    )
    if options.overwrite and accelerator.is_main_process:  # now that nothing else can be wrong
        shutil.rmtree(output_dir / FOLDER, ignore_errors=True)
    accelerator.wait_for_everyone()
    trainer.resume()
    if options.report_to:
        simple = {k: v if isinstance(v, int | float | str) else str(v) for k, v in arguments.as_dict().items()}
        # What a killed process has logged after its last checkpoint is logged again.
        purge = {"purge_step": trainer.state.step + 1 if trainer.state.step else 0}
        accelerator.init_trackers("pretraining", config=simple, init_kwargs={"tensorboard": purge})
    if accelerator.is_main_process:
        replace_file(output_dir / ARGUMENTS_FILE, json.dumps(arguments.as_dict(), indent=1))
    finished = trainer.train()
    if finished and accelerator.is_main_process:
        leave_behind(trainer, held_out, facts)
    accelerator.end_training()
    return output_dir


def check_batch_sizes(options: TrainingArguments, num_processes: int):
    """Raises a ValueError unless the streams of training and of evaluation can be divided among the processes, and
    those of training in each process into the parts of a step."""
    for name in ("batch_size", "eval_batch_size"):
        size = getattr(options, name)
        if size is not None and size % num_processes:
            raise ValueError(f"{name} {size} cannot be divided among {num_processes} processes")
    local, parts = options.batch_size // num_processes, options.accumulation_steps
    if local % parts:
        raise ValueError(f"accumulation_steps {parts} cannot divide the {local} streams of a process into equal parts")


def freeze(model: ElmoForPreTraining, names: list[str]):
    """Lets the weights whose names begin so be as they are.

    Raises:
        ValueError: a beginning that no name has, or nothing is left that trains.
    """
    for name in names:
        found = [parameter for key, parameter in model.named_parameters() if f"{key}.".startswith(f"{name}.")]
        if not found:
            modules = ", ".join(key for key, _ in model.elmo.named_children())
            raise ValueError(
                f"frozen: no weight's name begins with {name!r}; parts are softmax and, of elmo, {modules}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"frozen: {', '.join(names)} are all weights, so that nothing would train")


@torch.no_grad()
def initialize_uniformly(model: ElmoForPreTraining, bound: float):
    """What trains in U(-bound, bound); the biases of the highway layers around where they start otherwise."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.uniform_(-bound, bound)
    for module in model.modules():
        if getattr(module, "initial_bias", 0.0) and module.bias.requires_grad:
            module.bias += module.initial_bias


def check_trackers(names: list[str]):
    """Accelerate leaves out a tracker that is not installed, and says nothing."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ValueError(f"report_to has {name!r}; choose of {', '.join(LOGGER_TYPE_TO_CLASS)}")
        if name not in map(str, get_available_trackers()):
            raise ValueError(f"report_to has {name!r}, which is not installed: install it, or leave it out")


def open_texts(data: DataArguments) -> tuple[Corpus, Corpus]:
    """Training and held-out text."""
    options: dict[str, Any] = {
        "text_format": data.text_format,
        "language": data.language,
        "lines_per_record": data.lines_per_record,
        "column": data.column,
    }
    source = data.train_files[0] if len(data.train_files) == 1 else data.train_files
    corpus = open_corpus(source, split=data.dataset_split, configuration=data.dataset_config, **options)
    if not data.validation_files:
        return corpus.split(data.held_out_share)
    held_out = open_corpus(data.validation_files, **options)
    return corpus.without(held_out), held_out


def prepare_vocabulary(
    arguments: PretrainingArguments, corpus: Corpus, held_out: Corpus, accelerator: Accelerator
) -> tuple[ElmoTokenizer, TextFacts]:
    """The tokenizer, and what is known of the text. The main process leaves both in the output folder for the others,
    and for a run that goes on."""
    data, model = arguments.data, arguments.model
    output_dir = Path(arguments.training.output_dir)
    vocabulary_path, facts_path = output_dir / VOCABULARY_FILE, output_dir / FACTS_FILE
    keep = model.init_from is not None and not model.rebuild_vocabulary
    facts = TextFacts(**json.loads(facts_path.read_text(encoding="utf-8"))) if facts_path.exists() else None
    if facts is None or (facts.num_positions is None and arguments.training.max_steps is None):
        if not has_text(corpus):
            raise ValueError(
                f"the training text is empty: there is no text in {', '.join(data.train_files)}"
                + ("" if data.validation_files else ", or none that is not held out: give a smaller held_out_share")
            )
        if not has_text(held_out):
            raise ValueError(
                "the held-out text is empty: give validation_files with text in them, or without them a larger "
                f"held_out_share than {data.held_out_share}"
            )
        tokenizer = counts = None
        if keep:
            tokenizer = AutoTokenizer.from_pretrained(model.init_from)
        elif data.vocab_file:
            tokenizer = ElmoTokenizer.from_vocab_file(data.vocab_file, word_splitting=data.word_splitting)
        splitter = tokenizer or ElmoTokenizer(word_splitting=data.word_splitting)
        if tokenizer is None or arguments.training.max_steps is None:
            accelerator.print("counting the words of the training text ...", flush=True)
            processes = os.cpu_count() or 1
            counts = count_words(
                corpus,
                splitter.split_words,
                min_count=data.min_count if tokenizer is None else 1,
                max_size=data.vocab_size if tokenizer is None else None,
                num_processes=min(8, processes) if corpus.is_local and len(corpus.shards) > 1 else 1,
            )
        if tokenizer is None:
            tokenizer = ElmoTokenizer(vocab=counts.vocabulary, word_splitting=data.word_splitting)
        rows = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
        if not keep:
            write_vocabulary(vocabulary_path, rows)
        facts = describe_text(arguments, counts, rows, held_out, splitter)
        if facts.num_positions is not None:
            accelerator.print(f"training text: {facts.num_positions:,} words and sentence ends")
        replace_file(facts_path, json.dumps(asdict(facts)))
    if keep:
        return AutoTokenizer.from_pretrained(model.init_from), facts
    return ElmoTokenizer.from_vocab_file(vocabulary_path, word_splitting=data.word_splitting), facts


def has_text(corpus: Corpus) -> bool:
    return any(True for shard in range(len(corpus.shards)) for _ in corpus.records(shard))


def describe_text(
    arguments: PretrainingArguments,
    counts: WordCounts | None,
    rows: list[str],
    held_out: Corpus,
    splitter: ElmoTokenizer,
) -> TextFacts:
    if counts is None:
        return TextFacts()
    # A vocabulary that is given may have words that the text lacks.
    words = {word: counts.counts.get(word, 0) for word in rows if word not in SPECIAL_WORDS}
    counts = replace(counts, counts=words)
    sentences = held_out.sentences(splitter.split_words)
    return TextFacts(counts.num_positions, unigram_perplexity(counts, sentences))


def number_of_steps(arguments: PretrainingArguments, facts: TextFacts) -> int:
    options = arguments.training
    if options.max_steps is not None:
        return options.max_steps
    words_per_step = options.batch_size * options.unroll_steps
    num_epochs = options.num_epochs or (EMBEDDED_EPOCHS if arguments.data.train_files == [EMBEDDED] else 1.0)
    return max(1, math.ceil(num_epochs * facts.num_positions / words_per_step))


def first_on_main(accelerator: Accelerator, function):
    """Calls `function` in the main process, and then, what it has left on the disk being there, in the others."""
    with accelerator.main_process_first():
        return function()


def leave_behind(trainer: PretrainingTrainer, held_out: Corpus, facts: TextFacts):
    """Model, model card, learning curve; and, on the screen, a look at what was learned."""
    output_dir, state, arguments = trainer.output_dir, trainer.state, trainer.all_arguments
    options, source = arguments.training, arguments.model.init_from
    trainer.save_best()
    draw_learning_curve(output_dir / "learning_curve.png", state.losses, state.evaluations, facts.unigram)
    best = next(each for each in state.evaluations if each["step"] == state.best_step)
    reached = f"{best['forward']:.1f} forward"
    if best["backward"] is not None:
        reached += f", {best['backward']:.1f} backward"
    unigram = "" if facts.unigram is None else f" (a unigram model has {facts.unigram:.1f})"
    write_model_card(
        output_dir,
        trainer.model.config,
        name=output_dir.name,
        summary=f"An ELMo language model, {f'trained further from `{source}`' if source else 'trained from scratch'}.",
        origin=(
            f"Trained on {state.words:,} words in {clock_time(state.seconds)}: {state.step:,} steps of "
            f"{options.batch_size} streams x {options.unroll_steps} words, {options.optimizer} with learning rate "
            f"{options.learning_rate}. All options: `{ARGUMENTS_FILE}`."
        ),
        evaluation=f"Perplexity of held-out text, exact softmax: {reached}{unigram}.",
        word_splitting=trainer.tokenizer.word_splitting,
        language=[arguments.data.language],
    )
    print(f"best held-out perplexity: {reached} at step {best['step']:,}{unigram}")
    print(f"model, learning curve and options: {output_dir}", flush=True)
    sentences = (s for s in held_out.sentences(trainer.tokenizer.split_words) if 6 <= len(s) <= 40)
    shown = list(islice(sentences, NEIGHBOUR_SENTENCES)) if options.show_neighbours else []
    if shown:
        print("\nNearest neighbours of a word in two contexts, in held-out sentences, by AutoModel:")
        print_neighbours(output_dir, shown)
