"""Embeddings that the original implementations made, where the data for development is there."""

import gzip
import json
import shutil

import h5py
import numpy as np
import pytest
from conversion.published_bilm import make_arrays, read_arrays, write_arrays

from modeling_elmo.conversion import convert, export


def reference_sentences(shared_data):
    return json.loads((shared_data / "fixtures_reference" / "sentences.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("mode", ["reset", "carried"])
@pytest.mark.parametrize("name", ["bilm_projected", "bilm_plain"])
def test_bilm(shared_data, tmp_path, embedder, name, mode):
    folder, sentences = shared_data / "fixtures_reference" / name, reference_sentences(shared_data)
    convert(folder, tmp_path / "converted")
    embed = embedder(tmp_path / "converted")
    with h5py.File(folder / "layers.hdf5") as file:
        for start in range(0, len(sentences), 4):
            for at, got in enumerate(embed(sentences[start : start + 4], carry=mode == "carried"), start):
                np.testing.assert_allclose(got[:, 1:-1], file[f"{mode}/{at}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["elmoformanylangs_words", "elmoformanylangs_chars"])
def test_elmoformanylangs(shared_data, tmp_path, embedder, name):
    folder, sentences = shared_data / "fixtures_reference" / name, reference_sentences(shared_data)
    convert(folder, tmp_path / "converted")
    embed = embedder(tmp_path / "converted")
    with h5py.File(folder / "layers.hdf5") as file:
        for at, sentence in enumerate(sentences):
            np.testing.assert_allclose(embed([sentence])[0][:, 1:-1], file[f"reset/{at}"], rtol=0, atol=1e-5)


def test_tensorflow(shared_data, tmp_path, embedder):
    folder = shared_data / "fixtures_bilm_tf" / "model"
    convert([folder / "options.json", folder / "lm_weights.hdf5"], tmp_path / "converted")
    embed = embedder(tmp_path / "converted")
    texts = json.loads((folder / "lm_embeddings_sentences.json").read_text(encoding="utf-8"))
    files = [h5py.File(folder / f"lm_embeddings_{row}.hdf5") for row in range(len(texts))]
    for number in range(len(texts[0])):
        batch = [text[number].split() for text in texts]
        for file, got in zip(files, embed(batch, carry=True), strict=True):
            forward_and_backward = np.stack(np.split(got[-1, 1:-1], 2, axis=-1))
            np.testing.assert_allclose(forward_and_backward, file[str(number)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["fixtures_reference/bilm_projected", "fixtures_bilm_tf/model"])
def test_export(shared_data, tmp_path, name):
    folder = shared_data / name
    weights = next(folder.glob("*weights.hdf5"))
    convert([folder / "options.json", weights], tmp_path / "converted")
    export(tmp_path / "converted", tmp_path / "exported")
    original, exported = read_arrays(weights), read_arrays(tmp_path / "exported" / "weights.hdf5")
    assert original.keys() == exported.keys()
    for key, array in original.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            exported[key].dtype,
            exported[key].shape,
            exported[key].tobytes(),
        )
    options = json.loads((tmp_path / "exported" / "options.json").read_text())
    assert options == json.loads((folder / "options.json").read_text())


def test_pointer_in_place_of_weights(shared_data, tmp_path):
    folder = shared_data / "fixtures_elmo_configs"
    pointer = shutil.copy(next(folder.glob("*lfs_pointer.txt")), tmp_path / "weights.hdf5")
    options = next(folder.glob("*highway_options.json"))
    with pytest.raises(ValueError, match="pointer of Git LFS"):
        convert([options, pointer], tmp_path / "converted")


@pytest.mark.slow
def test_published_options_and_vocabulary(shared_data, tmp_path):
    folder = shared_data / "fixtures_elmo_configs"
    options = json.loads((folder / "nlpl_ru.options.json").read_text())
    vocabulary = folder / "nlpl_ru.vocab.txt.gz"
    with gzip.open(vocabulary, "rt", encoding="utf-8", newline="\n") as file:
        words = file.read().rstrip("\n").split("\n")
    options["lstm"]["dim"] = 64  # the options of a published model, but for their size
    weights = tmp_path / "model.hdf5"
    write_arrays(weights, make_arrays(options, vocab_size=len(words), softmax=True))
    options_file = tmp_path / "options.json"
    options_file.write_text(json.dumps(options))
    checkpoint = convert([options_file, weights, vocabulary], tmp_path / "converted")
    assert checkpoint.model.config.vocab_size == options["n_tokens_vocab"] == len(words)
    assert checkpoint.tokenizer.convert_tokens_to_ids(words[:9]) == list(range(9))
