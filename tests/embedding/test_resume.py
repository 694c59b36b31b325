"""Interrupted jobs go on to the same file, and only theirs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from embedding.texts import random_text, read_file, run_command, write_text
from tiny_vocabulary import WORDS

from modeling_elmo import ElmoTokenizer
from modeling_elmo.embedding import embed_file, vectors
from modeling_elmo.embedding.resume import ProgressNote


@pytest.mark.parametrize("suffix", [".hdf5", ".safetensors", ".npz"])
def test_an_interrupted_file_is_continued_to_the_same_bytes(checkpoint, tmp_path, small_batches, monkeypatch, suffix):
    source = write_text(tmp_path / "text.txt", random_text(80, seed=5))
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"target{suffix}"
    embed_batch = vectors.ElmoEmbedder.embed_batch
    computed = []
    monkeypatch.setattr(
        vectors.ElmoEmbedder, "embed_batch", lambda self, batch: computed.append(1) or embed_batch(self, batch)
    )
    embed_file(checkpoint, source, whole, tokenized=True)
    num_batches = len(computed)
    assert num_batches > 10

    def fail_at(limit):
        def limited(self, batch):
            computed.append(1)
            if len(computed) > limit:
                raise KeyboardInterrupt
            return embed_batch(self, batch)

        return limited

    runs = 0
    while not target.exists():
        runs += 1
        assert runs < 50
        computed.clear()
        monkeypatch.setattr(vectors.ElmoEmbedder, "embed_batch", fail_at(9))
        try:
            summary = embed_file(checkpoint, source, target, tokenized=True)
        except KeyboardInterrupt:
            assert target.with_name(target.name + ".partial").exists() and not target.exists()
    assert runs > 3
    assert 0 < summary.new_words < summary.words
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted(["text.txt", whole.name, target.name])


def test_a_file_without_a_note_is_begun_anew(checkpoint, tmp_path):
    """As a process leaves it that dies while it lays the file out."""
    source = write_text(tmp_path / "text.txt", random_text(10))
    (tmp_path / "target.hdf5.partial").write_bytes(b"half a header")
    embed_file(checkpoint, source, tmp_path / "target.hdf5")
    assert len(read_file(tmp_path / "target.hdf5")) == 10


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_note_is_named(checkpoint, tmp_path, content):
    source = write_text(tmp_path / "text.txt", random_text(10))
    (tmp_path / "target.npz.partial.json").write_text(content)
    with pytest.raises(ValueError, match=r"target\.npz\.partial\.json is damaged"):
        embed_file(checkpoint, source, tmp_path / "target.npz")
    embed_file(checkpoint, source, tmp_path / "target.npz", overwrite=True)
    assert len(read_file(tmp_path / "target.npz")) == 10


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": "top"}, "layers"),
        ({"boundaries": True}, "boundaries"),
        ({"layout": "bilm-tf"}, "layout"),
        ({"precision": "int8"}, "precision"),
        ({"source": "other.txt"}, "input"),
        ({"model": "other model"}, "model"),
        ({"tokenizer": ElmoTokenizer(vocab=WORDS, word_splitting="unicode")}, "tokenizer"),
    ],
)
def test_another_job_s_unfinished_file_is_not_continued(
    checkpoint, make_model, tokenizer, tmp_path, monkeypatch, change, named
):
    write_text(tmp_path / "text.txt", random_text(10))
    write_text(tmp_path / "other.txt", random_text(10, seed=1))
    job = {"model": checkpoint, "source": "text.txt", "target": "vectors.hdf5"}
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ProgressNote, "remove", lambda self: None)
        patch.setattr(
            os,
            "replace",
            lambda old, new, replace=os.replace: interrupt() if new.suffix == ".hdf5" else replace(old, new),
        )
        embed_file(**job)
    if "model" in change:
        change = {"model": make_model(seed=1, representation="scalar_mix"), "tokenizer": tokenizer}
    with pytest.raises(ValueError, match=f"another {named};"):
        embed_file(**{**job, **change})
    embed_file(**{**job, **change}, overwrite=True)
    assert Path("vectors.hdf5").exists() and not Path("vectors.hdf5.partial.json").exists()


def interrupt():
    raise KeyboardInterrupt


KILLED_RUN = """
import os, signal, sys
from modeling_elmo import cli
from modeling_elmo.embedding import vectors
embed_batch, left = vectors.ElmoEmbedder.embed_batch, int(sys.argv.pop(1))
def deadly(self, batch):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return embed_batch(self, batch)
vectors.ElmoEmbedder.embed_batch = deadly
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_command_goes_on(checkpoint, tmp_path):
    source = write_text(tmp_path / "text.txt", random_text(9000, longest=12))
    whole, target = tmp_path / "whole.hdf5", tmp_path / "target.hdf5"
    arguments = ["embed", checkpoint, source, target, "--tokenized", "--device", "cpu"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, "14", *map(str, arguments)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert 0 < json.loads((tmp_path / "target.hdf5.partial.json").read_text())["sentences_done"] < 9000
    finished = run_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert "from an interrupted run" in finished.stdout
    embed_file(checkpoint, source, whole, tokenized=True, device="cpu")
    assert target.read_bytes() == whole.read_bytes()
