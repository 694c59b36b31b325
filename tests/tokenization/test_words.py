"""How raw text becomes words."""

import random

import pytest

from tokenization_elmo import ElmoTokenizer

FAMILY = "👩\u200d👩\u200d👧"


@pytest.mark.parametrize(
    "text, words",
    [
        ("I don't know Murray's cat.", "I don 't know Murray 's cat ."),
        ("We’ll see O'Brien, 1990's and boys' toys", "We ’ll see O 'Brien , 1990 's and boys ' toys"),
        ('He said: "No!" (twice) [sic]...', 'He said : " No ! " ( twice ) [ sic ] ...'),
        ("It cost $1,000.50, i.e. 5% more -- at 10:30.", "It cost $ 1,000.50 , i.e. 5 % more -- at 10:30 ."),
        ("Mr. Smith of the U.S. met John F. Kennedy in Jan. 1961.", None),
        ("state-of-the-art AT&T and/or -5 .5 snake_case", "state-of-the-art AT&T and/or -5 .5 snake_case"),
        ("See https://a.org/b?c=d. Mail a.b@c.org!", "See https://a.org/b?c=d . Mail a.b@c.org !"),
        ("than I. The end", "than I . The end"),
        ("``old'' <S> a</S>", "`` old '' < S > a < / S >"),
        (f"{FAMILY}🙂🙂 ok", f"{FAMILY} 🙂 🙂 ok"),
        ("e\u0301tude n\u0303", "e\u0301tude n\u0303"),
        ("今天天气。Привет, мир!", "今天天气 。 Привет , мир !"),
        ("tab\tnew\r\nline\u00a0nbsp", "tab new line nbsp"),
        ("", ""),
        (" \n\t ", ""),
    ],
)
def test_treebank(text, words):
    words = "Mr. Smith of the U.S. met John F. Kennedy in Jan. 1961 ." if words is None else words
    assert ElmoTokenizer().split_words(text) == words.split()


def test_whitespace():
    tokenizer = ElmoTokenizer(word_splitting="whitespace")
    assert tokenizer.split_words("don't  stop, <S>\tnow\u00a0(ok)\n") == ["don't", "stop,", "<S>", "now", "(ok)"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("I can't pay 3.14, ok?", ["I", "can't", "pay", "3.14", ",", "ok", "?"]),
        ("今天カタカナ", ["今", "天", "カタカナ"]),
        ("ภาษาไทย ok", ["ภาษาไทย", "ok"]),
        (f"e\u0301te\u0301{FAMILY}🙂", ["e\u0301te\u0301", FAMILY, "🙂"]),
    ],
)
def test_unicode(text, words):
    assert ElmoTokenizer(word_splitting="unicode").split_words(text) == words


def test_splitting_can_be_changed_later():
    tokenizer = ElmoTokenizer()
    assert tokenizer.split_words("a.") == ["a", "."]
    tokenizer.word_splitting = "whitespace"
    assert tokenizer.split_words("a.") == ["a."]
    assert tokenizer("a.").tokens() == ["<S>", "<UNK>", "</S>"]


def test_words_added_by_hand_stay_whole():
    tokenizer = ElmoTokenizer()
    tokenizer.add_tokens(["New York"])
    assert tokenizer.split_words("in New York, \ud800.") == ["in", "New York", ",", "\ud800", "."]
    # Special tokens in a text are ordinary text still.
    text = "<S>old</S> New York"
    words = ["<", "S", ">", "old", "<", "/", "S", ">", "New York"]
    assert tokenizer.split_words(text) == words
    assert [text[start:end] for start, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]][
        1:-1
    ] == words


def test_special_tokens_stay_whole_where_they_are_asked_to():
    tokenizer = ElmoTokenizer(["costs"], extra_special_tokens=["[NUM]"], split_special_tokens=False)
    assert tokenizer.split_words("it costs [NUM].") == ["it", "costs", "[NUM]", "."]
    options = {"extra_special_tokens": ["[NUM]"], "split_special_tokens": False}
    trained = ElmoTokenizer.train_from_iterator(["it costs [NUM].", ["[NUM]"]], **options)
    assert trained.vocab_size == 6 and trained.convert_tokens_to_ids("[NUM]") >= 6
    assert tokenizer("it costs [NUM].").tokens() == ["<S>", "<UNK>", "costs", "[NUM]", "<UNK>", "</S>"]


def test_unknown_splitting_is_an_error():
    with pytest.raises(ValueError, match="word_splitting is 'moses'.*treebank"):
        ElmoTokenizer(word_splitting="moses")
    with pytest.raises(ValueError, match="word_splitting is 'moses'.*treebank"):
        ElmoTokenizer().word_splitting = "moses"


@pytest.mark.parametrize("word_splitting", ["treebank", "whitespace", "unicode"])
def test_text_is_recoverable_by_offsets(word_splitting):
    tokenizer = ElmoTokenizer(["a", "can"], word_splitting=word_splitting)
    generator = random.Random(0)
    pool = "aZ09 .,'’\"-_/@&:()<S>`$%\n\t\u00a0éÅж今ไย\u0301\u200d\u200b🙂👩🏽\ufe0f\x00\ud800¼²"
    for _ in range(300):
        text = "".join(generator.choice(pool) for _ in range(generator.randint(0, 40)))
        words = tokenizer.split_words(text)
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        assert [text[start:end] for start, end in offsets] == words
        assert all(words)
        covered = {place for start, end in offsets for place in range(start, end)}
        assert all(text[place].isspace() for place in range(len(text)) if place not in covered)
        assert offsets == sorted(offsets)
