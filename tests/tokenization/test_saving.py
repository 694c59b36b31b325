"""Nothing is lost on the way through a folder, a pickle or another process."""

import copy
import json
import os
import pickle
import subprocess
import sys

import pytest
from tokenizers import pre_tokenizers

from tokenization_elmo import ElmoTokenizer

TEXTS = ["the cat doesn't sit.", "Anna's 🙂 \ud83d", "<S> the </S> <pad>", ""]
CHARACTERS = {entry: n for n, entry in enumerate(["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", *"cat\ud83d"])}


def make(kind: str) -> ElmoTokenizer:
    words = ["the", "cat", "the", "Anna"]
    if kind == "empty":
        return ElmoTokenizer()
    if kind == "options":
        tokenizer = ElmoTokenizer(
            words,
            word_splitting="whitespace",
            max_characters_per_token=20,
            bos_token="<s>",
            padding_side="left",
            truncation_side="left",
            model_max_length=12,
            split_special_tokens=False,
        )
        tokenizer.add_tokens(["doesn't"])
        tokenizer.add_special_tokens({"mask_token": "[M]"})
        tokenizer.add_eos_token = False
        return tokenizer
    if kind == "code_points":
        special = {"unk_token": "<oov>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
        return ElmoTokenizer(["<oov>", "<bos>", "<eos>", "<pad>", *words], character_vocab=CHARACTERS, **special)
    return ElmoTokenizer(words)


def all_of(tokenizer: ElmoTokenizer) -> dict:
    """What a tokenizer does, to compare."""
    return {
        "texts": dict(tokenizer(TEXTS, TEXTS[::-1], padding=True)),
        "words": dict(tokenizer([text.split() for text in TEXTS], is_split_into_words=True)),
        "short": dict(tokenizer(TEXTS, truncation=True, max_length=4)),
        "table": tokenizer.character_table.tolist(),
        "vocab": tokenizer.get_vocab(),
        "special": tokenizer.special_tokens_map,
        "characters": tokenizer.character_vocab,
        "options": [tokenizer.word_splitting, tokenizer.model_max_length, tokenizer.split_special_tokens],
        "boundaries": [tokenizer.add_bos_token, tokenizer.add_eos_token],
    }


KINDS = pytest.mark.parametrize("kind", ["empty", "words", "options", "code_points"])


@KINDS
def test_save_and_load(kind, tmp_path):
    tokenizer = make(kind)
    tokenizer.save_pretrained(tmp_path / "one")
    loaded = ElmoTokenizer.from_pretrained(tmp_path / "one")
    assert all_of(loaded) == all_of(tokenizer)
    loaded.save_pretrained(tmp_path / "two")
    one, two = (json.loads((tmp_path / folder / "tokenizer_config.json").read_text()) for folder in ("one", "two"))
    assert {key: value for key, value in two.items() if key not in ("is_local", "local_files_only")} == one
    assert (tmp_path / "one" / "tokenizer.json").read_text() == (tmp_path / "two" / "tokenizer.json").read_text()


def test_saved_over_one_of_code_points(tmp_path):
    make("code_points").save_pretrained(tmp_path)
    make("words").save_pretrained(tmp_path)
    assert all_of(ElmoTokenizer.from_pretrained(tmp_path)) == all_of(make("words"))


@KINDS
def test_pickle_and_copy(kind):
    tokenizer = make(kind)
    expected = all_of(tokenizer)
    assert all_of(pickle.loads(pickle.dumps(tokenizer))) == expected
    assert all_of(copy.deepcopy(tokenizer)) == expected


def test_pickle_is_small():
    tokenizer = ElmoTokenizer([f"word{number}" for number in range(1000)])
    before = len(pickle.dumps(tokenizer))
    tokenizer("a")
    assert len(pickle.dumps(tokenizer)) == before


@KINDS
def test_hash_of_datasets_stays(kind):
    """Or else `map` would not find what it tokenized before."""
    Hasher = pytest.importorskip("datasets.fingerprint").Hasher
    tokenizer = make(kind)
    before = Hasher.hash(tokenizer)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=4)
    assert Hasher.hash(tokenizer) == before


def test_files(tmp_path):
    files = make("code_points").save_pretrained(tmp_path)
    names = {"tokenizer.json", "tokenizer_config.json", "character_vocab.json"}
    assert {os.path.basename(path) for path in files} == names
    assert set(os.listdir(tmp_path)) == {*names, "tokenization_elmo.py"}
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["auto_map"]["AutoTokenizer"][0] == "tokenization_elmo.ElmoTokenizer"
    assert "character_vocab" not in config and "vocab" not in config
    make("words").save_pretrained(tmp_path / "bytes")
    assert "character_vocab.json" not in os.listdir(tmp_path / "bytes")
    (tmp_path / "character_vocab.json").write_text("{")
    with pytest.raises(ValueError, match="character_vocab.json"):
        ElmoTokenizer.from_pretrained(tmp_path)


def test_options_can_be_changed_on_loading(tmp_path):
    make("words").save_pretrained(tmp_path)
    loaded = ElmoTokenizer.from_pretrained(tmp_path, word_splitting="whitespace", padding_side="left")
    assert loaded.split_words("the cat.") == ["the", "cat."]
    assert loaded.padding_side == "left"
    loaded.save_pretrained(tmp_path)
    assert ElmoTokenizer.from_pretrained(tmp_path).split_words("the cat.") == ["the", "cat."]


def test_one_boundary_can_be_turned_off_on_loading(tmp_path):
    ElmoTokenizer(["a"]).save_pretrained(tmp_path)
    for option, tokens in (("add_bos_token", ["a", "</S>"]), ("add_eos_token", ["<S>", "a"])):
        tokenizer = ElmoTokenizer.from_pretrained(tmp_path, **{option: False})
        assert tokenizer("a").tokens() == tokens
        tokenizer.save_pretrained(tmp_path / option)
        assert ElmoTokenizer.from_pretrained(tmp_path / option)("a").tokens() == tokens


def test_splitting_set_by_hand_stays(tmp_path):
    tokenizer = make("words")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("|")
    tokenizer.save_pretrained(tmp_path)
    assert ElmoTokenizer.from_pretrained(tmp_path).split_words("the cat|sat") == ["the cat", "sat"]


def test_folder_without_tokenizer(tmp_path):
    """No silent fall back to a tokenizer that knows no words."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OSError, match=r"has no tokenizer.json.*from_vocab_file"):
        ElmoTokenizer.from_pretrained(tmp_path)


REMOTE = """
import json, sys
sys.modules["tokenization_elmo"] = sys.modules["modeling_elmo"] = None  # an import of them fails from here on
from transformers import AutoTokenizer
texts = json.loads(sys.argv[1])
results = []
for folder in sys.argv[2:]:
    for source in (folder, folder + "_again"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=True)
        assert type(tokenizer).__module__.startswith("transformers_modules"), type(tokenizer)
        tokenizer.save_pretrained(folder + "_again")
    split = tokenizer([text.split() for text in texts], is_split_into_words=True)
    results.append([dict(tokenizer(texts)), dict(split)])
print(json.dumps(results))
"""


@pytest.mark.slow
def test_remote_code(tmp_path):
    """Load, save and load again with trust_remote_code in a process that cannot import this package."""
    kinds = ["empty", "words", "options", "code_points"]
    folders = [str(tmp_path / kind) for kind in kinds]
    for kind, folder in zip(kinds, folders, strict=True):
        make(kind).save_pretrained(folder)
    output = subprocess.run(
        [sys.executable, "-c", REMOTE, json.dumps(TEXTS), *folders],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr
    for kind, folder, (raw, split) in zip(kinds, folders, json.loads(output.stdout), strict=True):
        tokenizer = make(kind)
        assert raw == dict(tokenizer(TEXTS))
        assert split == dict(tokenizer([text.split() for text in TEXTS], is_split_into_words=True))
        assert "tokenization_elmo.py" in os.listdir(folder + "_again")
        assert all_of(ElmoTokenizer.from_pretrained(folder + "_again")) == all_of(tokenizer)
