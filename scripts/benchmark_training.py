"""Words per second of pretraining steps, beside the same model in a plain loop, and beside the machine's limit.

    python scripts/benchmark_training.py                       # 1024/128, 64 streams x 20 words, 1,000 negatives
    python scripts/benchmark_training.py --size original --batch_size 32
    python scripts/benchmark_training.py --device cuda --bf16 --size original --batch_size 256 --vocab_size 100000

A step is forward, backward, gradient clipping and Adagrad; a word is a position of a stream, read in both directions.
Systems run in turns, so that all see the same machine; the fastest step of each counts.
"""

import argparse
from collections import Counter
from itertools import chain, islice
from pathlib import Path

import torch
from benchmark_tools import SIZES, PlainElmo, encoder_flops, now, peak_memory, read_sentences
from torch import nn

from modeling_elmo import ElmoConfig, ElmoForPreTraining, ElmoTokenizer
from modeling_elmo.pretraining.memory import keep_freed_memory
from modeling_elmo.pretraining.throughput import lstm_flops, matrix_flops_per_second
from modeling_elmo.pretraining.vocabulary import SPECIAL_WORDS
from modeling_elmo.softmax import sample_log_uniform


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--text", type=Path, help="tokenised, a sentence a line; default: the embedded corpus")
    parser.add_argument("--batch_size", type=int, default=64, help="streams")
    parser.add_argument("--unroll_steps", type=int, default=20, help="words of a stream in a step")
    parser.add_argument("--vocab_size", type=int, default=3000)
    parser.add_argument("--num_negative_samples", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, by autocast")
    parser.add_argument("--no_baseline", action="store_true", help="measure our steps alone")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        keep_freed_memory()  # as pretrain.py does; the baseline gains too
    torch.manual_seed(0)
    config = ElmoConfig(
        **SIZES[arguments.size],
        vocab_size=arguments.vocab_size,
        num_negative_samples=arguments.num_negative_samples,
    )
    measure(ElmoForPreTraining(config).to(arguments.device).train(), arguments)


def measure(model: ElmoForPreTraining, arguments):
    batch, steps = arguments.batch_size, arguments.unroll_steps
    device, dtype = arguments.device, torch.bfloat16 if arguments.bf16 else torch.float32
    windows = [{name: tensor.to(device) for name, tensor in window.items()} for window in make_windows(arguments)]
    systems = {"ours": (model, lambda window: model(**window).loss)}
    if not arguments.no_baseline:
        plain = PlainPreTraining(model)
        systems["(a) plain loop"] = (plain, plain)
    optimizers = {
        name: torch.optim.Adagrad(trained.parameters(), lr=0.2, initial_accumulator_value=1.0, fused=device == "cpu")
        for name, (trained, _) in systems.items()
    }
    seconds, peak, flops = dict.fromkeys(systems, float("inf")), 0.0, []
    for turn in range(arguments.turns):
        window = windows[turn % len(windows)]
        for name, (trained, loss) in systems.items():
            peak = max(peak, matrix_flops_per_second(model.device, dtype))
            start = now()
            optimizers[name].zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=arguments.bf16):
                value = loss(window) * steps
            value.backward()
            nn.utils.clip_grad_norm_(trained.parameters(), 10.0)
            optimizers[name].step()
            seconds[name] = min(seconds[name], now() - start)
        config = model.config
        softmax = 2 * config.num_directions * config.output_size * config.num_negative_samples
        forward = batch * steps * (lstm_flops(config) + softmax) + encoder_flops(config, window["character_ids"])
        flops.append(3 * forward)
    print(
        f"{batch} x {steps} words a step, about {len(window['input_ids'])} distinct; {torch.get_num_threads()} threads"
    )
    for name, value in seconds.items():
        times = value / seconds["ours"]
        print(f"{name:16s} {batch * steps / value:8.0f} words/s   ours is {times:5.2f} times as fast")
    achieved = sum(flops) / len(flops) / seconds["ours"]
    print(f"matrix products {peak / 1e9:.0f} GFLOP/s; ours {achieved / 1e9:.0f} GFLOP/s, {achieved / peak:.0%}")
    print(f"peak memory {peak_memory(device):.2f} GB")


def make_windows(arguments, number: int = 4) -> list[dict[str, torch.Tensor]]:
    """Windows of the same sentences for both directions, as arguments of `ElmoForPreTraining`."""
    batch, steps = arguments.batch_size, arguments.unroll_steps
    sentences = read_sentences(arguments.text, 10**6)
    frequent = Counter(chain.from_iterable(sentences)).most_common(arguments.vocab_size - len(SPECIAL_WORDS))
    tokenizer = ElmoTokenizer(vocab=[*SPECIAL_WORDS, *(word for word, _ in frequent)])
    stream = chain.from_iterable(["<S>", *sentence, "</S>"] for sentence in sentences)
    windows = []
    for _ in range(number):
        words = list(islice(stream, batch * (steps + 1)))
        distinct = sorted(set(words))
        encoded = tokenizer(distinct, is_split_into_words=True, add_special_tokens=False, return_tensors="pt")
        place = {word: index for index, word in enumerate(distinct)}
        rows = torch.tensor([place[word] for word in words]).unflatten(0, (batch, steps + 1))
        ids = encoded["input_ids"].flatten()
        windows.append(
            {
                "character_ids": encoded["character_ids"].flatten(0, -2),
                "input_ids": ids,
                "forward_index": rows[:, :-1],
                "forward_targets": ids[rows[:, 1:]],
                "backward_index": rows.flip(1)[:, :-1],
                "backward_targets": ids[rows.flip(1)[:, 1:]],
            }
        )
    return windows


class PlainPreTraining(nn.Module):
    """The same model and loss with baseline (a) as its biLM: every position is encoded, in each direction's stream."""

    def __init__(self, model: ElmoForPreTraining):
        super().__init__()
        self.bilm, self.softmax = PlainElmo(model.elmo), model.softmax
        self.vocab_size, self.num_samples = model.config.vocab_size, model.config.num_negative_samples

    def forward(self, window: dict[str, torch.Tensor]) -> torch.Tensor:
        batch, length = window["forward_index"].shape
        indices = (window["forward_index"], window["backward_index"])
        vectors = [self.bilm.encode(window["character_ids"][index]) for index in indices]
        # Both streams run in time's direction: the backward one holds reversed sentences.
        outputs = self.bilm.layers(vectors, [batch] * length, reverse=False)
        targets = torch.cat([window["forward_targets"].flatten(), window["backward_targets"].flatten()])
        hidden = torch.cat([output.flatten(0, 1) for output in outputs])
        samples = sample_log_uniform(self.vocab_size, self.num_samples).to(hidden.device)
        return self.softmax.sampled_loss(hidden, targets, samples).mean()


if __name__ == "__main__":
    main()
