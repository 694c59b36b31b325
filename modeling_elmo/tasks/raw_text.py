"""From raw text to sentences of words that know where they stand in it."""

from dataclasses import dataclass

from tokenization_elmo import ElmoTokenizer

from ..pretraining.sentences import split_sentences


@dataclass(frozen=True)
class LocatedSentence:
    """Words, and where each begins and ends in the text, in characters."""

    words: list[str]
    offsets: list[tuple[int, int]]


def locate_sentences(tokenizer: ElmoTokenizer, text: str, language: str = "en") -> list[LocatedSentence]:
    """The sentences of a text, as sentencex splits it by the rules of a language (ISO 639-1); their words are the
    tokenizer's."""
    located, position = [], 0
    for sentence in split_sentences(text, language):
        start = text.index(sentence, position)
        position = start + len(sentence)
        encoding = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
        offsets = [(start + first, start + last) for first, last in encoding["offset_mapping"]]
        if offsets:
            located.append(LocatedSentence([text[first:last] for first, last in offsets], offsets))
    return located
