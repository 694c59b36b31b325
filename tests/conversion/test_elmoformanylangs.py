import json
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from conversion.published_bilm import make_arrays, make_options, write_bilm
from conversion.published_elmoformanylangs import (
    PublishedElmoForManyLangs,
    make_network,
    make_tensors,
    write_elmoformanylangs,
)

from modeling_elmo.conversion import ConversionError, convert, export

VARIANTS = {
    "words and characters": {},
    "characters": {"word_dim": 0},
    "words": {"char_dim": 0},
    "tanh": {"activation": "tanh"},
    "no highway": {"n_highway": 0},
    "projection of equal width": {"dim": 6, "word_dim": 0, "filters": [[2, 6]]},
    "no clips": {"cell_clip": None, "proj_clip": None},
    "three layers": {"n_layers": 3},
}
BOUNDARIES = [["the", "<bos>", "river", "<eos>", "<S>"], ["a\u3000b", "<pad>"]]


@pytest.fixture
def model_folder(tmp_path):
    network = make_network()
    return write_elmoformanylangs(tmp_path / "published", network, *make_tensors(network))


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_layers_equal_the_published_arithmetic(tmp_path, embedder, text, changes):
    network = make_network(**changes)
    tensors = make_tensors(network)
    convert(write_elmoformanylangs(tmp_path / "published", network, *tensors), tmp_path / "converted")
    published = PublishedElmoForManyLangs(network, *tensors)
    sentences = text + BOUNDARIES[: 1 if network["token_embedder"]["word_dim"] else 2]
    for got, sentence in zip(embedder(tmp_path / "converted")(sentences), sentences, strict=True):
        np.testing.assert_allclose(got, published.layers(sentence), rtol=0, atol=1e-5)


def test_a_bilm_in_its_place_reads_bytes_again(tmp_path, model_folder, embedder, text):
    options = make_options()
    bilm = write_bilm(tmp_path / "bilm", options, make_arrays(options))
    convert(model_folder, tmp_path / "converted")
    convert(bilm, tmp_path / "converted", overwrite=True)
    convert(bilm, tmp_path / "fresh")
    for got, expected in zip(embedder(tmp_path / "converted")(text), embedder(tmp_path / "fresh")(text), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_archive_with_the_network_configuration_beside_it(tmp_path, model_folder):
    network = (model_folder / "cnn_sample.json").rename(tmp_path / "cnn_sample.json")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for file in model_folder.iterdir():
            archive.write(file, file.name)
    with pytest.raises(ConversionError, match=r"model\.zip has no network's configuration .*cnn_sample\.json"):
        convert(tmp_path / "model.zip", tmp_path / "converted")
    convert([tmp_path / "model.zip", network], tmp_path / "converted")
    assert (tmp_path / "converted" / "model.safetensors").exists()


@pytest.mark.parametrize("section", ["encoder", "token_embedder"])
@pytest.mark.parametrize("with_own_network", [False, True])
def test_other_networks_are_refused_by_name(tmp_path, model_folder, section, with_own_network):
    network = make_network()
    network[section]["name"] = "lstm"
    name = "config.json" if with_own_network else "cnn_sample.json"
    (model_folder / name).write_text(json.dumps(network))
    with pytest.raises(ConversionError, match=rf"{name}: {section}\.name is 'lstm'"):
        convert(model_folder, tmp_path / "converted")


class Harmful:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("content", [{"projection.weight": Harmful()}, [1, 2], {"projection.weight": 3}])
def test_pickles_of_anything_but_tensors_are_refused(tmp_path, model_folder, content, capfd):
    torch.save(content, model_folder / "encoder.pkl")
    with pytest.raises(ConversionError, match=r"encoder\.pkl"):
        convert(model_folder, tmp_path / "converted")
    assert "must not run" not in capfd.readouterr().out
    assert not (tmp_path / "converted").exists()


def test_damaged_pickle_is_refused(tmp_path, model_folder):
    path = model_folder / "encoder.pkl"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ConversionError, match=r"encoder\.pkl is damaged"):
        convert(model_folder, tmp_path / "converted")


@pytest.mark.parametrize("place", [0, 21, 238, 266])
def test_pickle_with_a_wrong_byte_is_refused_or_read(tmp_path, model_folder, place):
    path = model_folder / "encoder.pkl"
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[place] ^= 7
    path.write_bytes(content)
    with suppress(ConversionError):
        convert(model_folder, tmp_path / "converted")


def test_what_is_no_pickle_is_not_said_to_be_safe_to_run(tmp_path, model_folder):
    (model_folder / "encoder.pkl").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConversionError, match=r"encoder\.pkl is damaged") as caught:
        convert(model_folder, tmp_path / "converted")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")])
def test_tensors_that_are_no_arrays_are_refused(tmp_path, model_folder, change):
    path = model_folder / "encoder.pkl"
    torch.save({key: change(tensor) for key, tensor in torch.load(path, weights_only=True).items()}, path)
    with pytest.raises(ConversionError, match=r"encoder\.pkl: .* is sparse or without values"):
        convert(model_folder, tmp_path / "converted")


def test_parameters_are_read_as_tensors_are(tmp_path, model_folder):
    path = model_folder / "encoder.pkl"
    torch.save({key: torch.nn.Parameter(tensor) for key, tensor in torch.load(path, weights_only=True).items()}, path)
    convert(model_folder, tmp_path / "converted")
    assert (tmp_path / "converted" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 10**15}, r"encoder\.pkl does not fit .*cnn_sample\.json"),
        ({"max_characters_per_token": 10**12}, r"cnn_sample\.json: token_embedder\.max_characters_per_token is 10+"),
    ],
)
def test_numbers_that_no_memory_could_hold_are_refused(tmp_path, model_folder, changes, message):
    (model_folder / "cnn_sample.json").write_text(json.dumps(make_network(**changes)))
    with pytest.raises(ConversionError, match=message):
        convert(model_folder, tmp_path / "converted")


def test_shapes_that_do_not_fit_are_refused(tmp_path, model_folder):
    network = make_network(dim=12)
    (model_folder / "cnn_sample.json").write_text(json.dumps(network))
    message = r"encoder\.pkl does not fit .*cnn_sample\.json.*input_linearity\.weight has shape \(44, 6\).*\(48, 6\)"
    with pytest.raises(ConversionError, match=message):
        convert(model_folder, tmp_path / "converted")


def test_dictionaries_must_fit_the_embeddings(tmp_path, model_folder):
    with open(model_folder / "word.dic", "a", encoding="utf-8") as file:
        file.write("more\t8\n")
    message = r"\.dic files: word_emb_layer\.embedding\.weight has shape \(8, 7\) where \(9, 7\) is needed"
    with pytest.raises(ConversionError, match=message):
        convert(model_folder, tmp_path / "converted")


def test_numbers_that_are_none_are_refused(tmp_path, model_folder):
    tensors = torch.load(model_folder / "encoder.pkl", weights_only=True)
    tensors["forward_layer_1.state_linearity.bias"][3] = float("nan")
    torch.save(tensors, model_folder / "encoder.pkl")
    with pytest.raises(ConversionError, match=r"forward_layer_1\.state_linearity\.bias holds 1 numbers"):
        convert(model_folder, tmp_path / "converted")


def test_integers_are_refused(tmp_path, model_folder):
    tensors = torch.load(model_folder / "encoder.pkl", weights_only=True)
    tensors["forward_layer_1.state_linearity.bias"] = tensors["forward_layer_1.state_linearity.bias"].int()
    torch.save(tensors, model_folder / "encoder.pkl")
    with pytest.raises(ConversionError, match=r"forward_layer_1\.state_linearity\.bias has dtype torch\.int32"):
        convert(model_folder, tmp_path / "converted")


def test_cannot_be_exported_as_a_bilm(tmp_path, model_folder):
    convert(model_folder, tmp_path / "converted")
    with pytest.raises(ConversionError, match="cannot be written"):
        export(tmp_path / "converted", tmp_path / "exported")
