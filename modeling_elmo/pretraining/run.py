"""A whole pretraining: text, vocabulary, model, training, and what is left behind for others."""

import json
import math
import shutil
from datetime import timedelta
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from transformers.utils import logging

from ..matrix_products import has_kernels_of
from ..model_card import write_model_card
from ..text_files import replace_file
from .arguments import PretrainingArguments, TrainingArguments
from .checkpoints import FOLDER, saved_checkpoints
from .corpus import EMBEDDED, Corpus
from .initial_model import check_initial_model, make_initial_model
from .learning_curve import draw_learning_curve
from .memory import keep_freed_memory
from .neighbours import print_neighbours
from .progress import clock_time
from .texts import FACTS_FILE, TextFacts, open_texts, prepare_vocabulary
from .trainer import PretrainingTrainer

ARGUMENTS_FILE = "pretraining.json"
NEIGHBOUR_SENTENCES = 2000
LARGEST_VOCABULARY = 2**31
EMBEDDED_EPOCHS = 0.7  # some three minutes on two cores, the making of the text included


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
        # Said of machines without GPUs too: else each of several processes would take itself for the only one.
        cpu=options.cpu or not torch.accelerator.is_available(),
        mixed_precision=options.mixed_precision,
        log_with=options.report_to or None,
        project_dir=str(output_dir),
        # One process counts the words of the corpus while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=12))],
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    check_precision(options.mixed_precision, accelerator)
    check_batch_sizes(options, accelerator.num_processes)
    if accelerator.is_main_process:
        if options.overwrite or not saved_checkpoints(output_dir):  # what was counted is of another run, or of none
            (output_dir / FACTS_FILE).unlink(missing_ok=True)
        output_dir.mkdir(parents=True, exist_ok=True)
    # The other processes find on the disk what the main one has left there.
    with accelerator.main_process_first():
        corpus, held_out = open_texts(arguments.data)
    with accelerator.main_process_first():
        tokenizer, facts = prepare_vocabulary(arguments, corpus, held_out, accelerator)
    max_steps = number_of_steps(arguments, facts)

    torch.manual_seed(options.seed)
    model = make_initial_model(arguments, tokenizer).to(accelerator.device)
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


def check_precision(mixed_precision: str, accelerator: Accelerator):
    """Raises a ValueError if the device cannot train so, and warns if it cannot do so well."""
    if mixed_precision == "fp16" and accelerator.scaler is None:
        raise ValueError(
            f"mixed_precision is fp16, for which there is no loss scaling on {accelerator.device}: choose bf16 or no"
        )
    if mixed_precision == "bf16" and accelerator.device.type == "cpu" and not has_kernels_of(torch.bfloat16):
        accelerator.print(
            "warning: this processor has no instructions for bf16: it multiplies in fp32 all the same, and with "
            "mixed_precision no it need not convert"
        )


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


def check_trackers(names: list[str]):
    """Accelerate leaves out a tracker that is not installed, and says nothing."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ValueError(f"report_to has {name!r}; choose of {', '.join(LOGGER_TYPE_TO_CLASS)}")
        if name not in map(str, get_available_trackers()):
            raise ValueError(f"report_to has {name!r}, which is not installed: install it, or leave it out")


def number_of_steps(arguments: PretrainingArguments, facts: TextFacts) -> int:
    options = arguments.training
    if options.max_steps is not None:
        return options.max_steps
    words_per_step = options.batch_size * options.unroll_steps
    num_epochs = options.num_epochs or (EMBEDDED_EPOCHS if arguments.data.train_files == [EMBEDDED] else 1.0)
    return max(1, math.ceil(num_epochs * facts.num_positions / words_per_step))


def leave_behind(trainer: PretrainingTrainer, held_out: Corpus, facts: TextFacts):
    """Model, model card, learning curve; and, on the screen, a look at what was learned."""
    output_dir, state, arguments = trainer.output_dir, trainer.state, trainer.arguments
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
