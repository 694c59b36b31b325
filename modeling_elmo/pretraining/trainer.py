"""The training of a bidirectional language model on continuous streams (Peters et al., 2018, section 3.1)."""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator

from ..modeling_elmo_pretraining import ElmoForPreTraining
from ..softmax import NegativeSamples, sample_log_uniform
from .arguments import PretrainingArguments
from .checkpoints import (
    check_same_run,
    checkpoint_path,
    clean_up,
    keep_checkpoints,
    load_tensors,
    saved_checkpoints,
    write_checkpoint,
)
from .corpus import Corpus
from .evaluation import evaluate
from .optimizers import clip_gradients, make_optimizers, sum_gradients
from .progress import Progress
from .schedules import learning_rate_share, plateau_share
from .stop_request import StopRequest
from .windows import Window, WindowLoader, merge_states

# How often several processes ask each other whether one of them was told to stop.
STOP_CHECK_STEPS = 10
# Records that evaluation reads at once.
EVALUATION_BUFFER = 1024
STATE_FILE, OPTIMIZER_FILE = "trainer_state.json", "optimizer.pt"


@dataclass
class TrainerState:
    """Where a run stands; travels in its checkpoints.

    Attributes:
        step: steps done.
        words: words read in each direction, over all processes.
        seconds: spent on training steps.
        best_step, best_perplexity: of the best held-out perplexity since training began (mean over directions).
        losses: `step`, `words`, `loss` at every line of progress; the mean since the line before.
        evaluations: `step`, `words`, `seconds`, `forward`, `backward` perplexity.
    """

    step: int = 0
    words: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best_perplexity: float = math.inf
    losses: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)


class PretrainingTrainer:
    """Trains a model on a corpus, and resumes exactly where an earlier process of the same run left off.

    The gradient of a step is that of the mean loss over the global batch, whatever the number of processes and of
    parts (`accumulation_steps`) that it is divided among: the negatives of a step depend on seed and step only. The
    model is not wrapped: gradients are summed over the processes explicitly, sparse ones by their rows.

    Args:
        model: on its device.
        tokenizer: with the vocabulary of the softmax.
        corpus, held_out: text to train on and to evaluate on.
        arguments: all options.
        accelerator: gives device, processes, autocast and trackers.
        max_steps: steps in all.
        unigram: held-out perplexity of a model without context, to compare with.
    """

    def __init__(
        self,
        model: ElmoForPreTraining,
        tokenizer,
        corpus: Corpus,
        held_out: Corpus,
        arguments: PretrainingArguments,
        accelerator: Accelerator,
        max_steps: int,
        unigram: float | None = None,
    ):
        self.model, self.tokenizer, self.held_out = model, tokenizer, held_out
        self.arguments, self.options, self.accelerator = arguments, arguments.training, accelerator
        self.max_steps, self.unigram = max_steps, unigram
        self.output_dir = Path(self.options.output_dir)
        self.world_size, self.rank = accelerator.num_processes, accelerator.process_index
        options = self.options
        workers = arguments.data.num_workers
        if workers is None:
            workers = 4 if accelerator.device.type == "cuda" else 0
        self.local_rows = options.batch_size // self.world_size
        self.loader = WindowLoader(
            corpus,
            tokenizer,
            batch_size=options.batch_size,
            unroll_steps=options.unroll_steps,
            seed=options.seed,
            shuffle=arguments.data.shuffle,
            shuffle_buffer=arguments.data.shuffle_buffer,
            num_workers=workers,
            **self._stream_options(),
        )
        self.optimizers = make_optimizers(model, options)
        self.parameters = [p for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]]
        self.state = TrainerState()
        self.progress = Progress(model, options, accelerator, max_steps)
        self.saved_step: int | None = None
        self.loss_sum = torch.zeros((), device=accelerator.device)  # of this process since the last line of progress
        self.lstm_state: tuple[torch.Tensor, torch.Tensor] | None = None
        self.eval_steps = options.eval_steps or max(1, math.ceil(max_steps / 10))
        self.save_steps = options.save_steps or self.eval_steps
        if options.gradient_checkpointing:
            model.activation_checkpointing_enable()
        if options.torch_compile:
            model.elmo.lstm.compile()

    def _stream_options(self) -> dict[str, Any]:
        config = self.model.config
        return {
            "rank": self.rank,
            "world_size": self.world_size,
            "bidirectional": config.bidirectional,
            "characters": config.character_embedding_size > 0,
        }

    # The run

    def train(self) -> bool:
        """Trains to the last step, or until SIGTERM or SIGINT; true if it has come to the end."""
        self.progress.print_start(self.state.step)
        with StopRequest() as stop:
            if self.state.step == 0 and not self.state.evaluations:
                self._evaluate()
            with closing(iter(self.loader)) as windows:  # else its workers outlive an error
                if not self._train_on(windows, stop):
                    return False
            if self.state.evaluations[-1]["step"] != self.state.step:  # stopped here before, and now to end here
                self._evaluate()
        return True

    def _train_on(self, windows: Iterator[Window], stop: StopRequest) -> bool:
        self.model.train()
        self.progress.start_clock(self.state.step, self.state.seconds)
        while self.state.step < self.max_steps:
            start = time.perf_counter()
            self._step(next(windows).to(self.accelerator.device))
            if self.state.step % self.options.logging_steps == 0 or self.state.step == self.max_steps:
                self._log(self.state.seconds + time.perf_counter() - start)
            self.state.seconds += time.perf_counter() - start
            self._evaluate_and_save()
            if self._must_stop(stop):
                if self.state.step != self.saved_step:
                    self._save()
                self.accelerator.print(f"stopped at step {self.state.step}; the same command goes on from there")
                return False
        return True

    def _step(self, window: Window):
        options, state = self.options, self.state
        # What a step draws depends on seed and step only, so that no generator's state need be saved; dropout differs
        # between processes, all else is the same in all.
        torch.manual_seed(step_seed(options.seed, state.step, self.rank + 1))
        generator = torch.Generator().manual_seed(step_seed(options.seed, state.step, 0))
        samples = self._negative_samples(generator)
        self._reset_streams(generator)
        rate = self._learning_rate()
        rows_per_part = self.local_rows // options.accumulation_steps
        states = []
        for part in range(options.accumulation_steps):
            rows = slice(part * rows_per_part, (part + 1) * rows_per_part)
            part_window = window if options.accumulation_steps == 1 else window.select_rows(rows)
            before = None if self.lstm_state is None else tuple(each[rows] for each in self.lstm_state)
            with self.accelerator.autocast():
                output = self.model(**part_window.inputs(), negative_samples=samples, state=before, use_cache=True)
            loss = output.loss * (rows_per_part / options.batch_size)
            self.loss_sum += loss.detach()
            if options.loss_times_window:
                loss = loss * options.unroll_steps
            self._scaled(loss).backward()
            states.append(tuple(each.detach() for each in output.state))
        self.lstm_state = tuple(torch.cat(each) for each in zip(*states, strict=True))
        self._update(rate)
        state.step += 1
        state.words += options.batch_size * options.unroll_steps
        self.progress.distinct_words += window.input_ids.shape[0]

    def _update(self, rate: float):
        sum_gradients(self.parameters, self.accelerator.device)
        scaler = self.accelerator.scaler
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            if scaler is not None:
                scaler.unscale_(optimizer)
        clip_gradients(self.parameters, self.options.max_grad_norm)
        for optimizer in self.optimizers:
            if scaler is not None:
                scaler.step(optimizer)
            else:
                optimizer.step()
            optimizer.zero_grad()
        if scaler is not None:
            scaler.update()

    def _scaled(self, loss: torch.Tensor) -> torch.Tensor:
        # Not `Accelerator.backward`, which divides by what an environment variable says.
        return loss if self.accelerator.scaler is None else self.accelerator.scaler.scale(loss)

    def _reset_streams(self, generator: torch.Generator):
        """Begins some streams from the zero state again."""
        kept = torch.rand(self.options.batch_size, generator=generator) >= self.options.state_reset
        if self.lstm_state is not None and not bool(kept.all()):
            own = kept[self.rank * self.local_rows : (self.rank + 1) * self.local_rows, None, None, None]
            own = own.to(self.accelerator.device)
            self.lstm_state = tuple(torch.where(own, each, 0.0) for each in self.lstm_state)

    def _negative_samples(self, generator: torch.Generator) -> NegativeSamples | None:
        config = self.model.config
        if not config.samples_softmax:
            return None
        samples = sample_log_uniform(config.vocab_size, config.num_negative_samples, generator)
        return samples.to(self.accelerator.device)

    def _learning_rate(self) -> float:
        options = self.options
        share = learning_rate_share(
            options.schedule, self.state.step, self.max_steps, options.warmup_steps, options.final_learning_rate
        )
        if options.schedule == "plateau":
            perplexities = [each["perplexity"] for each in self.state.evaluations if each["step"] > 0]
            share *= plateau_share(perplexities, options.plateau_improvement)
        return options.learning_rate * share

    def _evaluate_and_save(self):
        step, last = self.state.step, self.state.step == self.max_steps
        if step % self.eval_steps == 0 or last:
            self._evaluate()
        if step % self.save_steps == 0 or last or self.state.best_step == step:
            self._save()

    def _must_stop(self, stop: StopRequest) -> bool:
        if self.world_size == 1:
            return stop.signal is not None
        # Launchers kill it half a minute after the signal. On CPUs steps take seconds: there they ask each time.
        if self.accelerator.device.type != "cpu" and self.state.step % STOP_CHECK_STEPS:
            return False
        flag = torch.tensor([stop.signal is not None], dtype=torch.int64, device=self.accelerator.device)
        dist.all_reduce(flag)
        return bool(flag.item())

    # Watching

    def _log(self, seconds: float):
        """Prints a line of progress; `seconds` have been spent on training steps."""
        state = self.state
        loss = self.loss_sum.clone()
        if self.world_size > 1:
            dist.all_reduce(loss)
        loss = loss.item() / (state.step - (state.losses[-1]["step"] if state.losses else 0))
        self.loss_sum.zero_()
        state.losses.append({"step": state.step, "words": state.words, "loss": loss})
        self.progress.report(state.step, loss, self._learning_rate(), seconds)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")

    def _evaluate(self):
        state = self.state
        perplexity = evaluate(self.model, self._held_out_windows(), self._max_eval_words())
        state.evaluations.append(
            {
                "step": state.step,
                "words": state.words,
                "seconds": state.seconds,
                "forward": perplexity.forward,
                "backward": perplexity.backward,
                "perplexity": perplexity.mean,
            }
        )
        if state.step and not math.isfinite(perplexity.mean):
            raise self._diverged(f"held-out perplexity is {perplexity.mean}")
        if state.step and perplexity.mean < state.best_perplexity:  # of what is kept: at step 0 there is no checkpoint
            state.best_step, state.best_perplexity = state.step, perplexity.mean
        unigram = "" if self.unigram is None else f" (a unigram model has {self.unigram:.1f})"
        self.accelerator.print(f"step {state.step:>6,} | held-out perplexity: {perplexity}{unigram}", flush=True)
        values = {"held_out/forward": perplexity.forward, "held_out/mean": perplexity.mean}
        if perplexity.backward is not None:
            values["held_out/backward"] = perplexity.backward
        self.accelerator.log({f"{name}_perplexity": value for name, value in values.items()}, step=state.step)

    def _held_out_windows(self) -> WindowLoader:
        options = self.options
        return WindowLoader(
            self.held_out,
            self.tokenizer,
            batch_size=options.eval_batch_size or options.batch_size,
            unroll_steps=options.unroll_steps,
            shuffle=False,
            shuffle_buffer=EVALUATION_BUFFER,
            num_epochs=1,
            **self._stream_options(),
        )

    def _max_eval_words(self) -> int | None:
        most = self.options.max_eval_words
        return None if most is None else math.ceil(most / self.world_size)

    # Checkpoints

    def _diverged(self, what: str) -> FloatingPointError:
        return FloatingPointError(
            f"{what} at step {self.state.step}: lower learning_rate or max_grad_norm; the last checkpoint is from "
            "before"
        )

    def _save(self):
        step = self.state.step
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            raise self._diverged("weights are not finite")
        self.saved_step = step
        path = checkpoint_path(self.output_dir, step)
        write_checkpoint(path, self.accelerator.is_main_process, self.accelerator.wait_for_everyone, self._write)
        if self.accelerator.is_main_process:
            keep_checkpoints(self.output_dir, self.options.keep_checkpoints, self.state.best_step)

    def _write(self, folder: Path):
        if self.accelerator.is_main_process:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            scaler = self.accelerator.scaler
            tensors = {
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "scaler": None if scaler is None else scaler.state_dict(),
            }
            torch.save(tensors, folder / OPTIMIZER_FILE)
            facts = asdict(self.state) | {"world_size": self.world_size, "arguments": self.arguments.as_dict()}
            (folder / STATE_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        own = {
            "position": self.loader.state_dict(),
            "loss_sum": self.loss_sum.item(),
            "lstm_state": None if self.lstm_state is None else [each.cpu() for each in self.lstm_state],
        }
        torch.save(own, folder / rank_file(self.rank))

    def resume(self):
        """Takes up the newest checkpoint of the output folder, if there is one.

        Raises:
            ValueError: it is of a run with other options.
        """
        if self.accelerator.is_main_process:
            clean_up(self.output_dir)
        saved = saved_checkpoints(self.output_dir)
        if not saved:
            return
        folder = saved[-1]
        facts = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        world_size, arguments = facts.pop("world_size"), facts.pop("arguments")
        check_same_run(folder, arguments, self.arguments, self.model.config.vocab_size)
        self.state = TrainerState(**facts)
        weights = ElmoForPreTraining.from_pretrained(folder).state_dict()
        self.model.load_state_dict(weights)
        tensors = load_tensors(folder / OPTIMIZER_FILE)
        for optimizer, saved_state in zip(self.optimizers, tensors["optimizers"], strict=True):
            # What the options say now is what counts, the weight decay for instance.
            for saved_group, group in zip(saved_state["param_groups"], optimizer.param_groups, strict=True):
                saved_group |= {name: value for name, value in group.items() if name != "params"}
            optimizer.load_state_dict(saved_state)
        if self.accelerator.scaler is not None and tensors["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(tensors["scaler"])
        # Every process reads what all have saved, and keeps its rows: so their number may have changed.
        ranks = [load_tensors(folder / rank_file(rank)) for rank in range(world_size)]
        self.loader.load_state_dict(merge_states([each["position"] for each in ranks]))
        if self.accelerator.is_main_process:  # the sums of all are added where they are read
            self.loss_sum.fill_(sum(each["loss_sum"] for each in ranks))
        if ranks[0]["lstm_state"] is not None:
            rows = slice(self.loader.rows.start, self.loader.rows.stop)
            parts = zip(*(each["lstm_state"] for each in ranks), strict=True)
            self.lstm_state = tuple(torch.cat(part)[rows].to(self.accelerator.device) for part in parts)
        self.saved_step = self.state.step
        self.accelerator.print(f"going on from {folder}")

    def save_best(self):
        """Puts the best checkpoint's model and tokenizer into the output folder itself."""
        folder = checkpoint_path(self.output_dir, self.state.best_step)
        ignored = shutil.ignore_patterns(OPTIMIZER_FILE, STATE_FILE, "rank-*")
        shutil.copytree(folder, self.output_dir, ignore=ignored, dirs_exist_ok=True)


def step_seed(*numbers: int) -> int:
    """A seed that differs wherever one of the numbers does."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def rank_file(rank: int) -> str:
    return f"rank-{rank:05d}.pt"
