"""Time of a training step, and memory, against the size of the vocabulary.

    python scripts/benchmark_softmax.py --vocab_sizes 10000 100000 800000

A step is everything but the text: forward and backward pass over random windows, clipping, and the optimizer's update.
"""

import argparse
import time

import torch
from benchmark_tools import peak_memory

from modeling_elmo import ElmoConfig, ElmoForPreTraining
from modeling_elmo.pretraining.arguments import TrainingArguments
from modeling_elmo.pretraining.optimizers import clip_gradients, make_optimizers, sum_gradients
from modeling_elmo.softmax import sample_log_uniform


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab_sizes", type=int, nargs="+", default=[10_000, 100_000, 800_000])
    parser.add_argument("--num_negative_samples", type=int, default=2048, help="0: the exact softmax")
    parser.add_argument("--adaptive", action="store_true", help="the adaptive softmax, with clusters from 2000 on")
    parser.add_argument("--optimizer", choices=["adagrad", "adamw", "sgd"], default="adagrad")
    parser.add_argument("--dense", action="store_true", help="dense gradients, to compare with")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--unroll_steps", type=int, default=20)
    parser.add_argument("--distinct_words", type=int, default=400)
    parser.add_argument("--cell_size", type=int, default=256)
    parser.add_argument("--projection_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    baseline = None
    print(f"{'vocabulary':>10} {'ms / step':>10} {'processor ms':>13} {'ratio':>6} {'peak memory, GB':>16}")
    for vocab_size in options.vocab_sizes:
        wall, processor = seconds_per_step(options, vocab_size)
        baseline = baseline or processor
        times = f"{1000 * wall:>10.1f} {1000 * processor:>13.1f} {processor / baseline:>6.2f}"
        print(f"{vocab_size:>10,} {times} {peak_memory():>16.2f}", flush=True)


def seconds_per_step(options, vocab_size: int) -> tuple[float, float]:
    """Wall and processor time of the fastest step, once the optimizer's state is there.

    On a machine that others use too the latter is the one to look at.
    """
    torch.manual_seed(0)
    config = ElmoConfig(
        vocab_size=vocab_size,
        filters=[[1, 16], [2, 32], [3, 64]],
        num_highway_layers=1,
        cell_size=options.cell_size,
        projection_size=options.projection_size,
        num_negative_samples=options.num_negative_samples,
        adaptive_softmax_cutoffs=[2000, 20_000] if options.adaptive and vocab_size > 20_000 else None,
    )
    model = ElmoForPreTraining(config).train()
    optimizers = make_optimizers(model, TrainingArguments(optimizer=options.optimizer, learning_rate=0.1))
    if options.dense and config.samples_softmax:
        model.softmax.sparse = False
    parameters = [p for p in model.parameters() if p.requires_grad]
    times = []
    for _ in range(options.steps):
        rows, length, words = options.batch_size, options.unroll_steps, options.distinct_words
        # Words come as often as in text: by Zipf's law.
        targets = (torch.rand(2, rows, length) * torch.tensor(float(vocab_size)).log()).exp().long()
        index = torch.randint(words, (2, rows, length))
        characters = torch.randint(1, 262, (words, 50))
        start, processor_start = time.perf_counter(), time.process_time()
        samples = None
        if config.samples_softmax:
            samples = sample_log_uniform(vocab_size, config.num_negative_samples)
        output = model(
            character_ids=characters,
            input_ids=torch.zeros(words, dtype=torch.int64),
            forward_index=index[0],
            backward_index=index[1],
            forward_targets=targets[0],
            backward_targets=targets[1],
            negative_samples=samples,
        )
        output.loss.backward()
        sum_gradients(parameters, model.device)
        clip_gradients(parameters, 10.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        times.append((time.perf_counter() - start, time.process_time() - processor_start))
    return tuple(min(each) for each in zip(*times[1:], strict=True))


if __name__ == "__main__":
    main()
