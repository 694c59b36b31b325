"""Every way through `tokenizer(...)`: each must bring character_ids that fit its input_ids."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tokenization_elmo import ElmoTokenizer

TEXTS = ["the cat sat on the mat.", "Anna's dog", "", "zebra, cat"]
BOS, EOS, UNK, PAD = 0, 1, 2, 12


@pytest.fixture
def rows_of(tokenizer):
    """The rows of a sequence of words; None stands for padding."""

    def rows(words):
        return [[0] * 50 if word is None else tokenizer.encode_words([word])[0].tolist() for word in words]

    return rows


def test_single_text(tokenizer, rows_of):
    batch = tokenizer("the cat's dog")
    assert list(batch) == ["input_ids", "token_type_ids", "attention_mask", "character_ids"]
    assert batch["input_ids"] == [BOS, 3, 4, 11, UNK, EOS]
    assert batch["token_type_ids"] == [0] * 6
    assert batch["attention_mask"] == [1] * 6
    assert batch["character_ids"] == rows_of(["<S>", "the", "cat", "'s", "dog", "</S>"])
    assert batch.tokens() == ["<S>", "the", "cat", "'s", "<UNK>", "</S>"]
    assert batch.word_ids() == [None, 0, 1, 2, 3, None]


def test_batch(tokenizer):
    batch = tokenizer(TEXTS)
    for number, text in enumerate(TEXTS):
        single = tokenizer(text)
        assert {key: values[number] for key, values in batch.items()} == dict(single)
        assert batch.word_ids(number) == single.word_ids()


def test_empty_text(tokenizer, rows_of):
    assert tokenizer("")["character_ids"] == rows_of(["<S>", "</S>"])
    assert tokenizer([], is_split_into_words=True)["input_ids"] == [BOS, EOS]
    assert tokenizer([[], ["cat"]], is_split_into_words=True)["input_ids"] == [[BOS, EOS], [BOS, 4, EOS]]
    nothing = tokenizer("", add_special_tokens=False, return_tensors="pt")
    assert nothing["input_ids"].shape == (1, 0) and nothing["character_ids"].shape == (1, 0, 50)
    assert tokenizer("", add_special_tokens=False)["character_ids"] == []


def test_without_special_tokens(tokenizer, rows_of):
    batch = tokenizer("the dog", add_special_tokens=False)
    assert batch["input_ids"] == [3, UNK]
    assert batch["character_ids"] == rows_of(["the", "dog"])


@pytest.mark.parametrize("is_split", [False, True])
def test_pairs(tokenizer, rows_of, is_split):
    first, second = ["the", "dog"], ["a", "cat", "."]
    texts = (first, second) if is_split else (" ".join(first), " ".join(second))
    batch = tokenizer(*texts, is_split_into_words=is_split)
    assert batch["input_ids"] == [BOS, 3, UNK, EOS, BOS, UNK, 4, 8, EOS]
    assert batch["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert batch["character_ids"] == rows_of(["<S>", *first, "</S>", "<S>", *second, "</S>"])
    assert batch.sequence_ids() == [None, 0, 0, None, None, 1, 1, 1, None]
    assert batch.word_ids() == [None, 0, 1, None, None, 0, 1, 2, None]
    listed = tokenizer([texts[0]], [texts[1]], is_split_into_words=is_split)
    tuples = tokenizer([texts], is_split_into_words=is_split)
    assert {key: [value] for key, value in batch.items()} == dict(listed) == dict(tuples)
    assert tokenizer(texts[0], texts[1][:0], is_split_into_words=is_split)["input_ids"] == [BOS, 3, UNK, EOS]


def test_split_words_stay_whole(tokenizer, rows_of):
    words = ["the cat", "don't", "mat.", "\u00a0", "(", "new\nline"]
    batch = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    assert batch["input_ids"] == [BOS, *[UNK] * len(words), EOS]
    assert batch["character_ids"] == rows_of(["<S>", *words, "</S>"])
    assert batch.word_ids() == [None, *range(len(words)), None]
    assert batch["offset_mapping"][1:-1] == [(0, len(word)) for word in words]


@pytest.mark.parametrize(
    "texts, pairs, message",
    [
        ([["a"], ["b", "", "c"]], None, "word 1 of sentence 1 is empty"),
        (["a", ""], None, "word 1 of sentence 0 is empty"),
        ([["a"], ["b"]], [["c"], [""]], "word 0 of sentence 1 of the second texts is empty"),
        ([(["a"], ["b"]), (["c"], ["d", ""])], None, "word 1 of sentence 1 is empty"),
        ("a text", None, "needs lists of words; sentence 0 is 'a text'"),
    ],
)
def test_empty_words_are_an_error(tokenizer, texts, pairs, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(texts, pairs, is_split_into_words=True)


def test_what_is_no_text_is_an_error(tokenizer):
    with pytest.raises(TypeError, match="sentence 1 is None; it must be a string"):
        tokenizer(["a", None])
    with pytest.raises(TypeError, match="word 1 of sentence 2 is 5; it must be a string"):
        tokenizer([["a"], ["b"], ["c", 5]], is_split_into_words=True)
    with pytest.raises(TypeError, match=r"word 0 of sentence 0 is array\(.*; it must be a string"):
        tokenizer([np.array(["a", "b"]), np.array(["c"])], is_split_into_words=True)
    with pytest.raises(TypeError, match="sentence 1 of the second texts is 5"):
        tokenizer(["a", "b"], ["c", 5])
    with pytest.raises(ValueError, match="the batch is empty"):
        tokenizer([])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("at", ["tokenizer", "call"])
def test_padding(tokenizer, rows_of, side, at):
    options = {"padding_side": side} if at == "call" else {}
    if at == "tokenizer":
        tokenizer.padding_side = side
    batch = tokenizer(["the dog", "cat"], padding=True, **options)
    words = ["<S>", "cat", "</S>"]
    if side == "right":
        assert batch["input_ids"][1] == [BOS, 4, EOS, PAD]
        assert batch["attention_mask"][1] == [1, 1, 1, 0]
        assert batch["character_ids"][1] == rows_of([*words, None])
    else:
        assert batch["input_ids"][1] == [PAD, BOS, 4, EOS]
        assert batch["attention_mask"][1] == [0, 1, 1, 1]
        assert batch["character_ids"][1] == rows_of([None, *words])
    longer = tokenizer("cat", padding="max_length", max_length=6, **options, return_tensors="np")
    assert longer["character_ids"].shape == (1, 6, 50)
    assert (longer["character_ids"].any(-1) == longer["attention_mask"]).all()
    multiple = tokenizer(["the dog", "cat"], padding=True, pad_to_multiple_of=8, return_tensors="np", **options)
    assert multiple["character_ids"].shape == (2, 8, 50)


def test_another_padding_token(tokenizer):
    """A padded position is empty even where padding shares its id with a real token."""
    tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer([["the", "</S>"], ["cat"]], is_split_into_words=True, padding=True, return_tensors="np")
    assert batch["input_ids"].tolist() == [[BOS, 3, EOS, EOS], [BOS, 4, EOS, EOS]]
    assert batch["character_ids"].any(-1).tolist() == [[True] * 4, [True, True, True, False]]


def test_truncation(tokenizer, rows_of):
    batch = tokenizer("the cat sat on zebras", truncation=True, max_length=4)
    assert batch["character_ids"] == rows_of(["<S>", "the", "cat", "</S>"])
    tokenizer.truncation_side = "left"
    batch = tokenizer("the cat sat on zebras", truncation=True, max_length=4)
    assert batch["character_ids"] == rows_of(["<S>", "on", "zebras", "</S>"])
    pair = tokenizer("the cat", "a b c d e", truncation="only_second", max_length=8)
    assert pair["character_ids"] == rows_of(["<S>", "the", "cat", "</S>", "<S>", "d", "e", "</S>"])


@pytest.mark.parametrize("text", ["the cat", ["the cat"], ["the cat", "dog"]])
def test_less_room_than_the_boundaries_take_is_an_error(tokenizer, text):
    assert np.shape(tokenizer(text, truncation=True, max_length=2)["input_ids"])[-1] == 2
    with pytest.raises(ValueError, match="max_length is 1, but the special tokens alone are 2"):
        tokenizer(text, truncation=True, max_length=1)
    assert np.shape(tokenizer(text, truncation=True, max_length=1, add_special_tokens=False)["input_ids"])[-1] == 1
    for pair in ({"text": text, "text_pair": text}, {"text": [("the cat", "dog")]}):
        with pytest.raises(ValueError, match="max_length is 3, but the special tokens alone are 4"):
            tokenizer(**pair, truncation=True, max_length=3)


@pytest.mark.parametrize("is_split", [False, True])
def test_overflow(tokenizer, rows_of, is_split):
    sentences = [["the", "b", "c", "d", "e"], ["cat"]]
    batch = tokenizer(
        sentences if is_split else [" ".join(words) for words in sentences],
        is_split_into_words=is_split,
        truncation=True,
        max_length=5,
        stride=1,
        padding=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch["overflow_to_sample_mapping"] == [0, 0, 1]
    windows = [["the", "b", "c"], ["c", "d", "e"], ["cat"]]
    expected = [["<S>", *words, "</S>", *[None] * (3 - len(words))] for words in windows]
    assert batch["character_ids"] == [rows_of(words) for words in expected]
    assert [len(values) for values in batch.values()] == [3] * len(batch)


def test_overflow_of_pairs(tokenizer, rows_of):
    batch = tokenizer("x y", "a b c", truncation="only_second", max_length=8, stride=1, return_overflowing_tokens=True)
    windows = [["a", "b"], ["b", "c"]]
    assert batch["character_ids"] == [rows_of(["<S>", "x", "y", "</S>", "<S>", *w, "</S>"]) for w in windows]


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("kind, array", [("pt", torch.Tensor), ("np", np.ndarray)])
def test_tensors(tokenizer, kind, array, is_split):
    texts = [text.split() for text in TEXTS] if is_split else TEXTS
    options = {
        "is_split_into_words": is_split,
        "padding": True,
        "return_special_tokens_mask": True,
        "return_offsets_mapping": True,
        "return_length": True,
    }
    lists = tokenizer(texts, **options)
    tensors = tokenizer(texts, **options, return_tensors=kind)
    assert set(lists) == set(tensors)
    for key, values in tensors.items():
        assert isinstance(values, array)
        assert values.tolist() == np.array(lists[key]).tolist()
    assert str(tensors["character_ids"].dtype).endswith("int16")
    assert str(tensors["input_ids"].dtype).endswith("int64")
    assert tensors.word_ids(0) == lists.word_ids(0)
    single = tokenizer(texts[1], is_split_into_words=is_split, return_tensors=kind)
    assert single["character_ids"].shape == (1, single["input_ids"].shape[1], 50)


def test_tensors_need_one_length(tokenizer):
    with pytest.raises(ValueError, match="different lengths, 2 to 9 tokens: padding=True"):
        tokenizer(TEXTS, return_tensors="pt")
    ragged = tokenizer(TEXTS, return_tensors="np")["character_ids"]
    assert [rows.shape for rows in ragged] == [(9, 50), (5, 50), (2, 50), (5, 50)]


def test_outputs_can_be_left_out(tokenizer):
    batch = tokenizer("a b", return_tensors="pt", return_token_type_ids=False, return_attention_mask=False)
    assert set(batch) == {"input_ids", "character_ids"}


def test_decoding(tokenizer):
    ids = tokenizer("the dog sat on Anna's mat.")["input_ids"]
    assert tokenizer.decode(ids) == "<S> the <UNK> sat on Anna 's mat . </S>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the sat on Anna 's mat ."
    assert tokenizer.batch_decode(torch.tensor([ids, ids]))[1] == tokenizer.decode(ids)
    assert tokenizer.convert_ids_to_tokens([3, PAD]) == ["the", "<pad>"]


def test_alignment(tokenizer):
    text = "the dog's mat"
    batch = tokenizer(text)
    assert [text[slice(*batch.token_to_chars(place))] for place in range(1, 5)] == ["the", "dog", "'s", "mat"]
    assert batch.char_to_token(text.index("mat")) == 4
    assert batch.word_to_chars(1) == (4, 7)


def test_words_are_never_taken_apart():
    """Even where every piece of a word, and the mark of pieces, is a word of the vocabulary."""
    tokenizer = ElmoTokenizer(["a", "b", "ab", "\0b", "\0\0b", "##b"])
    assert tokenizer(["abb", "ba", "a\0b", "ab"], is_split_into_words=True).tokens()[1:-1] == ["<UNK>"] * 3 + ["ab"]


def test_endless_words_take_no_time(tokenizer):
    word = "a" * 1_000_000
    assert tokenizer([word], is_split_into_words=True)["input_ids"] == [BOS, UNK, EOS]


def test_added_tokens(tokenizer):
    tokenizer.add_tokens(["bim"])
    assert tokenizer("the bim")["input_ids"] == [BOS, 3, 13, EOS]
    split = tokenizer(["bim", "bimbo", "the"], is_split_into_words=True)
    assert split["input_ids"] == [BOS, 13, UNK, 3, EOS]
    assert split["character_ids"][1:3] == tokenizer.encode_words(["bim", "bimbo"]).tolist()


def test_boundaries_can_be_turned_off(tokenizer):
    tokenizer.add_eos_token = False
    assert tokenizer("the cat")["input_ids"] == [BOS, 3, 4]
    assert len(tokenizer("the cat")["character_ids"]) == 3


def test_calls_leave_no_trace(tokenizer):
    before = tokenizer.backend_tokenizer.to_str()
    tokenizer("the cat", padding="max_length", max_length=9, truncation=True, split_special_tokens=False)
    tokenizer(["the"], is_split_into_words=True)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_threads(tokenizer):
    """Calls with different truncation, padding and splitting at the same time."""
    calls = [
        {"text": TEXTS, "padding": True},
        {"text": TEXTS, "padding": "max_length", "max_length": 12, "padding_side": "left"},
        {"text": TEXTS, "truncation": True, "max_length": 4},
        {"text": [text.split() for text in TEXTS], "is_split_into_words": True},
        {"text": TEXTS, "split_special_tokens": False, "add_special_tokens": False},
    ]
    expected = [dict(tokenizer(**call)) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: dict(tokenizer(**calls[number % len(calls)])), range(400)))
    assert all(result == expected[number % len(calls)] for number, result in enumerate(results))


def test_without_vocabulary():
    tokenizer = ElmoTokenizer()
    assert (len(tokenizer), tokenizer.vocab_size, tokenizer.pad_token_id) == (4, 3, 3)
    batch = tokenizer(["the cat", "dog"], padding=True)
    assert batch["input_ids"] == [[0, 2, 2, 1], [0, 2, 1, 3]]
    assert batch["character_ids"][0] == tokenizer.encode_words(["<S>", "the", "cat", "</S>"]).tolist()


def test_no_warnings(tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        tokenizer.pad([tokenizer(text) for text in TEXTS], return_tensors="pt")
    batch["character_ids"] += 1  # the tensor is our own
    assert tokenizer("cat", return_tensors="pt")["character_ids"][0, 0, 0] == 259
