"""Files that are not what they should be: the message names the file, the key and both shapes; nothing is written."""

import json
import re

import h5py
import numpy as np
import pytest
from conversion.published_bilm import make_arrays, make_options, write_arrays, write_bilm

from modeling_elmo import ElmoModel
from modeling_elmo.conversion import ConversionError, convert, export

CELL = "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/"


@pytest.fixture
def published(tmp_path):
    options = make_options()
    return write_bilm(tmp_path / "published", options, make_arrays(options))


def refused(published, tmp_path, message, *more):
    with pytest.raises(ConversionError, match=message):
        convert([published, *more], tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def test_truncated_file(published, tmp_path):
    path = published / "weights.hdf5"
    path.write_bytes(path.read_bytes()[:-2000])
    refused(published, tmp_path, r"weights\.hdf5 is truncated or damaged")


def test_foreign_file(published, tmp_path):
    (published / "weights.hdf5").write_bytes(b"not what it should be" * 100)
    refused(published, tmp_path, r"weights\.hdf5 is not an HDF5 file")


def test_name_that_is_not_utf8(published, tmp_path):
    path = published / "weights.hdf5"
    path.write_bytes(path.read_bytes().replace(b"char_embed", b"char_\xffmbed"))
    refused(published, tmp_path, r"weights\.hdf5 is damaged: the name .* is not UTF-8")


def test_pointer_of_git_lfs(published, tmp_path):
    (published / "weights.hdf5").write_text("version https://git-lfs.github.com/spec/v1\nsize 54402456\n")
    refused(published, tmp_path, "pointer of Git LFS")


def test_hdf5_file_of_something_else(published, tmp_path):
    write_arrays(published / "weights.hdf5", {"model_weights/dense/kernel": np.zeros((3, 4), np.float32)})
    message = r"weights\.hdf5 does not fit .*options\.json: char_embed of shape \(261, 5\) is missing"
    refused(published, tmp_path, message)


@pytest.mark.parametrize("key", ["char_embed", "CNN/b_cnn_1", "CNN_high_1/W_carry", "CNN_proj/b_proj", CELL + "W_P_0"])
def test_missing_array(published, tmp_path, key):
    with h5py.File(published / "weights.hdf5", "a") as file:
        del file[key]
    refused(published, tmp_path, rf"{key} of shape \(.*\) is missing")


def test_unexpected_array(published, tmp_path):
    with h5py.File(published / "weights.hdf5", "a") as file:
        file["CNN_high_2/W_carry"] = np.zeros((15, 15), np.float32)
    refused(published, tmp_path, r"CNN_high_2/W_carry of shape \(15, 15\) is unexpected")


@pytest.mark.parametrize("key", ["CNN/W_cnn_0", "CNN_high_0/b_transform", CELL + "W_0", CELL + "B"])
def test_array_of_another_shape(published, tmp_path, key):
    with h5py.File(published / "weights.hdf5", "a") as file:
        shape = file[key].shape
        other = (*shape[:-1], shape[-1] + 1)
        del file[key]
        file[key] = np.zeros(other, np.float32)
    message = f"{key} has shape {other} where {shape} is needed"
    refused(published, tmp_path, re.escape(message))


@pytest.mark.parametrize(("rows", "n_characters"), [(260, 261), (261, 263), (262, 261), (100, 100)])
def test_number_of_characters(published, tmp_path, rows, n_characters):
    options = make_options(n_characters=n_characters)
    write_bilm(published, options, make_arrays(options) | {"char_embed": np.zeros((rows, 5), np.float32)})
    refused(published, tmp_path, rf"char_embed has shape \({rows}, 5\).*n_characters {n_characters}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(published, tmp_path, value):
    with h5py.File(published / "weights.hdf5", "a") as file:
        file[CELL + "W_0"][3, 5] = value
    refused(published, tmp_path, rf"{CELL}W_0 holds 1 numbers that are NaN or infinite")


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, "S4"])
def test_other_types(published, tmp_path, dtype):
    with h5py.File(published / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file["char_embed"] = np.zeros((261, 5), dtype)
    refused(published, tmp_path, "char_embed has dtype .*floating-point")


@pytest.mark.parametrize("link", [h5py.SoftLink("/CNN"), h5py.ExternalLink("/etc/hostname", "/x")])
def test_links(published, tmp_path, link):
    with h5py.File(published / "weights.hdf5", "a") as file:
        file["elsewhere"] = link
    refused(published, tmp_path, "elsewhere is a link to elsewhere")


def test_group_within_itself(published, tmp_path):
    with h5py.File(published / "weights.hdf5", "a") as file:
        file["CNN/again"] = file["CNN"]
    refused(published, tmp_path, "nested too deep")


def test_array_in_another_file(published, tmp_path):
    with h5py.File(published / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file.create_dataset(
            "char_embed", (261, 5), np.float32, external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        )
    refused(published, tmp_path, "char_embed is stored in another file")


def test_array_that_was_never_written(published, tmp_path):
    with h5py.File(published / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file.create_dataset("char_embed", (261, 5), np.float32)
    refused(published, tmp_path, r"char_embed of shape \(261, 5\) was never written")


def test_array_with_a_gap(published, tmp_path):
    with h5py.File(published / "weights.hdf5", "a") as file:
        values = file["char_embed"][()]
        del file["char_embed"]
        array = file.create_dataset("char_embed", values.shape, np.float32, chunks=(100, 2))
        array[:, :4] = values[:, :4]
    refused(published, tmp_path, r"char_embed of shape \(261, 5\) was never written, or not all of it")
    with h5py.File(published / "weights.hdf5", "a") as file:
        file["char_embed"][:, 4:] = values[:, 4:]
    assert convert(published, tmp_path / "converted").model.config.character_embedding_size == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"options\.json is not a JSON file"),
        ("\udcff", r"options\.json is not a JSON file"),
        ("[" * 10**5, r"options\.json is not a JSON file"),
        ("[1]", r"options\.json holds a JSON list"),
        ("{}", r"options\.json lacks lstm\.dim"),
        ('{"lstm": 3}', r"options\.json lacks lstm\.dim"),
    ],
)
def test_options_that_are_none(published, tmp_path, text, message):
    (published / "options.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(published, tmp_path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": "11"}, r"lstm\.dim is '11', which is of the wrong type"),
        ({"n_layers": True}, r"lstm\.n_layers is True"),
        ({"dim": -1}, r"options\.json describes no possible model: .*cell_size"),
        ({"cell_clip": -1}, r"options\.json describes no possible model: .*cell_clip"),
        ({"activation": "gelu"}, r"options\.json describes no possible model: .*gelu"),
        ({"filters": [[1]]}, r"options\.json describes no possible model: .*filters"),
        ({"filters": [[1, "4"]]}, r"options\.json describes no possible model: .*filters"),
        ({"filters": [[99, 4]]}, r"options\.json describes no possible model: .*filters"),
        ({"share_embedding_softmax": True}, "share_embedding_softmax needs word input"),
        ({"projection_dim": 7}, r"CNN_proj/W_proj has shape \(15, 6\) where \(15, 7\) is needed"),
        ({"n_layers": 3}, r"Cell2/LSTMCell/W_0 of shape \(12, 44\) is missing"),
        ({"n_layers": 1}, r"Cell1/LSTMCell/W_0 of shape \(12, 44\) is unexpected"),
        ({"n_layers": 10**30}, r"options\.json asks for 10+ layers"),
        ({"n_highway": 10**30}, r"options\.json asks for 10+ layers"),
        ({"max_characters_per_token": 10**12}, r"options\.json: char_cnn\.max_characters_per_token is 10+"),
        ({"max_characters_per_token": 2}, r"options\.json: char_cnn\.max_characters_per_token is 2; it must be"),
        ({"dim": 6}, r"LSTMCell/W_P_0 of shape \(11, 6\) is unexpected"),
    ],
)
def test_options_that_do_not_fit(published, tmp_path, changes, message):
    (published / "options.json").write_text(json.dumps(make_options(**changes)))
    refused(published, tmp_path, message)


@pytest.mark.parametrize("options", [make_options(), make_options(char_cnn=None)], ids=["softmax", "word input"])
def test_rows_for_words_need_the_words(tmp_path, options):
    arrays = make_arrays(options, vocab_size=5, softmax=True)
    published = write_bilm(tmp_path / "published", options, arrays)
    refused(published, tmp_path, r"one row a word: give the vocabulary")
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("<S>\n</S>\n<UNK>\nthe\n")
    refused(published, tmp_path, r"words\.txt has 4 words, but .* has shape \(5, 6\)", vocabulary)


def test_vocabulary_without_the_special_words(tmp_path, published):
    (published / "vocab.txt").write_text("the\nriver\n")
    with pytest.raises(ValueError, match=r"vocab\.txt: .*<S>"):
        convert(published, tmp_path / "converted")


def test_target_that_is_not_free(tmp_path, published):
    target = tmp_path / "converted"
    target.mkdir()
    convert(published, target)
    with pytest.raises(ConversionError, match=r"converted is not empty.*--overwrite"):
        convert(published, target)
    (target / "notes.txt").write_text("mine")
    (target / "config.json").write_text("{}")
    convert(published, target, overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"
    assert ElmoModel.from_pretrained(target).config.cell_size == 11
    with pytest.raises(ConversionError, match=r"notes\.txt is a file"):
        convert(published, target / "notes.txt")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_current_folder_as_target(tmp_path, published, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    convert(published, ".")
    assert ElmoModel.from_pretrained(folder).config.cell_size == 11
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_failure_leaves_the_target_as_it_was(tmp_path, published):
    target = tmp_path / "converted"
    convert(published, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with h5py.File(published / "weights.hdf5", "a") as file:
        file["char_embed"][0] = np.nan
    with pytest.raises(ConversionError):
        convert(published, target, overwrite=True)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


@pytest.mark.parametrize(
    "changes",
    [
        {"forget_bias": 0.0},
        {"word_embedding_size": 4},
        {"character_embedding_size": 0, "word_embedding_size": 4},
        {"character_vocab_size": 30},
        {"projection_size": 10},
        {"filters": [[1, 6]], "token_projection": True},
    ],
)
def test_what_the_published_form_cannot_say_is_not_exported(tmp_path, make_model, changes):
    make_model(ElmoModel, **changes).save_pretrained(tmp_path / "ours")
    with pytest.raises(ConversionError, match="cannot be written as options.json and weights.hdf5"):
        export(tmp_path / "ours", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_export_needs_a_checkpoint_of_this_kind(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConversionError, match="is a bert model"):
        export(tmp_path, tmp_path / "exported")
    with pytest.raises(ConversionError, match="config.json is a file; give the folder"):
        export(tmp_path / "config.json", tmp_path / "exported")
