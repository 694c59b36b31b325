"""Where the words come from: lists, mappings, files, corpora."""

import gzip

import pytest

from tokenization_elmo import ElmoTokenizer

SPECIAL = ["<S>", "</S>", "<UNK>"]


def ids_of(tokenizer: ElmoTokenizer, words: list[str]) -> list[int]:
    return tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]


class TestGivenWords:
    def test_list(self):
        tokenizer = ElmoTokenizer(["b", "a"])
        assert tokenizer.get_vocab() == {"<S>": 0, "</S>": 1, "<UNK>": 2, "b": 3, "a": 4, "<pad>": 5}
        assert (tokenizer.vocab_size, len(tokenizer), tokenizer.pad_token_id) == (5, 6, 5)
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)

    def test_list_that_has_the_special_tokens(self):
        assert ElmoTokenizer(["a", "</S>", "<UNK>", "<S>"]).convert_ids_to_tokens([0, 1, 2, 3, 4]) == [
            "a",
            "</S>",
            "<UNK>",
            "<S>",
            "<pad>",
        ]

    def test_mapping(self):
        tokenizer = ElmoTokenizer({"a": 1, "<UNK>": 0, "<S>": 3, "</S>": 2})
        assert ids_of(tokenizer, ["a", "b", "<S>"]) == [1, 0, 3]
        assert tokenizer("a")["input_ids"] == [3, 1, 2]

    def test_other_special_tokens(self):
        tokenizer = ElmoTokenizer(["a"], bos_token="<bos>", eos_token="<eos>", unk_token="?", pad_token="-")
        assert tokenizer.get_vocab() == {"<bos>": 0, "<eos>": 1, "?": 2, "a": 3, "-": 4}
        rows = tokenizer("a")["character_ids"]
        assert rows[0] == ElmoTokenizer().encode_words(["<S>"])[0].tolist()
        assert ElmoTokenizer(["a"], cls_token="[C]", sep_token="[S]").pad_token_id == 4

    @pytest.mark.parametrize(
        "vocab, message",
        [
            ({"a": 0}, r"no entry for the special tokens \['<S>', '</S>', '<UNK>'\]"),
            ({"<S>": 0, "</S>": 1, "<UNK>": 2, "a": 2}, "maps 'a' to 2"),
            ({"<S>": 0, "</S>": 1, "<UNK>": 2, "a": -1}, "maps 'a' to -1"),
            (["a", "b\ud800"], r"holds 'b\\ud800' \(id 4\)"),
        ],
    )
    def test_bad_vocabulary(self, vocab, message):
        with pytest.raises(ValueError, match=message):
            ElmoTokenizer(vocab)


class TestVocabularyFile:
    LINES = [*SPECIAL, "the", " cat\t", "!!!MAXTERMID", "the", "a\u2028b", "c\rd", "e\x85", "naïve", "", "x y", ""]
    WORDS = [*SPECIAL, "the", "cat", "the", "a\u2028b", "c\rd", "e", "naïve", "", "x y", ""]

    @pytest.fixture(params=["plain", "gzip", "no newline at the end", "carriage returns"])
    def path(self, request, tmp_path):
        end = "\r\n" if request.param == "carriage returns" else "\n"
        text = end.join(self.LINES) + end
        if request.param == "no newline at the end":
            text = text[: -len(end)] + " "
        path = tmp_path / ("vocab.txt.gz" if request.param == "gzip" else "vocab.txt")
        path.write_bytes(gzip.compress(text.encode()) if request.param == "gzip" else text.encode())
        return path

    def test_rules(self, path):
        tokenizer = ElmoTokenizer.from_vocab_file(path)
        assert tokenizer.vocab_size == len(self.WORDS) == 13
        assert tokenizer.pad_token_id == 13
        words = ["<S>", "the", "cat", "a\u2028b", "c\rd", "e", "naïve", "x y", "dog"]
        assert ids_of(tokenizer, words) == [0, 5, 4, 6, 7, 8, 9, 11, 2]

    def test_both_rows_of_a_repeated_word_stay(self, path, tmp_path):
        made = ElmoTokenizer.from_vocab_file(path)
        made.save_pretrained(tmp_path / "saved")
        for tokenizer in (made, ElmoTokenizer.from_pretrained(tmp_path / "saved")):
            assert tokenizer.convert_ids_to_tokens(list(range(13))) == self.WORDS
            assert tokenizer.convert_ids_to_tokens(3) == "the"
            assert tokenizer.decode([3, 4, 5]) == "the cat the"
            assert (tokenizer.character_table[3] == tokenizer.character_table[5]).all()
            assert (tokenizer.character_table[:13] == tokenizer.encode_words(self.WORDS)).all()
            assert ids_of(tokenizer, ["the"]) == [5]

    def test_options(self, path):
        tokenizer = ElmoTokenizer.from_vocab_file(str(path), word_splitting="whitespace", model_max_length=7)
        assert (tokenizer.word_splitting, tokenizer.model_max_length) == ("whitespace", 7)

    def test_bad_files(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_bytes(b"<S>\n</S>\n<UNK>\ncaf\xe9\n")
        with pytest.raises(ValueError, match=r"vocab.txt:4: not UTF-8"):
            ElmoTokenizer.from_vocab_file(path)
        path.write_text("<S>\n</S>\n<unk>\nthe\n")
        with pytest.raises(ValueError, match=r"vocab.txt: the vocabulary has no line '<UNK>'.*unk_token=\.\.\."):
            ElmoTokenizer.from_vocab_file(path)
        assert ids_of(ElmoTokenizer.from_vocab_file(path, unk_token="<unk>"), ["the", "x"]) == [3, 2]
        with pytest.raises(FileNotFoundError):
            ElmoTokenizer.from_vocab_file(tmp_path / "none.txt")
        path.write_bytes(gzip.compress(b"<S>\n</S>\n<UNK>\n" * 1000)[:-10])
        with pytest.raises(ValueError, match="vocab.txt: the gzip file is broken"):
            ElmoTokenizer.from_vocab_file(path)

    def test_a_byte_order_mark_is_no_part_of_the_first_word(self, tmp_path):
        (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n", encoding="utf-8-sig")
        assert ElmoTokenizer.from_vocab_file(tmp_path / "vocab.txt").convert_ids_to_tokens([0, 3]) == ["<S>", "the"]

    @pytest.mark.slow
    def test_800_thousand_words(self, tmp_path):
        words = SPECIAL + [f"wörd{number}" for number in range(800_000)]
        path = tmp_path / "vocab.txt.gz"
        path.write_bytes(gzip.compress("\n".join(words).encode(), compresslevel=1))
        tokenizer = ElmoTokenizer.from_vocab_file(path)
        assert tokenizer("wörd799999")["input_ids"] == [0, 800_002, 1]
        assert tokenizer.pad_token_id == tokenizer.vocab_size == 800_003

    def test_published_vocabulary(self, shared_data):
        path = shared_data / "fixtures_elmo_configs" / "nlpl_ru.vocab.txt.gz"
        words = [line.strip() for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]]
        tokenizer = ElmoTokenizer.from_vocab_file(path)
        assert tokenizer.vocab_size == len(words)
        last = {word: row for row, word in enumerate(words)}
        some = [word for word in words[::97] if word]
        assert ids_of(tokenizer, some) == [last[word] for word in some]


class TestDicFiles:
    CHARACTERS = ["<oov>\t2", "<bos>\t0", "<eos>\t1", "<pad>\t3", "<bow>\t4", "<eow>\t5", "\u3000\t6", "a\t7"]
    WORDS = ["<oov>\t0", "<bos>\t1", "<eos>\t2", "<pad>\t3", "a\t4", " \t5", "cat\t6", "\t7"]

    def write(self, folder, name, lines):
        path = folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def test_rules(self, tmp_path):
        characters = self.write(tmp_path, "char.dic", self.CHARACTERS)
        words = self.write(tmp_path, "word.dic", self.WORDS)
        tokenizer = ElmoTokenizer.from_dic_files(characters, words)
        assert tokenizer.character_vocab["\u3000"] == 6 and " " not in tokenizer.character_vocab
        # white space stands for U+3000, twice: the last line wins and the row stays
        assert ids_of(tokenizer, ["cat", "\u3000", "a", " ", "<bos>"]) == [6, 7, 4, 0, 1]
        assert len(tokenizer) == tokenizer.vocab_size == 8
        assert tokenizer("\u3000a", return_tensors="np")["character_ids"][0, 1, :4].tolist() == [6, 8, 5, 4]

    def test_only_one_of_the_two(self, tmp_path):
        characters = ElmoTokenizer.from_dic_files(self.write(tmp_path, "char.dic", self.CHARACTERS))
        assert characters.get_vocab() == {"<oov>": 0, "<bos>": 1, "<eos>": 2, "<pad>": 3}
        words = ElmoTokenizer.from_dic_files(word_dic=self.write(tmp_path, "word.dic", self.WORDS))
        assert ids_of(words, ["cat", "dog", "c" * 60]) == [6, 0, 0]
        with pytest.raises(ValueError, match="character_dic, word_dic or both"):
            ElmoTokenizer.from_dic_files()

    @pytest.mark.parametrize("line", ["a", "a\tb\t3", "a\tx", "", "a\t9999999999"])
    def test_bad_lines(self, tmp_path, line):
        path = self.write(tmp_path, "char.dic", [*self.CHARACTERS, line])
        with pytest.raises(ValueError, match="char.dic:9: "):
            ElmoTokenizer.from_dic_files(path)

    def test_missing_entries(self, tmp_path):
        characters = self.write(tmp_path, "char.dic", self.CHARACTERS)
        with pytest.raises(ValueError, match="short.dic: there is no entry '<eow>'"):
            ElmoTokenizer.from_dic_files(self.write(tmp_path, "short.dic", self.CHARACTERS[:5]))
        with pytest.raises(ValueError, match="word.dic: there is no entry '<eos>'"):
            ElmoTokenizer.from_dic_files(characters, self.write(tmp_path, "word.dic", self.WORDS[:2]))


class TestTraining:
    TEXTS = ["the cat, the dog.", "The cat sat.", "the end"]

    def test_texts(self):
        tokenizer = ElmoTokenizer.train_from_iterator(iter(self.TEXTS))
        words = ["the", ".", "cat", ",", "The", "dog", "end", "sat"]
        assert tokenizer.convert_ids_to_tokens(list(range(11))) == [*SPECIAL, *words]

    def test_lists_of_words(self):
        sentences = [["b b", "a", "<S>"], ("a", "</S>", "<pad>", "<UNK>"), ["c\ud800", "a"]]
        tokenizer = ElmoTokenizer.train_from_iterator(sentences)
        assert tokenizer.convert_ids_to_tokens(list(range(6))) == [*SPECIAL, "a", "b b", "<pad>"]
        with pytest.raises(ValueError, match="word 1 of sentence 1 is empty"):
            ElmoTokenizer.train_from_iterator([["a"], ["b", ""]])
        with pytest.raises(TypeError, match="not one string"):
            ElmoTokenizer.train_from_iterator("the cat")

    def test_limits(self):
        assert ElmoTokenizer.train_from_iterator(self.TEXTS, vocab_size=5).vocab_size == 5
        assert ElmoTokenizer.train_from_iterator(self.TEXTS, vocab_size=5).convert_ids_to_tokens([3, 4]) == [
            "the",
            ".",
        ]
        assert ElmoTokenizer.train_from_iterator(self.TEXTS, vocab_size=1).vocab_size == 3
        assert ElmoTokenizer.train_from_iterator(self.TEXTS, min_frequency=2).vocab_size == 6
        assert ElmoTokenizer.train_from_iterator([]).vocab_size == 3

    def test_options(self):
        tokenizer = ElmoTokenizer.train_from_iterator(["the cat."], word_splitting="whitespace", bos_token="<s>")
        assert tokenizer.convert_ids_to_tokens([0, 3, 4]) == ["<s>", "cat.", "the"]
        assert tokenizer.word_splitting == "whitespace"

    def test_new_from_iterator(self, tokenizer):
        tokenizer.padding_side = "left"
        new = tokenizer.train_new_from_iterator([["a dog", "a cat"], "a"], vocab_size=5)
        assert new.convert_ids_to_tokens(list(range(6))) == [*SPECIAL, "a", "cat", "<pad>"]
        assert new.padding_side == "left"
