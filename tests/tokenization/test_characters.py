"""Character rows, byte for byte."""

import json

import numpy as np
import pytest

from tokenization_elmo import ElmoTokenizer

WORDS = [
    "x",
    "cat",
    "naïve",
    "Привет",
    "длинноеслововкириллицекотороедлиннеесорокавосьмибайт",
    "今天",
    "🙂",
    "👩\u200d👩\u200d👧",
    "e\u0301",
    "a" * 47,
    "a" * 48,
    "a" * 49,
    "a" * 47 + "é",  # the 48th byte is the first of two
    "🙂" * 13,
    "two words",
    " ",
    "line\nfeed",
    "nul\0",
    "<UNK>",
    "<pad>",
]


def code_point_row(word: str, ids: dict[str, int], boundary: str | None = None) -> list[int]:
    middle = [ids.get(character, ids["<oov>"]) for character in word[:48]] if boundary is None else [ids[boundary]]
    row = [ids["<eow>"], *middle, ids["<bow>"]]
    return [symbol + 1 for symbol in row + [ids["<pad>"]] * (50 - len(row))]


def test_rows_of_words(tokenizer, byte_row, begin_row, end_row):
    rows = tokenizer.encode_words([*WORDS, "<S>", "</S>"])
    assert rows.dtype == np.int16
    assert rows.tolist() == [*map(byte_row, WORDS), begin_row, end_row]
    assert tokenizer.encode_words([]).shape == (0, 50)


def test_a_row_spelled_out(tokenizer):
    assert tokenizer.encode_words(["cat"])[0].tolist() == [259, 100, 98, 117, 260] + [261] * 45
    assert tokenizer.encode_words(["<S>"])[0].tolist() == [259, 257, 260] + [261] * 47
    assert tokenizer.encode_words(["</S>"])[0].tolist() == [259, 258, 260] + [261] * 47


@pytest.mark.parametrize("vocabulary", [[], WORDS, WORDS[::2]], ids=["unknown", "known", "both"])
def test_rows_do_not_depend_on_the_vocabulary(vocabulary, byte_row, begin_row, end_row):
    tokenizer = ElmoTokenizer(["<S>", "</S>", "<UNK>", *(word for word in vocabulary if word[0] != "<")])
    batch = tokenizer([WORDS, [*WORDS, *WORDS]], is_split_into_words=True, padding=True, return_tensors="np")
    rows = [*map(byte_row, WORDS)]
    empty = [[0] * 50] * len(WORDS)
    assert batch["character_ids"][0].tolist() == [begin_row, *rows, end_row, *empty]
    assert batch["character_ids"][1].tolist() == [begin_row, *rows, *rows, end_row]


def test_boundary_words(tokenizer, byte_row, begin_row, end_row):
    split = tokenizer(["<S>", "</S>", "<pad>", "<UNK>"], is_split_into_words=True, add_special_tokens=False)
    assert split["input_ids"] == [0, 1, 2, 2]
    assert split["character_ids"] == [begin_row, end_row, byte_row("<pad>"), byte_row("<UNK>")]
    assert split["attention_mask"] == [1, 1, 1, 1]


def test_special_tokens_in_raw_text_are_ordinary(byte_row):
    tokenizer = ElmoTokenizer(["a"], word_splitting="whitespace")
    words = ["a", "<S>", "</S>", "<UNK>", "<pad>"]
    raw = tokenizer(" ".join(words), add_special_tokens=False)
    assert raw["input_ids"] == [3, 2, 2, 2, 2]
    assert raw["character_ids"] == [*map(byte_row, words)]
    parsed = tokenizer("a <S>", add_special_tokens=False, split_special_tokens=False)
    assert parsed["input_ids"] == [3, 0]


def test_lone_surrogates(tokenizer, byte_row):
    words = ["cat\ud800s", "\udfff", "cat"]
    split = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
    assert split["character_ids"] == [byte_row("cats"), byte_row(""), byte_row("cat")]
    assert split.word_ids() == [0, 1, 2]
    text = "the \ud83d cat"
    raw = tokenizer(text, text, add_special_tokens=False, return_offsets_mapping=True)
    assert raw["offset_mapping"] == [(0, 3), (4, 5), (6, 9)] * 2
    assert raw["character_ids"] == [byte_row("the"), byte_row(""), byte_row("cat")] * 2
    assert tokenizer.split_words(text) == ["the", "\ud83d", "cat"]


def test_lone_surrogates_are_no_replacement_characters(byte_row):
    tokenizer = ElmoTokenizer(["\ufffd", "a\ufffd"])
    words = ["\ufffd", "\ud800", "a\ufffd", "a\udfff", "<S>"]
    split = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
    assert split["input_ids"] == [3, 2, 4, 2, 0]
    assert split["character_ids"][:4] == [*map(byte_row, words[:4])]
    raw = tokenizer(["\ufffd \ud800", ""], ["\udfff", "\ufffd"], padding=True, add_special_tokens=False)
    assert raw["input_ids"] == [[3, 2, 2], [3, 5, 5]]
    assert raw["character_ids"][0] == [byte_row("\ufffd"), byte_row(""), byte_row("")]


def test_table(tokenizer, byte_row, begin_row, end_row):
    table = tokenizer.character_table
    assert table.shape == (13, 50) and table.dtype == np.int16
    words = ["the", "cat", "sat", "on", "mat", ".", ",", "Anna", "'s"]
    assert table.tolist() == [begin_row, end_row, byte_row("<UNK>"), *map(byte_row, words), [0] * 50]


@pytest.mark.parametrize("words", [["a\x007", "b"], ["a", "b", "b\x009", "a"]])
def test_words_that_end_in_nul_and_digits(words, byte_row):
    tokenizer = ElmoTokenizer(words)
    assert tokenizer.character_table[3:-1].tolist() == [byte_row(word) for word in words]
    assert tokenizer.convert_ids_to_tokens(list(range(3, 3 + len(words)))) == words
    assert tokenizer(words, is_split_into_words=True)["character_ids"][1:-1] == [byte_row(word) for word in words]


def test_table_follows_added_tokens(tokenizer, byte_row):
    tokenizer.character_table  # noqa: B018  made before the change
    tokenizer.add_tokens(["dog"])
    assert tokenizer.character_table.shape == (14, 50)
    assert tokenizer.character_table[13].tolist() == byte_row("dog")


def test_table_cannot_be_written_to(tokenizer):
    with pytest.raises(ValueError, match="read-only"):
        tokenizer.character_table[3] = 0


def test_a_padding_token_that_is_only_named_changes_no_word(tokenizer, byte_row, begin_row, end_row):
    tokenizer.pad_token = "[PAD]"
    batch = tokenizer(["the cat", "the"], padding=True)
    assert batch["character_ids"][0] == [begin_row, byte_row("the"), byte_row("cat"), end_row]
    assert batch["character_ids"][1] == [begin_row, byte_row("the"), end_row, [0] * 50]


def test_boundary_tokens_that_frame_no_text_are_refused(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    tokenizer.eos_token = "[END]"
    with pytest.raises(ValueError, match=r"framed by </S>, but .* eos_token '\[END\]'"):
        tokenizer("the cat")
    with pytest.raises(ValueError, match=r"framed by <S>, but bos_token is '<s>'"):
        ElmoTokenizer.from_pretrained(tmp_path, bos_token="<s>")("the cat")


def test_other_width():
    tokenizer = ElmoTokenizer(["cat"], max_characters_per_token=4)
    assert tokenizer("cat dogs", return_tensors="np")["character_ids"].tolist() == [
        [[259, 257, 260, 261], [259, 100, 98, 260], [259, 101, 112, 260], [259, 258, 260, 261]]
    ]
    with pytest.raises(ValueError, match="max_characters_per_token is 2"):
        ElmoTokenizer(max_characters_per_token=2)


class TestCodePoints:
    """Rows and word rules of ELMoForManyLangs."""

    characters = dict.fromkeys(["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", *"cat今🙂"], 0)
    characters = {entry: number for number, entry in enumerate(characters)}
    words = ["<oov>", "<bos>", "<eos>", "<pad>", "cat", "t" * 48, "c" * 60]

    @pytest.fixture
    def tokenizer(self) -> ElmoTokenizer:
        special = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<oov>", "pad_token": "<pad>"}
        return ElmoTokenizer(self.words, character_vocab=self.characters, **special)

    def test_rows(self, tokenizer):
        words = ["cat", "今🙂", "dog", "ca\ud800", "<oov>", "<pad>", "c" * 60, " "]
        batch = tokenizer(words, is_split_into_words=True)
        rows = [code_point_row(word, self.characters) for word in words]
        begin, end = (code_point_row("", self.characters, boundary) for boundary in ("<bos>", "<eos>"))
        assert batch["character_ids"] == [begin, *rows, end]
        assert tokenizer.encode_words(["<bos>", "cat", "<eos>"]).tolist() == [begin, rows[0], end]
        # <eow> c a t <bow> <pad> ..., one added to every id
        assert rows[0][:6] == [6, 7, 8, 9, 5, 4]

    def test_ids(self, tokenizer):
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
        assert (tokenizer.unk_token_id, tokenizer.pad_token_id) == (0, 3)
        assert len(tokenizer) == tokenizer.vocab_size == 7
        assert not tokenizer.character_table[3].any()

    def test_words_are_cut_before_they_are_looked_up(self, tokenizer):
        words = ["t" * 47, "t" * 48, "t" * 60, "c" * 60, "cat", "<pad>", "<bos>"]
        batch = tokenizer([words, ["cat"]], is_split_into_words=True, padding=True)
        assert batch["input_ids"] == [[1, 0, 5, 5, 0, 4, 0, 1, 2], [1, 4, 2, 3, 3, 3, 3, 3, 3]]
        assert batch["character_ids"][1][3:] == [[0] * 50] * 6
        raw = tokenizer("t" * 60 + " cat", return_offsets_mapping=True)
        assert raw["input_ids"] == [1, 5, 4, 2]
        assert raw["offset_mapping"][1] == (0, 60)

    def test_many_characters_need_wider_integers(self):
        characters = {**self.characters, "猫": 40000}
        tokenizer = ElmoTokenizer(character_vocab=characters)
        assert tokenizer("猫", return_tensors="np")["character_ids"][0, 1, 1] == 40001

    @pytest.mark.parametrize(
        "change, message",
        [({"<bow>": None}, "no entry '<bow>'"), ({"x": -1}, "maps 'x' to -1"), ({7: 8}, "maps 7 to 8")],
    )
    def test_bad_character_vocab(self, change, message):
        characters = {key: value for key, value in {**self.characters, **change}.items() if value is not None}
        with pytest.raises(ValueError, match=message):
            ElmoTokenizer(character_vocab=characters)

    @pytest.mark.parametrize("folder", ["elmoformanylangs_words", "elmoformanylangs_chars"])
    def test_reference_files(self, folder, shared_data):
        place = shared_data / "fixtures_reference" / folder
        word_dic = place / "word.dic" if (place / "word.dic").exists() else None
        tokenizer = ElmoTokenizer.from_dic_files(place / "char.dic", word_dic)
        characters, words = {}, {"<oov>": 0, "<bos>": 1, "<eos>": 2, "<pad>": 3}
        for path, entries in ((place / "char.dic", characters), (word_dic, words)):
            for line in path.read_text(encoding="utf-8").split("\n")[:-1] if path else []:
                fields = line.strip().split("\t")
                entries["\u3000" if len(fields) == 1 else fields[0]] = int(fields[-1])
        for sentence in json.loads(
            (shared_data / "fixtures_reference" / "sentences.json").read_text(encoding="utf-8")
        ):
            batch = tokenizer(sentence, is_split_into_words=True, add_special_tokens=False)
            assert batch["input_ids"] == [words.get(word[:48], 0) for word in sentence]
            assert batch["character_ids"] == [code_point_row(word, characters) for word in sentence]
