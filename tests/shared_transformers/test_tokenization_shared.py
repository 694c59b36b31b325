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


class SharedSetUp:
    """Saves a small tokenizer where the shared tests would fetch a published one."""

    tokenizer_class = ElmoTokenizer
    rust_tokenizer_class = ElmoTokenizer

    @classmethod
    def setUpClass(cls):
        cls.tmpdirname = tempfile.mkdtemp()
        ElmoTokenizer.train_from_iterator(CORPUS).save_pretrained(cls.tmpdirname)
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
    def test_batch_encode_dynamic_overflowing(self):
        """The shared test wants tensors of two dimensions; character_ids have three."""
        with mock.patch.object(ElmoTokenizerTest, "tokenizer_class", WithoutCharacters):
            super().test_batch_encode_dynamic_overflowing()

    def test_tokenize_special_tokens(self):
        """The shared test wants special tokens found in text; for that ours has to be asked."""
        kwargs = {"split_special_tokens": False}
        with mock.patch.object(
            self, "get_tokenizer", lambda **_: ElmoTokenizer.from_pretrained(self.tmpdirname, **kwargs)
        ):
            super().test_tokenize_special_tokens()


class ElmoTokenizerBackendTest(SharedSetUp, backend.TokenizersBackendTesterMixin, unittest.TestCase):
    pass
