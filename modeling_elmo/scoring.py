"""ELMo as a language model: how probable a text is, and which words could stand in a place."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForPreTraining, PreTrainedModel

from .embedding.batches import encode_batch, in_order
from .embedding.vectors import run_layers, words_of
from .loading import load, load_tokenizer, put_on
from .modeling_elmo import IMPORT_FIRST, evaluation_mode
from .modeling_elmo_pretraining import ElmoForPreTraining
from .softmax import log_uniform_probability


@dataclass(frozen=True)
class SentenceScore:
    """Surprisals, `-log p` in nats, of a sentence of n words at positions 0 (`<S>`), 1 to n, and n + 1 (`</S>`).

    Attributes:
        words: the n words.
        known (`(n,)`): False for words outside the vocabulary, in whose place `<UNK>` is scored.
        forward (`(n + 2,)`): given all before; nan for `<S>`.
        backward (`(n + 2,)`): given all behind; nan for `</S>`. `None` for a model of one direction.
    """

    words: list[str]
    known: np.ndarray
    forward: np.ndarray
    backward: np.ndarray | None


@dataclass
class DirectionTotal:
    """Number of predicted tokens, of each sentence the words and one boundary, and the sum of their surprisals."""

    tokens: int = 0
    surprisal: float = 0.0

    def add(self, surprisals: np.ndarray) -> None:
        predicted = surprisals[~np.isnan(surprisals)]
        self.tokens += len(predicted)
        self.surprisal += float(predicted.sum(dtype=np.float64))

    @property
    def perplexity(self) -> float:
        """`exp` of the mean surprisal; nan before the first token."""
        if not self.tokens:
            return math.nan
        mean = self.surprisal / self.tokens
        return math.exp(mean) if mean < 700 else math.inf


@dataclass
class TextScore:
    """Totals over sentences; `backward` stays empty for a model of one direction."""

    sentences: int = 0
    words: int = 0
    unknown_words: int = 0
    forward: DirectionTotal = field(default_factory=DirectionTotal)
    backward: DirectionTotal = field(default_factory=DirectionTotal)

    def add(self, score: SentenceScore) -> None:
        self.sentences += 1
        self.words += len(score.words)
        self.unknown_words += int((~score.known).sum())
        self.forward.add(score.forward)
        if score.backward is not None:
            self.backward.add(score.backward)


@dataclass(frozen=True)
class Substitute:
    """A word and the logarithms (nats) of its probability: in its place (of all words of the vocabulary), given what
    is before it, and given what is behind it (`None` for a model of one direction)."""

    word: str
    log_probability: float
    forward: float
    backward: float | None


def load_language_model(
    model: PreTrainedModel | str | Path, tokenizer=None, device: str | None = None
) -> tuple[ElmoForPreTraining, "ElmoTokenizer"]:  # noqa: F821, a name for the reader
    """The language models and their tokenizer.

    Args:
        model: an [`ElmoForPreTraining`], or the name or path of a checkpoint.
        tokenizer: by default that of the checkpoint which the model came from.
        device: where a checkpoint given by name is put; by default the GPU if there is one.

    Raises:
        ValueError: where there is no softmax, no tokenizer, or one of another vocabulary.
    """
    if isinstance(model, (str, Path)):
        name = model
        model, loading = load(AutoModelForPreTraining, name, output_loading_info=True)
        if any(key.startswith("softmax.") for key in loading["missing_keys"]):
            raise ValueError(
                f"{name} has no softmax: it gives vectors, but no probabilities. Published inference files leave it "
                "out; convert the training checkpoint, or pretrain one"
            )
        put_on(model, device)
    if not isinstance(model, ElmoForPreTraining):
        raise ValueError(
            f"{type(model).__name__} has no language model's softmax: load ElmoForPreTraining{IMPORT_FIRST}"
        )
    if tokenizer is None:
        tokenizer = load_tokenizer(model)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"the tokenizer of {model.name_or_path or 'this model'} knows {tokenizer.vocab_size} words, but the "
            f"softmax has {model.config.vocab_size} rows: word ids and rows must be those of one vocabulary"
        )
    return model, tokenizer


def score(
    model: PreTrainedModel | str | Path,
    sentences: Iterable[str | Sequence[str]],
    tokenizer=None,
    device: str | None = None,
) -> Iterator[SentenceScore]:
    """Surprisal of each word of each sentence in both directions, by the exact softmax (Peters et al., 2018, section
    3.1). Sentences are independent of each other.

    Lazy and in order: some ten thousand words are read ahead and computed in batches of about one length. Memory does
    not grow with the vocabulary.

    Args:
        model: an [`ElmoForPreTraining`], or the name or path of a checkpoint.
        sentences: texts, split into words by the tokenizer, or lists of words.
        tokenizer: by default that of the checkpoint which the model came from.
        device: where a checkpoint given by name is put; by default the GPU if there is one.

    Raises:
        ValueError: see [`load_language_model`]; and, when its turn comes, for a sentence that has an empty word.
    """
    if isinstance(sentences, str):
        raise ValueError("sentences must be an iterable of sentences, not one string: pass [text]")
    model, tokenizer = load_language_model(model, tokenizer, device)
    return in_order(words_of(tokenizer, sentences), partial(_score_batch, model, tokenizer))


@torch.no_grad()
def _score_batch(model: ElmoForPreTraining, tokenizer, sentences: list[list[str]]) -> Iterator[SentenceScore]:
    inputs = encode_batch(tokenizer, sentences, model.device)
    # Words that were added to the tokenizer have no row of the softmax.
    ids = inputs["input_ids"].where(inputs["input_ids"] < model.config.vocab_size, tokenizer.unk_token_id)
    mask = inputs["attention_mask"].bool()
    # From one sentence to the next, where a boundary stands among the words, nothing is predicted.
    is_pair = mask[:, 1:] & (ids[:, :-1] != tokenizer.eos_token_id)
    surprisals = []
    with evaluation_mode(model):
        top = run_layers(model.elmo, inputs)[-1]
        for direction, hidden in enumerate(top.chunk(model.config.num_directions, dim=-1)):
            before, behind = slice(0, -1), slice(1, None)
            seen, predicted = (before, behind) if direction == 0 else (behind, before)
            surprisal = torch.full(ids.shape, math.nan, device=ids.device)
            losses = model.softmax.exact_loss(hidden[:, seen][is_pair], ids[:, predicted][is_pair])
            if losses.isnan().any():  # which would stand for "nothing is predicted"
                raise ValueError("the model gives nan: its weights are damaged, or too large for their type")
            surprisal[:, predicted][is_pair] = losses.float()
            surprisals.append(surprisal.cpu().numpy())
    known = (ids != tokenizer.unk_token_id).cpu().numpy()
    for row, words in enumerate(sentences):
        end = len(words) + 2
        forward, *backward = (part[row, :end].copy() for part in surprisals)
        yield SentenceScore(words, known[row, 1 : end - 1].copy(), forward, backward[0] if backward else None)


@torch.no_grad()
def substitutes(
    model: PreTrainedModel | str | Path,
    sentence: str | Sequence[str],
    position: int,
    top_k: int = 10,
    frequency_weight: float = 1.0,
    tokenizer=None,
    device: str | None = None,
) -> list[Substitute]:
    """The most probable words in a place of a sentence, whatever word stands there.

    `p(w | before, behind)` is proportional to `p(w | before) * p(w | behind) / p(w) ** frequency_weight`. With weight
    1 this is Bayes' rule where what is before and what is behind are independent given the word: each of them knows
    how frequent the word is, which must count once. `p(w)` is taken from the word's rank, `log(1 + 1 / rank) /
    log(vocab_size + 1)` as in the sampler of pretraining, since the vocabulary is in order of falling frequency; where
    it is not, use weight 0. The first word's left context is the forward state of `<S>`, the last word's right context
    the backward state of `</S>`. Special tokens are no candidates. With one direction it is `p(w | before)`.

    Args:
        model: an [`ElmoForPreTraining`], or the name or path of a checkpoint.
        sentence: a text, split into words by the tokenizer, or a list of words.
        position: of the word to replace, from 1.
        top_k: number of words, most probable first.
        frequency_weight: how much a word's frequency is discounted.
        tokenizer: by default that of the checkpoint which the model came from.
        device: where a checkpoint given by name is put; by default the GPU if there is one.

    Raises:
        ValueError: see [`load_language_model`]; where the sentence has no such position; for a `top_k` below 1; for a
            `frequency_weight` that is not finite.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    if not math.isfinite(frequency_weight):
        raise ValueError(f"frequency_weight is {frequency_weight}; it must be a finite number")
    model, tokenizer = load_language_model(model, tokenizer, device)
    (words,) = words_of(tokenizer, [sentence])
    if not 1 <= position <= len(words):
        places = " ".join(f"{number}:{word}" for number, word in enumerate(words, 1)) or "no word"
        raise ValueError(f"there is no position {position} in this sentence, which has {places}")
    inputs = encode_batch(tokenizer, [words], model.device)
    with evaluation_mode(model):
        directions = run_layers(model.elmo, inputs)[-1][0].chunk(model.config.num_directions, dim=-1)
        neighbours = zip(directions, (position - 1, position + 1), strict=False)
        given = [model.softmax(vectors[place, None])[0].float().log_softmax(-1) for vectors, place in neighbours]
    combined = sum(given)
    ids = torch.arange(len(combined), device=combined.device)
    if len(given) == 2:
        combined = combined - frequency_weight * log_uniform_probability(ids, len(combined)).log().float()
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    combined[special] = -math.inf
    best = combined.log_softmax(-1).topk(min(top_k, len(combined) - len(special)))
    return [
        Substitute(
            word=tokenizer.decode([number]),
            log_probability=log_probability,
            forward=float(given[0][number]),
            backward=float(given[1][number]) if len(given) == 2 else None,
        )
        for log_probability, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
