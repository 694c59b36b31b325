"""What a run prints, and gives to a tracker, while it trains."""

import torch
from accelerate import Accelerator

from ..modeling_elmo_pretraining import ElmoForPreTraining
from .arguments import TrainingArguments
from .throughput import matrix_flops_per_second, training_flops

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Progress:
    """Words per second, share of the machine's peak and time left, of the steps since the line before.

    Attributes:
        distinct_words: that the character encoder of this process has read since then; whoever trains counts them.
    """

    def __init__(
        self, model: ElmoForPreTraining, options: TrainingArguments, accelerator: Accelerator, max_steps: int
    ):
        self.model, self.options, self.accelerator, self.max_steps = model, options, accelerator, max_steps
        self.words_per_step = options.batch_size * options.unroll_steps
        self.num_processes = accelerator.num_processes
        self.distinct_words = 0

    def print_start(self, step: int):
        """Says what is trained, and measures the machine's peak."""
        options, processes = self.options, self.num_processes
        self.peak = matrix_flops_per_second(self.accelerator.device, DTYPES[options.mixed_precision]) * processes
        count = sum(p.numel() for p in self.model.elmo.parameters())
        softmax = sum(p.numel() for p in self.model.softmax.parameters())
        self.accelerator.print(
            f"model: {count:,} weights and {softmax:,} in the softmax over {self.model.config.vocab_size:,} words; "
            f"{processes} process{'es' if processes > 1 else ''} on {self.accelerator.device}\n"
            f"steps: {self.max_steps:,} windows of {options.batch_size} x {options.unroll_steps} words"
            + (f", from step {step:,}" if step else "")
        )

    def start_clock(self, step: int, seconds: float):
        """Counts from here: `seconds` have been spent on training steps, evaluations left out."""
        self.distinct_words, self.last_step, self.last_seconds = 0, step, seconds

    def report(self, step: int, loss: float, rate: float, seconds: float):
        """Prints a line on the steps since the last one: the mean loss, and how fast they were."""
        config, steps, seconds_since = self.model.config, step - self.last_step, seconds - self.last_seconds
        speed = steps * self.words_per_step / seconds_since
        flops = training_flops(config, self.words_per_step, self.num_processes * self.distinct_words // steps)
        utilisation = flops * steps / seconds_since / self.peak
        left = (self.max_steps - step) * self.words_per_step / speed
        kind = "sampled loss" if config.samples_softmax else "loss"
        self.accelerator.print(
            f"step {step:>6,} / {self.max_steps:,} | {kind} {loss:.3f} | {speed:,.0f} words/s, "
            f"{utilisation:.0%} of peak | {clock_time(left)} left",
            flush=True,
        )
        values = {
            "train/loss": loss,
            "train/learning_rate": rate,
            "train/words_per_second": speed,
            "train/utilisation": utilisation,
        }
        self.accelerator.log(values, step=step)
        self.start_clock(step, seconds)


def clock_time(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
