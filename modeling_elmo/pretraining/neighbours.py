"""What a biLM knows of a word's context: one word in two uses, and the words whose vectors are nearest to each."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import AutoTokenizer

from ..embedding import embed

MIN_OCCURRENCES = 8
# The most frequent words are those of grammar.
SKIPPED_RANKS = 60
SHOWN_WORDS, SHOWN_NEIGHBOURS = 3, 4
# Words of its sentence that a word is shown between, on either side.
CONTEXT = 5


class Occurrence(NamedTuple):
    sentence: int
    position: int


def print_neighbours(checkpoint: str | Path, sentences: list[list[str]]):
    """Loads `checkpoint` with AutoModel and prints, for some ambiguous words of the sentences, two contexts that it
    tells apart, each with the nearest words of other sentences.

    The vectors are `last_hidden_state`, their mean taken away; nearness is the cosine.
    """
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    vectors = torch.from_numpy(np.concatenate(list(embed(checkpoint, sentences, tokenizer=tokenizer, device="cpu"))))
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=-1)
    places = [Occurrence(index, place) for index, words in enumerate(sentences) for place in range(len(words))]
    of_sentence = torch.tensor([place.sentence for place in places])
    for word, uses in _ambiguous_words(tokenizer, sentences, places, vectors):
        print(f'\n"{word}"')
        for use in uses:
            print(f"  {_in_context(sentences, places[use])}")
            nearness = vectors @ vectors[use]
            nearness[of_sentence == places[use].sentence] = -1.0
            for score, other in zip(*(part.tolist() for part in nearness.topk(SHOWN_NEIGHBOURS)), strict=True):
                print(f"      {score:.2f}  {_in_context(sentences, places[other])}")


def _ambiguous_words(tokenizer, sentences, places, vectors):
    """Words whose occurrences fall into two groups most clearly, each with the most typical occurrence of both."""
    occurrences = defaultdict(list)
    for index, (sentence, position) in enumerate(places):
        occurrences[sentences[sentence][position]].append(index)
    scored = []
    for word, indices in occurrences.items():
        rank = tokenizer.convert_tokens_to_ids(word)
        if len(indices) < MIN_OCCURRENCES or not word.isalpha() or len(word) < 3 or not word.islower():
            continue
        if SKIPPED_RANKS <= rank != tokenizer.unk_token_id:
            separation, uses = _two_uses(vectors[indices])
            scored.append((separation, word, [indices[use] for use in uses]))
    return [(word, uses) for _, word, uses in sorted(scored, reverse=True)[:SHOWN_WORDS]]


def _two_uses(vectors: torch.Tensor) -> tuple[float, list[int]]:
    """Two-means of a word's vectors: how clearly they fall apart, and the vector nearest to each centre."""
    first = int((vectors @ vectors.mean(0)).argmin())
    second = int((vectors @ vectors[first]).argmin())
    centres = vectors[[first, second]]
    for _ in range(10):
        group = (vectors @ torch.nn.functional.normalize(centres, dim=-1).T).argmax(1)
        sizes = torch.bincount(group, minlength=2)
        if sizes.min() < max(2, len(vectors) // 5):
            return 0.0, [first, second]
        centres = torch.stack([vectors[group == each].mean(0) for each in (0, 1)])
    within = (vectors - centres[group]).square().sum(-1).mean()
    between = (centres[0] - centres[1]).square().sum()
    uses = [int((vectors @ centre).masked_fill(group != each, -9.0).argmax()) for each, centre in enumerate(centres)]
    return float(between / within), uses


def _in_context(sentences: list[list[str]], place: Occurrence) -> str:
    words, position = sentences[place.sentence], place.position
    before, after = words[max(0, position - CONTEXT) : position], words[position + 1 : position + 1 + CONTEXT]
    return " ".join([*before, f"[{words[position]}]", *after])
