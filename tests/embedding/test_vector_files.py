"""Every kind of file of vectors."""

import io
import os

import numpy as np
import pytest
import torch
from embedding.texts import random_text, read_file, write_text
from safetensors import safe_open

import modeling_elmo
from modeling_elmo.embedding import embed_file, vector_files


@pytest.mark.parametrize("suffix", [".hdf5", ".safetensors", ".npz"])
@pytest.mark.parametrize("layers", ["all", "mix"])
def test_every_kind_of_file_holds_the_vectors(checkpoint, tmp_path, small_batches, suffix, layers):
    sentences = [[], *random_text(50, seed=2), []]
    source = write_text(tmp_path / "text.txt", sentences)
    target = tmp_path / f"vectors{suffix}"
    summary = embed_file(checkpoint, source, target, layers=layers, tokenized=True)
    assert sorted(os.listdir(tmp_path)) == ["text.txt", target.name]
    assert (summary.sentences, summary.words) == (52, sum(map(len, sentences)))
    assert summary.empty_lines == sum(not words for words in sentences)
    arrays = read_file(target)
    assert set(arrays) == {str(number) for number in range(52)}
    expected = modeling_elmo.embed(checkpoint, sentences, layers=layers)
    for number, array in enumerate(expected):
        assert arrays[str(number)].dtype == np.float32
        np.testing.assert_array_equal(arrays[str(number)], array)


def test_an_empty_text_gives_an_empty_file(checkpoint, tmp_path):
    (tmp_path / "text.txt").write_text("")
    for suffix in (".hdf5", ".safetensors", ".npz"):
        assert embed_file(checkpoint, tmp_path / "text.txt", tmp_path / f"vectors{suffix}").sentences == 0
        assert read_file(tmp_path / f"vectors{suffix}") == {}


def test_safetensors_can_be_opened_piecewise_and_its_limit_is_named(checkpoint, tmp_path, monkeypatch):
    source = write_text(tmp_path / "text.txt", random_text(5))
    embed_file(checkpoint, source, tmp_path / "vectors.safetensors")
    with safe_open(tmp_path / "vectors.safetensors", "pt") as file:
        assert file.get_tensor("0").dtype == torch.float32
    monkeypatch.setattr(vector_files, "SAFETENSORS_HEADER_LIMIT", 100)
    with pytest.raises(ValueError, match="too many for one safetensors file"):
        embed_file(checkpoint, source, tmp_path / "again.safetensors")


def test_an_interrupted_list_of_contents_is_written_again(checkpoint, tmp_path, monkeypatch):
    source = write_text(tmp_path / "text.txt", random_text(10))
    embed_file(checkpoint, source, tmp_path / "whole.npz")

    def half_written(self, file):
        file.seek(0, io.SEEK_END)
        file.write(b"PK\1\2 and then the power went")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(vector_files.NpzFile, "finish", half_written)
        embed_file(checkpoint, source, tmp_path / "target.npz")
    embed_file(checkpoint, source, tmp_path / "target.npz")
    assert (tmp_path / "target.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
