"""A text file to a file of vectors: layouts, options and the command."""

import json
import os

import h5py
import numpy as np
import pytest
from embedding.texts import cut_to_words, plain_layers, random_text, read_file, run_command, write_text

import modeling_elmo
from modeling_elmo import cli
from modeling_elmo.embedding import batches, embed_file


def test_allennlp_layout_maps_sentences_to_numbers(checkpoint, tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("the bank\n  The river was closed . \n\nthe bank\n")
    embed_file(checkpoint, source, tmp_path / "vectors.hdf5", tokenized=True)
    with h5py.File(tmp_path / "vectors.hdf5") as file:
        assert file["sentence_to_index"].shape == (1,)
        index = json.loads(file["sentence_to_index"][0])
        assert index == {"the bank": "3", "The river was closed .": "1", "": "2"}
        assert file["2"].shape == (3, 0, 12)
        np.testing.assert_allclose(file["0"][...], file["3"][...], atol=1e-6)
        assert file["1"].shape == (3, 5, 12)
    embed_file(checkpoint, source, tmp_path / "plain.hdf5", tokenized=True, layout="bilm-tf")
    with h5py.File(tmp_path / "plain.hdf5") as file:
        assert sorted(file) == ["0", "1", "2", "3"]


def test_coreference_layout(checkpoint, embedder, tmp_path):
    documents = [
        {"doc_key": "nw/wsj/00_0", "sentences": [["The", "bank"], ["it", "closed", "."]]},
        {"doc_key": "b", "sentences": [["the", "river"]]},
    ]
    source = tmp_path / "documents.jsonl"
    source.write_text("".join(json.dumps(document) + "\n" for document in documents))
    embed_file(checkpoint, source, tmp_path / "cache.hdf5", layout="e2e-coref")
    with h5py.File(tmp_path / "cache.hdf5") as file:
        assert sorted(file) == ["b", "nw:wsj:00_0"]
        for document in documents:
            group = file[document["doc_key"].replace("/", ":")]
            assert len(group) == len(document["sentences"])
            for number, words in enumerate(document["sentences"]):
                expected = np.moveaxis(cut_to_words(plain_layers(embedder, words)), 0, -1)
                np.testing.assert_allclose(group[str(number)][...], expected, atol=1e-6)


def test_other_batches_give_the_same_vectors(checkpoint, tmp_path, monkeypatch):
    source = write_text(tmp_path / "text.txt", random_text(80, seed=4))
    arrays = []
    for tokens in (3, 17, 64, 4096):
        monkeypatch.setattr(batches, "BATCH_TOKENS", tokens)
        monkeypatch.setattr(batches, "WINDOW_TOKENS", 8 * tokens)
        embed_file(checkpoint, source, tmp_path / f"{tokens}.npz", tokenized=True)
        arrays.append(read_file(tmp_path / f"{tokens}.npz"))
    for other in arrays[1:]:
        for name, array in arrays[0].items():
            np.testing.assert_allclose(other[name], array, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_checkpoints_multiply_in_other_precisions(checkpoint, tmp_path, precision):
    write_text(tmp_path / "text.txt", random_text(10))
    arguments = [checkpoint, tmp_path / "text.txt", tmp_path / "vectors.npz", "--precision", precision]
    assert cli.main(["embed", *map(str, arguments)]) == 0
    found = read_file(tmp_path / "vectors.npz")
    exact = list(modeling_elmo.embed(checkpoint, random_text(10), layers="all"))
    for number, expected in enumerate(exact):
        array = found[str(number)]
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected, atol=0.05)
    assert (precision == "float32") == all(np.array_equal(found[str(n)], exact[n]) for n in range(10))


def test_too_little_space_is_noticed_before_the_work(checkpoint, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    source = write_text(tmp_path / "text.txt", random_text(20))
    with pytest.raises(OSError, match="GB are free"):
        embed_file(checkpoint, source, tmp_path / "vectors.npz")
    assert os.listdir(tmp_path) == ["text.txt"]


def test_an_existing_file_is_kept(checkpoint, tmp_path):
    source = write_text(tmp_path / "text.txt", random_text(3))
    target = tmp_path / "vectors.npz"
    target.write_text("precious")
    with pytest.raises(FileExistsError, match=r"vectors\.npz exists"):
        embed_file(checkpoint, source, target)
    assert target.read_text() == "precious"
    embed_file(checkpoint, source, target, overwrite=True)
    assert len(read_file(target)) == 3
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.npz is a folder"):
        embed_file(checkpoint, source, tmp_path / "folder.npz", overwrite=True)
    assert not (tmp_path / "folder.npz.partial").exists()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("vectors.txt", {}, "must end in one of"),
        ("vectors.npz", {"layout": "bilm-tf"}, "HDF5"),
        ("vectors.hdf5", {"layout": "e2e-coref", "layers": "top"}, "all layers"),
        ("vectors.hdf5", {"layout": "e3e"}, "choose one of"),
        ("nowhere/vectors.hdf5", {}, "no folder"),
    ],
)
def test_bad_file_options_are_refused(checkpoint, tmp_path, target, options, message):
    source = write_text(tmp_path / "text.txt", random_text(3))
    with pytest.raises((ValueError, OSError), match=message):
        embed_file(checkpoint, source, tmp_path / target, **options)


@pytest.mark.slow
def test_command(checkpoint, tmp_path):
    text = "the old bank .\n\nThe river\n"
    done = run_command("embed", checkpoint, "-", tmp_path / "v.hdf5", "--layers", "average", input=text)
    assert done.returncode == 0, done.stderr
    assert "3 sentences, 6 words" in done.stdout and "1 lines without words" in done.stdout
    with h5py.File(tmp_path / "v.hdf5") as file:
        assert [file[str(number)].shape for number in range(3)] == [(4, 12), (0, 12), (2, 12)]


def test_command_reports_mistakes_in_a_line(checkpoint, tmp_path, capsys):
    assert cli.main(["embed", str(checkpoint), str(tmp_path / "missing.txt"), str(tmp_path / "v.npz")]) == 2
    error = capsys.readouterr().err
    assert "missing.txt" in error and error.count("\n") == 1


def test_a_device_that_is_not_there_is_named(checkpoint, tmp_path, capsys):
    source = write_text(tmp_path / "text.txt", random_text(3))
    assert cli.main(["embed", str(checkpoint), str(source), str(tmp_path / "v.npz"), "--device", "cuda:77"]) == 2
    assert "elmo embed: error: the model cannot be put on device 'cuda:77'" in capsys.readouterr().err
