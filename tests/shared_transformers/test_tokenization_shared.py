"""transformers' shared tests of tokenizers, against ours."""

import shutil
import tempfile
import unittest
from unittest import mock

import pytest

import modeling_elmo  # noqa: F401  registers the tokenizer with AutoTokenizer
from tokenization_elmo import ElmoTokenizer

REASON = "needs transformers' shared tests: set TRANSFORMERS_SOURCE to its unpacked source distribution"
common = pytest.importorskip("transformers_tests.test_tokenization_common", reason=REASON)
backend = pytest.importorskip("transformers_tests.test_tokenizers_backend_mixin", reason=REASON)

CORPUS = [
    "This is the first sentence, and this the second one.",
    "Wonderful no inspiration example with subtoken; Amazing example full of inspiration.",
    "He is very happy to test this method with these inputs.",
    "hello what a long sequence this would be if it were not so short",
]

# The shared tests' long string, its words apart.
WORDS_APART = (
    "This is a test 😊 I was born in 92000 , and this is falsé . 生活的真谛是 Hi Hello Hi Hello Hello "
    "< s > hi < s > there The following string should be properly encoded : Hello . "
    "But ird and ปี ird ด Hey how are you doing"
)
WORDS = WORDS_APART.split()
VOCAB = list(dict.fromkeys([*WORDS, *" ".join(CORPUS).split()]))


class SharedSetUp:
    """Saves a small tokenizer where the shared tests would fetch a published one."""

    tokenizer_class = ElmoTokenizer
    rust_tokenizer_class = ElmoTokenizer

    @classmethod
    def setUpClass(cls):
        cls.tmpdirname = tempfile.mkdtemp()
        ElmoTokenizer(VOCAB).save_pretrained(cls.tmpdirname)
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(ElmoTokenizer, cls.tmpdirname, {})]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmpdirname)


class WithoutCharacters(ElmoTokenizer):
    def __call__(self, *args, **kwargs):
        batch = super().__call__(*args, **kwargs)
        assert batch.pop("character_ids").ndim == 3
        return batch


class ElmoTokenizerTest(SharedSetUp, common.TokenizerTesterMixin, unittest.TestCase):
    integration_expected_tokens = WORDS
    integration_expected_token_ids = [3 + VOCAB.index(word) for word in WORDS]  # after <S>, </S>, <UNK>
    integration_expected_decoded_text = WORDS_APART

    def test_batch_encode_dynamic_overflowing(self):
        """The shared test wants tensors of two dimensions; character_ids have three."""
        with mock.patch.object(ElmoTokenizerTest, "tokenizer_class", WithoutCharacters):
            super().test_batch_encode_dynamic_overflowing()

    def test_tokenize_special_tokens(self):
        """The shared test wants special tokens found in text; for that ours has to be asked."""
        tokenizer = self.get_tokenizer(split_special_tokens=False)
        with mock.patch.object(self, "get_tokenizer", lambda **_: tokenizer):
            super().test_tokenize_special_tokens()


class ElmoTokenizerBackendTest(SharedSetUp, backend.TokenizersBackendTesterMixin, unittest.TestCase):
    pass
