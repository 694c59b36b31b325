"""ElmoTokenizer: text to the two things ELMo reads, a word id and a row of characters for every token.

The words are split, looked up, framed, truncated and padded by a Rust backend of the `tokenizers` library, so that
offsets, `word_ids`, pairs, overflow, decoding and `tokenizer.json` work as with every fast tokenizer. This module adds
`character_ids`, which are made from the text of each word and so are right for unknown words too.

Source: Peters et al. 2018, "Deep contextualized word representations", and its published code (byte rows);
Che et al. 2018, "Towards Better UD Parsing", ELMoForManyLangs (code-point rows).
"""

import codecs
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import BatchEncoding, TokenizersBackend
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy, TensorType, to_numpy

__all__ = ["ElmoTokenizer"]

CHARACTER_VOCAB_FILE = "character_vocab.json"
_CHARACTER_SYMBOLS = ("<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>")

# A letter, digit, mark or any other character that is neither space, punctuation nor symbol; and the underscore.
_WORD = r"[_[^\s\p{P}\p{S}]]"
_ABBREVIATIONS = (
    "Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Inc|Corp|Co|Ltd|Gen|Sen|Rep|Gov|Lt|Col|Capt|Sgt|Rev|Hon|Mt|Ft|vs|"
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_TREEBANK = "|".join(
    [
        r"(?:https?|ftp)://\S*[^\s\p{P}]/?",
        rf"(?=\p{{L}}{{2,4}}\.)(?:{_ABBREVIATIONS})\.(?!{_WORD})",
        rf"\p{{L}}{{1,2}}(?:\.\p{{L}}{{1,2}})+\.(?!{_WORD})",  # U.S.  Ph.D.  e.g.
        r"(?!I)\p{Lu}\.(?=\s+\p{Lu})",  # the initial of John F. Kennedy
        # words and numbers with what may stand inside: state-of-the-art, AT&T, and/or, a.b@c.org, -1,000.50, 10:30
        rf"(?:(?<!\S)[-+]?\.?(?=\p{{N}}))?{_WORD}+(?:(?:[-./@&]|(?<=\p{{N}})[,:](?=\p{{N}})){_WORD}+)*",
        r"(?<=[\p{L}\p{M}])['’][\p{L}\p{M}]+",  # at the apostrophe, as in the training text: don 't
        r"(?<=\p{N})['’]s\b",  # 1990 's
        r"\.{2,}|-{2,}|`{2}|'{2}",
        r"(?!\s)\X",  # any other mark stands alone, as a whole grapheme cluster: an emoji is never broken
    ]
)
# Word segments of Unicode Annex 29; the scripts for which the annex asks for a dictionary stay in runs.
_UNICODE = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+|(?!\s)(?y{w})\X"

_PRE_TOKENIZERS = {
    "treebank": pre_tokenizers.Split(Regex(_TREEBANK), behavior="removed", invert=True),
    "whitespace": pre_tokenizers.WhitespaceSplit(),
    "unicode": pre_tokenizers.Split(Regex(_UNICODE), behavior="removed", invert=True),
}
WORD_SPLITTINGS = tuple(_PRE_TOKENIZERS)

_SURROGATES = re.compile("[\ud800-\udfff]")


class ElmoTokenizer(TokenizersBackend):
    """
    Word tokenizer of ELMo. Encodings hold, beside `input_ids` (the rows of the language model's softmax),
    `token_type_ids` and `attention_mask`, the tensor `character_ids` (batch, sequence, `max_characters_per_token`).

    A word's row is its UTF-8 bytes, cut to the first `max_characters_per_token - 2`, between the begin-of-word and
    end-of-word symbols 258 and 259 and padded with 260; the boundary tokens are the symbols 256 and 257. One is added
    to every symbol, so that 0 means "no token here" and the row of a padded position is all zeros. With
    `character_vocab` the row is made of code points instead, as ELMoForManyLangs does it. Rows are int16 arrays or
    tensors where `return_tensors` asks for them, else lists.

    In raw text the special tokens are ordinary text. Among pre-split words (`is_split_into_words=True`) the words
    `bos_token` and `eos_token` mean the boundaries; the other special tokens are unknown words there.

    Args:
        vocab (`list[str]` or `dict[str, int]`, *optional*):
            The words in the order of their ids, or a mapping of word to id. The special tokens missing in a list are
            put in front of it; a mapping must hold them. Of a word that stands twice the last row counts, and every
            row stays. Without a vocabulary every word is unknown and the character rows are the same.
        word_splitting (`str`):
            How raw text becomes words: `"treebank"` (punctuation apart, clitics split at the apostrophe),
            `"whitespace"` (text that is tokenized already) or `"unicode"` (word segments of Unicode Annex 29).
        max_characters_per_token (`int`):
            Width of a character row, boundary symbols included.
        character_vocab (`dict[str, int]`, *optional*):
            Character ids of ELMoForManyLangs: a number for each code point (a string of length one) and for `<bos>`,
            `<eos>`, `<oov>`, `<pad>`, `<bow>`, `<eow>`. Or the path of a JSON file that holds it. Words are then cut
            to `max_characters_per_token - 2` code points before they are looked up. `None`: bytes.
        split_special_tokens (`bool`):
            Whether special tokens in raw text are ordinary text.
        tokenizer_file (`str`, *optional*):
            A `tokenizer.json` that an ElmoTokenizer saved; used in place of `vocab`.

    Raises:
        ValueError: if `vocab` lacks a special token or gives an id twice, `character_vocab` lacks a symbol, or an
            option is unknown.
    """

    vocab_files_names = {"tokenizer_file": "tokenizer.json", "character_vocab": CHARACTER_VOCAB_FILE}
    model_input_names = ["input_ids", "character_ids", "token_type_ids", "attention_mask"]
    model = models.WordPiece

    def __init__(
        self,
        vocab: Sequence[str] | dict[str, int] | None = None,
        word_splitting: str = "treebank",
        max_characters_per_token: int = 50,
        character_vocab: dict[str, int] | str | Path | None = None,
        bos_token: str = "<S>",
        eos_token: str = "</S>",
        unk_token: str = "<UNK>",
        pad_token: str = "<pad>",
        split_special_tokens: bool = True,
        tokenizer_file: str | None = None,
        **kwargs,
    ):
        if word_splitting not in _PRE_TOKENIZERS:
            raise ValueError(f"word_splitting is {word_splitting!r}; choose one of {sorted(_PRE_TOKENIZERS)}")
        if isinstance(character_vocab, (str, Path)):
            character_vocab = _read_json(character_vocab)
        self.max_characters_per_token = max_characters_per_token
        self.character_vocab = character_vocab
        if character_vocab is None:
            self._characters = _ByteRows(max_characters_per_token)
        else:
            self._characters = _CodePointRows(max_characters_per_token, character_vocab)
        # The character table, under what it was made of. `datasets` leaves an attribute of this name out of the hash
        # by which it finds its files again.
        self.cache: dict[tuple, np.ndarray] = {}

        special = [str(token) for token in (bos_token, eos_token, unk_token) if token is not None]
        if tokenizer_file is not None:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            # A pre-tokenizer that is none of ours was put there by hand and stays.
            if self._saved_word_splitting() not in (None, word_splitting):
                self._tokenizer.pre_tokenizer = _PRE_TOKENIZERS[word_splitting]
            if ("add_bos_token" in kwargs) != ("add_eos_token" in kwargs):  # the other one stays as it was saved
                framing = self._tokenizer.encode("").tokens
                saved = {"add_bos_token": str(bos_token) in framing, "add_eos_token": str(eos_token) in framing}
                kwargs = {**saved, **kwargs}
        else:
            rows = _vocabulary_rows([] if vocab is None else vocab, special)
            longest = None if character_vocab is None else max_characters_per_token - 2
            self._tokenizer = _backend(rows, str(unk_token), longest)
            self._tokenizer.pre_tokenizer = _PRE_TOKENIZERS[word_splitting]
            # First of the added tokens, so that its id is the number of rows.
            if pad_token is not None:
                self._tokenizer.add_special_tokens([str(pad_token)])
            kwargs = {"add_bos_token": True, "add_eos_token": True, **kwargs}
        self._word_splitting = word_splitting

        super().__init__(
            word_splitting=word_splitting,
            max_characters_per_token=max_characters_per_token,
            character_vocab=character_vocab,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            pad_token=pad_token,
            split_special_tokens=split_special_tokens,
            **kwargs,
        )
        if "add_bos_token" not in kwargs and "add_eos_token" not in kwargs:
            framing = self._tokenizer.encode("").ids
            self._add_bos_token = self.bos_token_id in framing
            self._add_eos_token = self.eos_token_id in framing

    # Construction

    @classmethod
    def convert_to_native_format(cls, **kwargs) -> dict[str, Any]:
        """Leave `tokenizer_file` to `__init__`, which reads it whole: nothing is rebuilt from its vocabulary."""
        if kwargs.get("tokenizer_file") is None and kwargs.get("vocab") is None:
            raise OSError(
                f"{kwargs.get('name_or_path')} has no tokenizer.json. For a tokenizer that knows no words use "
                "ElmoTokenizer(), for the words of a vocabulary file ElmoTokenizer.from_vocab_file(path)"
            )
        kwargs.pop("trust_remote_code", None)
        return kwargs

    @classmethod
    def from_vocab_file(cls, path: str | Path, **options) -> "ElmoTokenizer":
        """
        Read the vocabulary file of a language model: one word a line (plain or gzip), the special tokens among them.

        The file is split at line feeds only and the lines are stripped; `!!!MAXTERMID` lines are skipped and not
        counted; of a word that stands twice the last line wins and both rows stay. `options` go to the class.

        Raises:
            ValueError: naming the file, if it is not UTF-8 or lacks a special token.
        """
        lines = _read_lines(path)
        words = [word for word in map(str.strip, lines) if word != "!!!MAXTERMID"]
        known = set(words)
        for name, default in (("bos_token", "<S>"), ("eos_token", "</S>"), ("unk_token", "<UNK>")):
            token = str(options.get(name, default))
            if token not in known:
                raise ValueError(
                    f"{path}: the vocabulary has no line {token!r}: add it to the file, or in Python name the token "
                    f"that the file uses ({name}=...) or pass the words as a list (vocab=[...]), which adds it"
                )
        return cls(vocab=words, **options)

    @classmethod
    def from_dic_files(
        cls, character_dic: str | Path | None = None, word_dic: str | Path | None = None, **options
    ) -> "ElmoTokenizer":
        """
        Read `char.dic` and `word.dic` of an ELMoForManyLangs model; either may be absent (`char_dim` or `word_dim` 0).

        Each line is an entry, a TAB and an id. Lines are stripped first, so an entry that is white space leaves the
        id alone; it stands for U+3000. `options` go to the class.

        Raises:
            ValueError: naming the file and the line, if a line is not of this form or an entry is missing.
        """
        if character_dic is None and word_dic is None:
            raise ValueError("from_dic_files needs character_dic, word_dic or both")
        special = {"unk_token": "<oov>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", **options}
        characters = _read_dic(character_dic, _CHARACTER_SYMBOLS)
        words = _read_dic(word_dic, [special[name] for name in ("unk_token", "bos_token", "eos_token", "pad_token")])
        return cls(vocab=words, character_vocab=characters, **special)

    @classmethod
    def train_from_iterator(
        cls,
        texts: Iterable[str | Sequence[str]],
        vocab_size: int | None = None,
        min_frequency: int = 1,
        **options,
    ) -> "ElmoTokenizer":
        """
        Count words and keep the most frequent ones, by falling count and then by code point.

        Args:
            texts: raw texts (split as `word_splitting` says) or lists of words.
            vocab_size (`int`, *optional*): the most rows that the vocabulary may have, special tokens included.
            min_frequency (`int`): words that occur less often are left out.
            options: go to the class.
        """
        if isinstance(texts, str):
            raise TypeError("train_from_iterator needs texts or lists of words, not one string")
        empty = cls(**options)
        counts: Counter[str] = Counter()
        for number, text in enumerate(texts):
            words = empty.split_words(text) if isinstance(text, str) else text
            if "" in words:
                raise _empty_word(number, list(words).index(""))
            counts.update(words)
        for token in empty.all_special_tokens:
            counts.pop(token, None)
        # Rust strings hold no lone surrogates: such a word stays unknown.
        kept = [word for word, count in counts.items() if count >= min_frequency and not _SURROGATES.search(word)]
        kept.sort(key=lambda word: (-counts[word], word))
        special = empty._rows()[: empty.vocab_size]
        return cls(vocab=[*special, *kept][: vocab_size and max(vocab_size, len(special))], **options)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str | Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Any] | None = None,
        special_tokens_map: dict[str, str] | None = None,
        min_frequency: int = 1,
        **kwargs,
    ) -> "ElmoTokenizer":
        """
        A tokenizer with the options of this one and the vocabulary of another corpus; the library's method, so lists
        in `text_iterator` are batches of texts (`train_from_iterator` reads lists of words).
        """
        names = ["word_splitting", "max_characters_per_token", "character_vocab", "split_special_tokens"]
        names += ["model_max_length", "padding_side", "truncation_side", "add_bos_token", "add_eos_token"]
        options = {name: getattr(self, name) for name in names}
        for name, token in self.special_tokens_map.items():
            if name in self.SPECIAL_TOKENS_ATTRIBUTES:
                options[name] = (special_tokens_map or {}).get(token, token)
        options["extra_special_tokens"] = [*self.extra_special_tokens, *(new_special_tokens or [])]
        texts = chain.from_iterable([batch] if isinstance(batch, str) else batch for batch in text_iterator)
        return type(self).train_from_iterator(texts, vocab_size, min_frequency, **options)

    # Words and their rows

    @property
    def word_splitting(self) -> str:
        """How raw text becomes words: `"treebank"`, `"whitespace"` or `"unicode"`."""
        return self._word_splitting

    @word_splitting.setter
    def word_splitting(self, value: str):
        if value not in _PRE_TOKENIZERS:
            raise ValueError(f"word_splitting is {value!r}; choose one of {sorted(_PRE_TOKENIZERS)}")
        self._tokenizer.pre_tokenizer = _PRE_TOKENIZERS[value]
        self._word_splitting = value

    def split_words(self, text: str) -> list[str]:
        """The words of a raw text, as they stand in it."""
        whole = _without_surrogates(text)
        split_special_tokens = self.split_special_tokens
        if split_special_tokens and all(token.special for token in self.added_tokens_decoder.values()):
            spans = [span for _, span in self._tokenizer.pre_tokenizer.pre_tokenize_str(whole)]
        else:  # words that were added by hand may have spaces in them
            backend = self._view(False, split_special_tokens)._tokenizer
            spans = backend.encode(whole, add_special_tokens=False).offsets
        return [text[start:end] for start, end in spans]

    def encode_words(self, words: Sequence[str]) -> np.ndarray:
        """
        The character rows (words, `max_characters_per_token`) of whole words, int16. The words `bos_token` and
        `eos_token` give the boundary rows.
        """
        rows = self._characters.encode(words)
        for boundary, row in zip((self.bos_token, self.eos_token), self._characters.boundaries, strict=True):
            if boundary in words:
                rows[[word == boundary for word in words]] = row
        return rows

    @property
    def character_table(self) -> np.ndarray:
        """The character row of every id, (`len(tokenizer)`, `max_characters_per_token`), int16, read-only. That of the
        padding token is all zeros.

        Raises:
            ValueError: if `bos_token` or `eos_token` are not those by which the backend frames a text.
        """
        special = (self.bos_token, self.eos_token, self.pad_token)
        key = (len(self), *special)
        cache = self.cache
        if key not in cache:
            unknown = [token for token in self._tokenizer.encode("").tokens if token not in special[:2]]
            if unknown:
                raise ValueError(
                    f"texts are framed by {', '.join(unknown)}, but bos_token is {self.bos_token!r} and eos_token "
                    f"{self.eos_token!r}: leave them as the tokenizer was saved, or make a new one (vocab=[...])"
                )
            table = self._characters.encode([_unmarked(word, row) for row, word in enumerate(self._rows())])
            rows = (*self._characters.boundaries, 0)
            for token, row in reversed(list(zip(special, rows, strict=True))):
                number = None if token is None else self._tokenizer.token_to_id(token)
                if number is not None:  # a token that was only named, and not added, is in no text
                    table[number] = row
            table.setflags(write=False)
            self.cache = cache = {key: table}
        return cache[key]

    def _rows(self) -> list[str]:
        """All tokens in the order of their ids."""
        ids = self._tokenizer.get_vocab(with_added_tokens=True)
        tokens = [""] * (max(ids.values()) + 1)
        for token, row in ids.items():
            tokens[row] = token
        return tokens

    def _saved_word_splitting(self) -> str | None:
        """The name of the backend's pre-tokenizer, if it is one of ours."""
        state = self._tokenizer.pre_tokenizer and self._tokenizer.pre_tokenizer.__getstate__()
        return next((name for name, known in _PRE_TOKENIZERS.items() if known.__getstate__() == state), None)

    # Encoding

    def _encode_plus(
        self,
        text,
        text_pair=None,
        *,
        add_special_tokens: bool = True,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        is_split_into_words: bool = False,
        split_special_tokens: bool | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        **kwargs,
    ) -> BatchEncoding:
        """The library's encoding with `character_ids` added; arguments and result as there."""
        is_batch = isinstance(text, (list, tuple)) and not (is_split_into_words and not _is_nested(text))
        texts = text if is_batch else [text]
        pairs = text_pair if is_batch else [text_pair] if text_pair else None
        _check_texts(texts, pairs, is_split_into_words)
        if truncation_strategy != TruncationStrategy.DO_NOT_TRUNCATE and add_special_tokens:
            are_pairs = pairs is not None or any(_is_pair(sample, is_split_into_words) for sample in texts)
            marks = self.num_special_tokens_to_add(are_pairs)
            if max_length is not None and max_length < marks:  # Rust would cut nothing
                raise ValueError(f"max_length is {max_length}, but the special tokens alone are {marks}")
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        split_special_tokens |= is_split_into_words
        if return_token_type_ids is None:
            return_token_type_ids = "token_type_ids" in self.model_input_names
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names

        lists_wanted = return_tensors is None
        view = self._view(is_split_into_words, split_special_tokens)
        options = {
            "add_special_tokens": add_special_tokens,
            "truncation_strategy": truncation_strategy,
            "max_length": max_length,
            "is_split_into_words": is_split_into_words,
            "split_special_tokens": split_special_tokens,
            "return_token_type_ids": return_token_type_ids and lists_wanted,
            "return_attention_mask": return_attention_mask and lists_wanted,
            "return_overflowing_tokens": return_overflowing_tokens,
            **kwargs,
        }
        has_surrogates = False
        try:
            batch = TokenizersBackend._encode_plus(view, texts, pairs, **options)
        except TypeError:
            # Rust takes no lone surrogates. One for one, so that offsets and word numbers stay true.
            replaced = _without_surrogates(texts), _without_surrogates(pairs)
            if replaced == (texts, pairs):
                _check_types(texts, pairs, is_split_into_words)
                raise
            has_surrogates = True
            batch = TokenizersBackend._encode_plus(view, *replaced, **options)
        encodings = batch.encodings
        if encodings is None:
            raise NotImplementedError("character_ids need the offsets, which sanitize_control_tokens=True leaves out")

        samples = texts if pairs is None else list(zip(texts, pairs, strict=True))
        if return_overflowing_tokens:
            samples = [samples[number] for number in batch["overflow_to_sample_mapping"]]
        lengths = [len(encoding) for encoding in encodings]
        attention_mask = _flatten(encoding.attention_mask for encoding in encodings)
        ids, rows = self._look_up(
            encodings, lengths, attention_mask, samples, is_split_into_words, split_special_tokens, has_surrogates
        )
        if lists_wanted:
            batch["input_ids"] = [part.tolist() for part in _parts(ids, lengths)]
            batch["character_ids"] = [part.tolist() for part in _parts(rows, lengths)]
            if is_batch or return_overflowing_tokens:
                return batch
            first = {key: value[0] if isinstance(value[0], list) else value for key, value in batch.items()}
            return BatchEncoding(first, encodings)

        # Straight from arrays: the library's way over nested lists takes longer than all the rest.
        arrays = {"input_ids": ids, "character_ids": rows}
        if return_token_type_ids:
            arrays["token_type_ids"] = _flatten(encoding.type_ids for encoding in encodings)
        if return_attention_mask:
            arrays["attention_mask"] = attention_mask
        tensors = {key: _as_tensor(array, lengths, return_tensors) for key, array in arrays.items()}
        others = BatchEncoding({key: value for key, value in batch.items() if key not in arrays})
        others.convert_to_tensors(return_tensors)
        return BatchEncoding({**tensors, **others}, encodings)

    def _view(self, is_split_into_words: bool, split_special_tokens: bool) -> "ElmoTokenizer":
        """
        This tokenizer with a backend of its own for one call. The library keeps truncation, padding and the rest in
        the backend, where another thread would meet them; a backend that shares the vocabulary costs a microsecond.
        """
        shared = self._tokenizer
        backend = Tokenizer(shared.model)
        backend.normalizer = shared.normalizer
        backend.post_processor = shared.post_processor
        backend.encode_special_tokens = split_special_tokens
        if not is_split_into_words:
            backend.pre_tokenizer = shared.pre_tokenizer
            added = [token for _, token in sorted(shared.get_added_tokens_decoder().items())]
            if not (split_special_tokens and all(token.special for token in added)):
                backend.add_tokens(added)
        view = object.__new__(type(self))
        # The backend of the view need not know the padding token.
        view.__dict__.update(self.__dict__, _tokenizer=backend, pad_token_id=self.pad_token_id)
        return view

    def _look_up(
        self,
        encodings: list,
        lengths: list[int],
        attention_mask: np.ndarray,
        samples: Sequence,
        is_split_into_words: bool,
        split_special_tokens: bool,
        has_surrogates: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ids (tokens of all encodings,) and the character rows (tokens, `max_characters_per_token`)."""
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int64, sum(lengths))
        rows = self.character_table[ids]
        rows[attention_mask == 0] = 0

        # Tokens of the text whose id does not tell their characters.
        unknown_id = self._tokenizer.token_to_id(self._tokenizer.model.unk_token)
        nameless = {unknown_id}
        if split_special_tokens:
            boundaries = {self.bos_token_id, self.eos_token_id}
            nameless |= {self.pad_token_id} - boundaries if is_split_into_words else {self.pad_token_id, *boundaries}
        unknown = np.zeros(len(ids), np.bool_)
        for token in nameless - {None}:
            unknown |= ids == token
        if has_surrogates:  # for which Rust read U+FFFD, which a word of the vocabulary may hold
            places = np.flatnonzero(["\ufffd" in token for encoding in encodings for token in encoding.tokens])
            if len(places):
                words = _words_at(places, lengths, encodings, samples, is_split_into_words)
                unknown[places] |= [_SURROGATES.search(word) is not None for word in words]
        if unknown.any():
            special_tokens_mask = _flatten(encoding.special_tokens_mask for encoding in encodings)
            unknown &= (attention_mask == 1) & (special_tokens_mask == 0)
        if not unknown.any():
            return ids, rows
        positions = np.flatnonzero(unknown)
        numbers: dict[str, int] = {}
        words = _words_at(positions, lengths, encodings, samples, is_split_into_words)
        inverse = [numbers.setdefault(word, len(numbers)) for word in words]
        rows[positions] = self._characters.encode(list(numbers))[inverse]
        ids[positions] = self._ids_of_unknown(list(numbers), unknown_id, is_split_into_words)[inverse]
        return ids, rows

    def _ids_of_unknown(self, words: list[str], unknown_id: int, is_split_into_words: bool) -> np.ndarray:
        """The ids of words that Rust did not find: unknown, but for two kinds."""
        ids = np.full(len(words), unknown_id, np.int64)
        if self.character_vocab is not None:  # found once they are cut
            longest = self.max_characters_per_token - 2
            for number, word in enumerate(words):
                if len(word) > longest:
                    cut = self._tokenizer.token_to_id(_without_surrogates(word[:longest]))
                    ids[number] = unknown_id if cut is None else cut
        if is_split_into_words:  # tokens that were added by hand; Rust would look for them inside words too
            added = {str(token): row for row, token in self.added_tokens_decoder.items() if not token.special}
            if added:
                for number, word in enumerate(words):
                    ids[number] = added.get(word, ids[number])
        return ids

    def convert_ids_to_tokens(self, ids: int | list[int], skip_special_tokens: bool = False) -> str | list[str] | None:
        tokens = super().convert_ids_to_tokens(ids, skip_special_tokens)
        row_of = self._tokenizer.token_to_id
        if isinstance(tokens, list):
            return [token and _unmarked(token, row_of(token)) for token in tokens]
        return tokens and _unmarked(tokens, row_of(tokens))

    def pad(
        self,
        encoded_inputs,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """
        The library's padding of encodings that are already made, for `character_ids` too: rows of zeros, int16 arrays
        or tensors where such are asked for or given. `input_ids` may be absent if `character_ids` is there.
        """
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs and isinstance(encoded_inputs[0], Mapping):
            inputs = {key: [example[key] for example in encoded_inputs] for key in encoded_inputs[0]}
        else:
            inputs = dict(encoded_inputs)
        rows = inputs.pop("character_ids", None)
        options = {
            "padding": padding,
            "max_length": max_length,
            "pad_to_multiple_of": pad_to_multiple_of,
            "padding_side": padding_side,
            "return_attention_mask": return_attention_mask,
            "verbose": verbose,
        }
        if rows is None or len(rows) == 0:
            batch = super().pad(inputs, return_tensors=return_tensors, **options)
            return batch if rows is None else BatchEncoding({**batch, "character_ids": rows})

        is_batch = next((np.ndim(item[0]) > 0 for item in rows if len(item)), True)
        examples = [self._as_rows(example) for example in (rows if is_batch else [rows])]
        has_ids = "input_ids" in inputs
        if not has_ids:
            ids = [[0] * len(example) for example in examples]
            inputs["input_ids"] = ids if is_batch else ids[0]
            if return_tensors is None and not isinstance(rows[0], (list, tuple)):
                return_tensors = "pt" if torch.is_tensor(rows[0]) else "np"
        for number, ids in enumerate(inputs["input_ids"] if is_batch else [inputs["input_ids"]]):
            if len(ids) != len(examples[number]):
                raise ValueError(
                    f"example {number} has {len(ids)} input_ids but {len(examples[number])} rows of character_ids"
                )
        batch = super().pad(inputs, return_tensors=return_tensors, **options)

        ids = batch["input_ids"] if has_ids else batch.pop("input_ids")
        left = (padding_side or self.padding_side) == "left"
        for number, padded_ids in enumerate(ids if is_batch else [ids]):
            missing = len(padded_ids) - len(examples[number])
            examples[number] = np.pad(examples[number], ((missing, 0) if left else (0, missing), (0, 0)))
        if isinstance(ids, list):
            lists = [example.tolist() for example in examples]
            batch["character_ids"] = lists if is_batch else lists[0]
        else:
            tensor_type = return_tensors or ("pt" if torch.is_tensor(ids) else "np")
            tensor = _as_tensor(np.concatenate(examples), [len(example) for example in examples], tensor_type)
            batch["character_ids"] = tensor if is_batch else tensor[0]
        return batch

    def _as_rows(self, example) -> np.ndarray:
        """The character rows of one example, lists or tensors, as an array (tokens, `max_characters_per_token`)."""
        if len(example) == 0:
            return np.zeros((0, self.max_characters_per_token), self._characters.dtype)
        rows = np.asarray(to_numpy(example), self._characters.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.max_characters_per_token:
            raise ValueError(
                f"character_ids of one example have shape {rows.shape}; this tokenizer's are (tokens, "
                f"{self.max_characters_per_token})"
            )
        return rows

    def _save_pretrained(
        self,
        save_directory: str | Path,
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        file_names = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        name = f"{filename_prefix}-{CHARACTER_VOCAB_FILE}" if filename_prefix else CHARACTER_VOCAB_FILE
        path = Path(save_directory) / name
        if self.character_vocab is None:
            path.unlink(missing_ok=True)  # of another tokenizer, saved here before
        else:
            path.write_text(json.dumps(self.character_vocab), encoding="utf-8")
            file_names = (*file_names, str(path))
        return file_names

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cache": {}}  # made again where it is needed


class _CharacterRows:
    """Character rows of a given width: a frame of symbols around the characters of a word, one added to every id."""

    def __init__(self, width: int, begin: int, end: int, pad: int, boundaries: tuple[int, int], size: int):
        if width < 3:
            raise ValueError(f"max_characters_per_token is {width}; it must hold two boundary symbols and a character")
        self.longest = width - 2
        self.dtype = np.int16 if size < 2**15 else np.int32
        self._begin, self._end, self._pad = begin, end, pad
        self.boundaries = self._frame(np.array(boundaries), np.array([1, 1]))

    def _frame(self, characters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Rows (words, width) of the words' concatenated characters; `lengths` are at most `longest`."""
        rows = np.full((len(lengths), self.longest + 2), self._pad, self.dtype)
        rows[:, 0] = self._begin
        rows[:, 1:-1][np.arange(self.longest) < lengths[:, None]] = characters
        rows[np.arange(len(lengths)), lengths + 1] = self._end
        rows += 1
        return rows


class _ByteRows(_CharacterRows):
    """Rows of UTF-8 bytes. The cut may fall inside a character; lone surrogates leave no bytes."""

    def __init__(self, width: int):
        super().__init__(width, begin=258, end=259, pad=260, boundaries=(256, 257), size=262)

    def encode(self, words: Sequence[str]) -> np.ndarray:
        pieces = [word.encode("utf-8", "ignore")[: self.longest] for word in words]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        return self._frame(np.frombuffer(b"".join(pieces), np.uint8), lengths)


class _CodePointRows(_CharacterRows):
    """
    Rows of code points by a table of ids. `<eow>` stands in front and `<bow>` behind: they are swapped in every
    trained model of ELMoForManyLangs.
    """

    def __init__(self, width: int, vocab: dict[str, int]):
        for symbol in _CHARACTER_SYMBOLS:
            if symbol not in vocab:
                raise ValueError(f"character_vocab has no entry {symbol!r}; it needs one beside the code points")
        for character, number in vocab.items():
            if not isinstance(character, str) or not isinstance(number, int) or number < 0:
                raise ValueError(
                    f"character_vocab maps {character!r} to {number!r}; it must map strings to ids from 0"
                )
        boundaries = (vocab["<bos>"], vocab["<eos>"])
        size = max(vocab.values()) + 2
        super().__init__(width, vocab["<eow>"], vocab["<bow>"], vocab["<pad>"], boundaries, size)
        self._ids = np.full(0x110000, vocab["<oov>"], self.dtype)
        for character, number in vocab.items():
            if len(character) == 1:
                self._ids[ord(character)] = number

    def encode(self, words: Sequence[str]) -> np.ndarray:
        pieces = [word[: self.longest] for word in words]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        code_points = np.frombuffer("".join(pieces).encode("utf-32-le", "surrogatepass"), "<u4")
        return self._frame(self._ids[code_points], lengths)


def _vocabulary_rows(vocab: Sequence[str] | dict[str, int], special: list[str]) -> list[str | None]:
    """The words in the order of their ids; None for an id that no word has."""
    if not isinstance(vocab, dict):
        known = set(vocab)
        return [token for token in special if token not in known] + list(vocab)
    missing = [token for token in special if token not in vocab]
    if missing:
        raise ValueError(f"vocab has no entry for the special tokens {missing}; a mapping must give their ids too")
    rows: list[str | None] = [None] * (max(vocab.values()) + 1)
    for word, row in vocab.items():
        if row < 0 or rows[row] is not None:
            raise ValueError(f"vocab maps {word!r} to {row}; ids must count from 0 and stand for one word each")
        rows[row] = word
    return rows


def _mark(row: int) -> str:
    """What stands behind the word of a row that has none, or one that stands again further down: the Rust vocabulary
    holds a word once."""
    return f"\0{row}"


def _unmarked(word: str, row: int) -> str:
    return word.removesuffix(_mark(row))


def _backend(rows: list[str | None], unk_token: str, longest: int | None) -> Tokenizer:
    """A Rust tokenizer that looks up whole words, in code points no longer than `longest`."""
    last = {word: row for row, word in enumerate(rows)}
    vocab = last
    if len(last) < len(rows) or None in last:
        last[None] = None
        vocab = {word if last[word] == row else f"{word or ''}{_mark(row)}": row for row, word in enumerate(rows)}
    # WordPiece, not WordLevel: pipelines then know that no word is a part of another. No entry may begin with the
    # prefix, so that no word is ever taken apart.
    prefix = "\0"
    while any(word.startswith(prefix) for word in vocab):
        prefix += "\0"
    try:
        model = models.WordPiece(
            vocab,
            unk_token=unk_token,
            continuing_subword_prefix=prefix,
            # Rust tries every beginning of an unknown word: longer ones than any entry need no try.
            max_input_chars_per_word=longest or max(map(len, vocab)),
        )
    except TypeError as error:
        bad = next((word for word in vocab if not isinstance(word, str) or _SURROGATES.search(word)), None)
        raise ValueError(f"vocab holds {bad!r} (id {vocab.get(bad)}), which is no Unicode text") from error
    backend = Tokenizer(model)
    if vocab is not last:
        backend.decoder = decoders.Sequence(
            [decoders.Replace(Regex(r"\x00\d+$"), ""), decoders.WordPiece(prefix=prefix, cleanup=False)]
        )
    return backend


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


def _read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 file, plain or gzip, split at line feeds only."""
    data = Path(path).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is broken ({error})") from error
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 ({error.reason} {data[error.start]:#04x})") from error
    return lines[:-1] if lines[-1] == "" else lines


def _read_dic(path: str | Path | None, required: Sequence[str]) -> dict[str, int]:
    """The entries of a .dic file of ELMoForManyLangs and their ids; where there is none, the required ones."""
    if path is None:
        return {entry: number for number, entry in enumerate(required)}
    entries = {}
    for number, line in enumerate(_read_lines(path), start=1):
        *entry, row = line.strip().split("\t")
        if len(entry) > 1 or not row.isdecimal():
            raise ValueError(f"{path}:{number}: {line!r} is not an entry, a TAB and an id")
        if len(row) > 7:  # each id up to the largest takes memory
            raise ValueError(f"{path}:{number}: {row[:20]} is too large for an id, which has at most 7 digits")
        entries[entry[0] if entry else "\u3000"] = int(row)
    for entry in required:
        if entry not in entries:
            raise ValueError(f"{path}: there is no entry {entry!r}")
    return entries


def _without_surrogates(text):
    """A text, or lists of texts, with each lone surrogate replaced by U+FFFD."""
    if isinstance(text, str):
        return _SURROGATES.sub("\ufffd", text)
    if isinstance(text, (list, tuple)):
        return type(text)(map(_without_surrogates, text))
    return text


def _is_nested(words) -> bool:
    return len(words) > 0 and isinstance(words[0], (list, tuple))


def _is_pair(sample, is_split_into_words: bool) -> bool:
    return _is_nested(sample) if is_split_into_words else not isinstance(sample, str)


def _empty_word(sentence: int, position: int, where: str = "") -> ValueError:
    return ValueError(f"word {position} of sentence {sentence}{where} is empty (counted from 0); leave it out")


def _check_texts(texts: Sequence, pairs: Sequence | None, is_split_into_words: bool):
    """Raise for what Rust would take in silence, or refuse without saying where it is."""
    if len(texts) == 0:
        raise ValueError("the batch is empty: there is no text to encode")
    if not is_split_into_words:
        return
    for where, sentences in (("", texts), (" of the second texts", pairs or [])):
        for number, sentence in enumerate(sentences):
            if isinstance(sentence, str):
                raise ValueError(f"is_split_into_words=True needs lists of words; sentence {number} is {sentence!r}")
            for words in sentence if _is_nested(sentence) else [sentence]:
                if len(words) and not isinstance(words[0], str):  # an array cannot be compared with ""
                    _check_types(texts, pairs, is_split_into_words)
                if "" in words:  # Rust would drop it, and so shift every later word
                    raise _empty_word(number, list(words).index(""), where)


def _check_types(texts: Sequence, pairs: Sequence | None, is_split_into_words: bool):
    """Say what it is that Rust refused."""
    kind = "a list of words" if is_split_into_words else "a string"
    for where, sentences in (("", texts), (" of the second texts", pairs or [])):
        for number, sentence in enumerate(sentences):
            if isinstance(sentence, str) and not is_split_into_words:
                continue
            if not isinstance(sentence, (list, tuple)):
                raise TypeError(f"sentence {number}{where} is {sentence!r}; it must be {kind}")
            for position, word in enumerate(sentence):
                if not isinstance(word, (str, list, tuple)):
                    raise TypeError(f"word {position} of sentence {number}{where} is {word!r}; it must be a string")


def _flatten(masks: Iterable[list[int]]) -> np.ndarray:
    """Lists of small numbers as one flat array."""
    return np.frombuffer(b"".join(map(bytes, masks)), np.uint8).astype(np.int64)


def _parts(array: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    ends = list(accumulate(lengths))
    return [array[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _words_at(
    positions: np.ndarray, lengths: list[int], encodings: list, samples: Sequence, is_split_into_words: bool
) -> Iterator[str]:
    """The words of the text at `positions`, counted over the tokens of all encodings."""
    ends = np.cumsum(lengths)
    owners = np.searchsorted(ends, positions, side="right")
    owners, first = np.unique(owners, return_index=True)
    for owner, places in zip(owners.tolist(), np.split(positions, first[1:]), strict=True):
        encoding, sample = encodings[owner], samples[owner]
        places = (places - (ends[owner] - lengths[owner])).tolist()
        is_pair = _is_pair(sample, is_split_into_words)
        sequences = encoding.sequence_ids if is_pair else None
        spans = encoding.word_ids if is_split_into_words else encoding.offsets
        for place in places:
            text = sample[sequences[place]] if is_pair else sample
            yield text[spans[place]] if is_split_into_words else text[slice(*spans[place])]


def _as_tensor(array: np.ndarray, lengths: list[int], tensor_type: str | TensorType):
    """The tokens of all sentences, (tokens, ...), as a tensor (sentences, tokens of each, ...)."""
    if len(set(lengths)) == 1:
        array = array.reshape(len(lengths), lengths[0], *array.shape[1:])
    elif tensor_type == TensorType.NUMPY:
        parts = _parts(array, lengths)
        array = np.empty(len(parts), object)
        array[:] = parts
    else:
        raise ValueError(
            f"the sentences have different lengths, {min(lengths)} to {max(lengths)} tokens: padding=True (and "
            "truncation=True with max_length) makes one tensor of them"
        )
    if tensor_type == TensorType.PYTORCH:
        return torch.from_numpy(array)
    if tensor_type == TensorType.NUMPY:
        return array
    return BatchEncoding({"array": array}, tensor_type=tensor_type)["array"]


ElmoTokenizer.register_for_auto_class()
