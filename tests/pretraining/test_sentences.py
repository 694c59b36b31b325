"""Splitting text into sentences."""

import pytest

from modeling_elmo.pretraining.sentences import split_sentences


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith paid $3.50 on Jan. 5.", '"Did he?" she asked.', "The U.S. Army came."]),
        ("en", ["See torch.nn.Module for more.", "Then use os.path.join."]),
        ("hu", ["Megjött dr. Kovács.", "Jó napot!"]),
        ("zh", ["他来了。", "她走了。"]),
        ("en", []),
    ],
)
def test_sentences(language, sentences):
    separator = "" if language == "zh" else " "
    assert split_sentences(separator.join(sentences), language) == sentences


@pytest.mark.parametrize("text", ["It is plan B\N{NO-BREAK SPACE}. Go.", "Half of \ud83d. Go."])
def test_text_that_the_library_fails_on(text):
    assert split_sentences(text) == [text.removesuffix(" Go."), "Go."]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("zh", ["今天天气很好。", "他说：“我不知道。”", "吗？"]),
        ("en", ["Dr. Smith paid $3.50.", "She (it is. No) asked."]),
    ],
)
def test_long_text(language, sentences):
    separator = "" if language == "zh" else " "
    long = [*sentences * 10_000, "很" * 20_000 + "。", *sentences]
    assert split_sentences(separator.join(long), language) == long
