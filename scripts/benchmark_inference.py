"""Words per second from text to layers, beside the plain loop and `torch.nn.LSTM`, and beside this machine's limits.

    python scripts/benchmark_inference.py                                   # original size, batches of 32
    python scripts/benchmark_inference.py --size small --batch_size 128
    python scripts/benchmark_inference.py --device cuda --dtype bfloat16 --batch_size 256 --words 500000
    python scripts/benchmark_inference.py --checkpoint FOLDER --int8        # also how close int8 comes

Text in document order, in the batches that a caller would make; random weights unless there is a checkpoint. Systems
run in turns, so that all see the same machine; the fastest turn of each counts.
"""

import argparse
from pathlib import Path

import torch
from benchmark_tools import (
    SIZES,
    LibraryLSTM,
    PlainElmo,
    encoder_flops,
    fastest,
    now,
    peak_memory,
    read_bandwidth,
    read_sentences,
)

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer, quantize
from modeling_elmo.pretraining.throughput import lstm_flops, matrix_flops_per_second


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="original")
    parser.add_argument("--checkpoint", help="a trained model instead of random weights of --size")
    parser.add_argument("--text", type=Path, help="tokenised, a sentence a line; default: the embedded corpus")
    parser.add_argument("--words", type=int, default=12000, help="words for our model")
    parser.add_argument("--baseline_words", type=int, default=1000, help="words for the baselines; 0: none")
    parser.add_argument("--batch_size", type=int, default=32, help="sentences a batch")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--int8", action="store_true", help="measure int8 weights too")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.checkpoint:
        model = ElmoModel.from_pretrained(arguments.checkpoint).eval()
    else:
        model = ElmoModel(ElmoConfig(**SIZES[arguments.size], representation="scalar_mix")).eval()
    measure(model.to(arguments.device, getattr(torch, arguments.dtype)), arguments)


@torch.inference_mode()
def measure(model: ElmoModel, arguments):
    sentences = read_sentences(arguments.text, arguments.words)
    device, dtype = arguments.device, model.dtype
    batches = [batch.to(device) for batch in make_batches(sentences, arguments.batch_size)]
    some = make_batches(read_sentences(arguments.text, arguments.baseline_words), arguments.batch_size)
    some = [batch.to(device) for batch in some]
    words, some_words = sum(map(count, batches)), sum(map(count, some))
    plain, library = PlainElmo(model), LibraryLSTM(model.config).to(device, dtype).eval()
    int8 = quantize(model) if arguments.int8 else None

    systems = {"ours": (lambda: [model(batch) for batch in batches], words)}
    if int8 is not None:
        systems["ours, int8"] = (lambda: [int8(batch) for batch in batches], words)
    if some:
        vectors = [
            (torch.randn(*batch.shape[:2], model.config.output_size, device=device, dtype=dtype), lengths(batch).cpu())
            for batch in some
        ]
        systems["(a) plain loop"] = (lambda: [plain(batch) for batch in some], some_words)
        systems["(b) nn.LSTM(proj_size), LSTMs alone"] = (lambda: [library(*pair) for pair in vectors], some_words)
        difference = max(
            float((model(batch, output_hidden_states=True).hidden_states[-1] - plain(batch)).abs().max())
            for batch in some[:1]
        )
        print(f"largest difference from the plain loop in the top layer: {difference:.1e}")
    for run, _ in systems.values():  # warm: GPU kernels compile at their first call
        if device == "cuda":
            run()
    model(batches[0])
    seconds = dict.fromkeys(systems, float("inf"))
    peak = bandwidth = 0.0
    for _ in range(arguments.turns):
        for name, (run, _) in systems.items():
            peak = max(peak, matrix_flops_per_second(model.device, dtype))
            bandwidth = max(bandwidth, read_bandwidth(device))
            start = now()
            run()
            seconds[name] = min(seconds[name], now() - start)

    distinct = [torch.unique(batch[batch[..., 0] != 0], dim=0) for batch in batches]
    flops = words * lstm_flops(model.config) + sum(encoder_flops(model.config, rows) for rows in distinct)
    print(f"{words} words with boundaries, {len(batches)} batches; {torch.get_num_threads()} threads")
    print(f"matrix products {peak / 1e9:.0f} GFLOP/s, reading {bandwidth / 1e9:.1f} GB/s")
    rate = {name: size / seconds[name] for name, (_, size) in systems.items()}
    for name, value in rate.items():
        print(f"{name:38s} {value:8.0f} words/s   ours is {rate['ours'] / value:5.2f} times as fast")
    achieved = flops / seconds["ours"]
    print(f"ours: {achieved / 1e9:.0f} GFLOP/s, {achieved / peak:.0%} of the products' rate")
    limit = least_seconds(model.config, batches, distinct, peak, bandwidth, dtype.itemsize)
    print(f"      {limit / seconds['ours']:.0%} of what the same steps allow at these rates of products and reading")
    single = make_batches([sentences[0] * 20], 1)[0][:, :20].to(device)
    time_single = fastest(lambda: model(single), 10)
    recurrent = [p for layer in model.lstm.layers for p in (layer.recurrent_weight, layer.projection_weight)]
    recurrent = sum(parameter.numel() for parameter in recurrent if parameter is not None)
    others = sum(parameter.numel() for parameter in model.parameters()) - recurrent
    reading = dtype.itemsize * (20 * recurrent + others) / bandwidth
    print(
        f"one sentence of 20 words: {time_single * 1e3:.0f} ms, {time_single / reading:.2f} times the reading of the "
        "recurrent weights at each step and of the others once"
    )
    print(f"peak memory {peak_memory(device):.2f} GB")
    if int8 is not None:
        top_layers = [
            torch.cat(
                [each(batch, output_hidden_states=True).hidden_states[-1][batch[..., 0] != 0] for batch in batches[:8]]
            )
            for each in (model, int8)
        ]
        similarity = torch.cosine_similarity(*top_layers, dim=-1)
        print(f"int8: cosine of the top layer to fp32: mean {similarity.mean():.5f}, least {similarity.min():.5f}")


def make_batches(sentences: list[list[str]], batch_size: int) -> list[torch.Tensor]:
    tokenizer = ElmoTokenizer()
    return [
        tokenizer(sentences[start : start + batch_size], is_split_into_words=True, padding=True, return_tensors="pt")[
            "character_ids"
        ]
        for start in range(0, len(sentences), batch_size)
    ]


def lengths(batch: torch.Tensor) -> torch.Tensor:
    return (batch[..., 0] != 0).sum(-1)


def count(batch: torch.Tensor) -> int:
    return int(lengths(batch).sum())


def least_seconds(config, batches, distinct, peak, bandwidth, weight_size) -> float:
    """Time if each step took only as long as its products or, where that is longer, the reading of its weights."""
    cells, width = config.cell_size, config.output_size
    weights = 4 * cells * width + (0 if config.projection_size is None else cells * width)
    layers = config.num_layers * config.num_directions
    seconds = 0.0
    for batch, rows in zip(batches, distinct, strict=True):
        sizes = (lengths(batch)[:, None] > torch.arange(batch.shape[1], device=batch.device)).sum(0).tolist()
        seconds += layers * sum(max(2 * size * weights / peak, weight_size * weights / bandwidth) for size in sizes)
        seconds += (count(batch) * layers * 8 * cells * width + encoder_flops(config, rows)) / peak
    return seconds


if __name__ == "__main__":
    main()
