"""What the benchmarks share: this machine's limits, text, model sizes, baselines to compare with."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from modeling_elmo import ElmoConfig
from modeling_elmo.pretraining.embedded_corpus import embedded_corpus_file

SIZES = {
    "tiny": {"cell_size": 256, "projection_size": 64, "num_highway_layers": 1, "filters": [[1, 32], [3, 64], [5, 64]]},
    "small": {"cell_size": 1024, "projection_size": 128, "num_highway_layers": 1},
    "original": {},
}


def read_sentences(path: Path | None, num_words: int) -> list[list[str]]:
    """The first `num_words` words of a tokenised text, a sentence a line (default: the embedded corpus), in order."""
    sentences = []
    with open(path or embedded_corpus_file(), encoding="utf-8") as lines:
        for line in lines:
            words = line.split()[:num_words]
            if words:
                sentences.append(words)
                num_words -= len(words)
            if num_words <= 0:
                break
    return sentences


def now() -> float:
    """Seconds on a clock, once a GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def fastest(run: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        start = now()
        run()
        seconds.append(now() - start)
    return min(seconds)


def read_bandwidth(device: str = "cpu") -> float:
    """Bytes a second at which memory is read."""
    values = torch.ones(2**26 if device == "cpu" else 2**30, device=device)
    return 4 * values.numel() / fastest(values.sum)


def peak_memory(device: str = "cpu") -> float:
    """The most memory that this process has held so far on the device, in GB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def encoder_flops(config: ElmoConfig, character_ids: torch.Tensor) -> float:
    """Operations of distinct words `(words, characters)`, forward, windows in the padding of a word counted once."""
    windows = (character_ids != 261).sum(-1) + 1
    window = config.character_embedding_size * sum(width * number for width, number in config.filters)
    features = config.character_feature_size
    dense = 2 * config.num_highway_layers * features**2 + features * config.output_size
    return 2 * (float(windows.sum()) * window + len(character_ids) * dense)


class PlainElmo(nn.Module):
    """Baseline (a), with an `ElmoModel`'s own parameters: as the published PyTorch system computes it.

    The character encoder runs at each position of the padded batch and over whole rows; each direction of a layer is
    a loop over time of a cell made of two linear maps, clip, projection, clip, over the sentences that go on.
    """

    def __init__(self, elmo):
        super().__init__()
        self.config, self.encoder = elmo.config, elmo.token_encoder
        parts = []
        for layer in elmo.lstm.layers:
            for direction in range(elmo.config.num_directions):
                bias = layer.bias[direction].detach().clone()
                bias.view(4, -1)[2] += elmo.config.forget_bias
                weights = (layer.input_weight, layer.recurrent_weight, layer.projection_weight)
                parts += [nn.Parameter(weight[direction].detach().t().contiguous()) for weight in weights]
                parts.append(nn.Parameter(bias))
        self.weights = nn.ParameterList(parts)

    def encode(self, character_ids: torch.Tensor) -> torch.Tensor:
        cnn = self.encoder.character_cnn
        embedded = cnn.character_embeddings(character_ids.flatten(0, 1).int()).transpose(1, 2)
        x = torch.cat([convolution(embedded).amax(-1) for convolution in cnn.convolutions], dim=-1).relu()
        for highway in cnn.highways:
            carry = highway.carry(x).sigmoid()
            x = carry * highway.transform(x).relu() + (1 - carry) * x
        return self.encoder.projection(x).unflatten(0, character_ids.shape[:2])

    def cell_loop(self, x, batch_sizes, weights, backward):
        w_input, w_recurrent, w_projection, bias = weights
        batch, length, width = x.shape
        hidden, cell = x.new_zeros(batch, width), x.new_zeros(batch, self.config.cell_size)
        outputs = [None] * length
        for step in range(length):
            place = length - 1 - step if backward else step
            size = batch_sizes[place]
            gates = nn.functional.linear(x[:size, place], w_input) + nn.functional.linear(
                hidden[:size], w_recurrent, bias
            )
            i, j, f, o = gates.chunk(4, -1)
            memory = i.sigmoid() * j.tanh() + f.sigmoid() * cell[:size]
            memory = memory.clamp(-self.config.cell_clip, self.config.cell_clip)
            output = nn.functional.linear(o.sigmoid() * memory.tanh(), w_projection)
            output = output.clamp(-self.config.projection_clip, self.config.projection_clip)
            hidden, cell = torch.cat([output, hidden[size:]]), torch.cat([memory, cell[size:]])
            outputs[place] = nn.functional.pad(output, (0, 0, 0, batch - size))
        return torch.stack(outputs, dim=1)

    def layers(self, vectors: list[torch.Tensor], batch_sizes: list[int], reverse: bool = True) -> list[torch.Tensor]:
        """Top layer of each direction from its token vectors `(batch, sequence, P)`, longest sentence first; the
        second direction runs from the end if `reverse`."""
        directions = self.config.num_directions
        for index in range(self.config.num_layers):
            for direction in range(directions):
                at = 4 * (index * directions + direction)
                output = self.cell_loop(
                    vectors[direction], batch_sizes, self.weights[at : at + 4], reverse and direction
                )
                residual = index > 0 and self.config.use_residual
                vectors[direction] = output + vectors[direction] if residual else output
        return vectors

    def forward(self, character_ids: torch.Tensor) -> torch.Tensor:
        """Top layer `(batch, sequence, 2P)`."""
        lengths = (character_ids[..., 0] != 0).sum(-1)
        order = lengths.argsort(descending=True, stable=True)
        batch_sizes = (lengths[:, None] > torch.arange(character_ids.shape[1], device=lengths.device)).sum(0).tolist()
        vectors = self.encode(character_ids[order])
        top = torch.cat(self.layers([vectors] * self.config.num_directions, batch_sizes), dim=-1)
        return top[order.argsort()]


class LibraryLSTM(nn.Module):
    """Baseline (b): `torch.nn.LSTM(proj_size=...)`, which knows no clips, over the same packed token vectors; its
    weights are its own."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        size = {"input_size": config.output_size, "hidden_size": config.cell_size, "proj_size": config.projection_size}
        self.directions = nn.ModuleList(
            nn.LSTM(num_layers=config.num_layers, batch_first=True, **size) for _ in range(config.num_directions)
        )

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor):
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        return [direction(packed)[0].data for direction in self.directions]
