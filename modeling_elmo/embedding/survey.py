"""The first reading of an input: what must be known before the first vector is computed."""

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .text_input import Sentence


@dataclass(frozen=True)
class Survey:
    """
    Attributes:
        lengths (`(sentences,)`): number of words of each sentence.
        names: the sentences' names, where they are more than numbers.
        index: JSON text that maps each line to its number, of equal lines to the last one's.
    """

    lengths: np.ndarray
    names: list[str] | None
    index: str | None


def survey(read: Callable[[], Iterator[Sentence]], with_names: bool = False, with_index: bool = False) -> Survey:
    """Reads all sentences once. In memory stay four bytes a sentence, and names and the index where asked for."""
    lengths = array("i")
    names: list[str] = []
    index: dict[str, str] = {}
    for sentence in read():
        lengths.append(len(sentence.words))
        if with_names:
            names.append(sentence.name)
        if with_index:
            index[sentence.text] = sentence.name
    return Survey(
        lengths=np.array(lengths, np.int64),
        names=names if with_names else None,
        index=json.dumps(index) if with_index else None,
    )
