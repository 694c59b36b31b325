"""Embedding text: vectors in order from Python, the files of older pipelines, interruption, bad input."""

import gzip
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

import modeling_elmo
from modeling_elmo import ElmoForPreTraining, ElmoTokenizer, cli
from modeling_elmo.conversion import convert
from modeling_elmo.embedding import batches, embed_file, vector_files, vectors
from modeling_elmo.embedding.resume import ProgressNote
from modeling_elmo.embedding.text_input import TextInput, read_sentences

WORDS = [
    "the",
    "river",
    "bank",
    "was",
    "closed",
    ".",
    "old",
    "by",
    "The",
    "ist",
    "said",
    "a",
    "of",
    "to",
    "in",
    "on",
    "it",
]
OTHERS = [*WORDS, "naïveté", "😀", "unheard-of", "Donaudampfschifffahrtsgesellschaftskapitänspatent"]


@pytest.fixture(scope="module")
def tokenizer() -> ElmoTokenizer:
    return ElmoTokenizer(vocab=WORDS)


@pytest.fixture(scope="module")
def checkpoint(make_model, tokenizer, tmp_path_factory) -> Path:
    """A language model with random parameters everywhere, on disk."""
    folder = tmp_path_factory.mktemp("checkpoint")
    make_model(ElmoForPreTraining, representation="scalar_mix").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(checkpoint) -> vectors.ElmoEmbedder:
    return vectors.ElmoEmbedder(checkpoint, layers="all", device="cpu")


@pytest.fixture
def small_batches(monkeypatch):
    """Batches and windows so small that little text makes many."""
    monkeypatch.setattr(batches, "BATCH_TOKENS", 24)
    monkeypatch.setattr(batches, "WINDOW_TOKENS", 60)


def random_text(lines: int, seed: int = 0, longest: int = 14) -> list[list[str]]:
    draw = random.Random(seed)
    return [draw.choices(OTHERS, k=draw.randint(0, longest)) for _ in range(lines)]


def write_text(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
    return path


def plain_layers(embedder, words: list[str]) -> np.ndarray:
    """All layers of one sentence by one call of the model."""
    inputs = embedder.tokenizer(words, is_split_into_words=True, return_tensors="pt", return_token_type_ids=False)
    inputs = {name: torch.atleast_2d(tensor) for name, tensor in inputs.items()}
    inputs["character_ids"] = inputs["character_ids"].reshape(1, -1, 50)
    with torch.no_grad():
        return torch.stack(embedder.model(**inputs, output_hidden_states=True).hidden_states, 1)[0].numpy()


def cut_to_words(layers: np.ndarray) -> np.ndarray:
    return layers[..., 1:-1, :]


# From Python


def test_vectors_are_the_model_s_in_order(embedder, small_batches):
    sentences = random_text(60)
    found = list(modeling_elmo.embed(embedder.model, sentences, layers="all", tokenizer=embedder.tokenizer))
    assert len(found) == 60
    for words, array in zip(sentences, found, strict=True):
        assert array.dtype == np.float32 and array.shape == (3, len(words), 12)
        np.testing.assert_allclose(array, cut_to_words(plain_layers(embedder, words)), atol=1e-6)


def test_layers(embedder, checkpoint):
    sentences = random_text(5, seed=1)
    model = embedder.model
    by_layers = {
        layers: list(modeling_elmo.embed(checkpoint, sentences, layers=layers, device="cpu"))
        for layers in ("all", "top", "average", "mix")
    }
    shares = (model.combinations[0].gamma * model.combinations[0].weights.softmax(0)).detach().numpy()
    for layers, top, average, mix in zip(*by_layers.values(), strict=True):
        np.testing.assert_array_equal(top, layers[-1])
        np.testing.assert_allclose(average, layers.mean(0), atol=1e-6)
        np.testing.assert_allclose(mix, np.tensordot(shares, layers, 1), atol=1e-6)


def test_mix_of_a_projection_has_its_width(make_model, tokenizer):
    model = make_model(representation="projection", representation_size=5)
    (array,) = modeling_elmo.embed(model, ["the old bank"], tokenizer=tokenizer)
    inputs = tokenizer("the old bank", return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokenizer(["the old bank"], return_tensors="pt")).last_hidden_state[0, 1:-1]
    assert inputs["input_ids"].shape[-1] == 5
    np.testing.assert_allclose(array, expected.numpy(), atol=1e-6)


def test_boundaries_and_sentences_without_words(embedder):
    sentences = [["the", "bank"], []]
    options = {"layers": "all", "tokenizer": embedder.tokenizer}
    whole = list(modeling_elmo.embed(embedder.model, sentences, boundaries=True, **options))
    inner = list(modeling_elmo.embed(embedder.model, sentences, **options))
    for words, all_tokens, only_words in zip(sentences, whole, inner, strict=True):
        np.testing.assert_allclose(all_tokens, plain_layers(embedder, words), atol=1e-6)
        np.testing.assert_array_equal(all_tokens[:, 1:-1], only_words)
    assert whole[1].shape == (3, 2, 12) and inner[1].shape == (3, 0, 12)


def test_texts_are_split_by_the_tokenizer(embedder):
    options = {"layers": "top", "tokenizer": embedder.tokenizer}
    (of_text,) = modeling_elmo.embed(embedder.model, ["The bank, closed."], **options)
    (of_words,) = modeling_elmo.embed(embedder.model, [["The", "bank", ",", "closed", "."]], **options)
    np.testing.assert_array_equal(of_text, of_words)


def test_mean_vectors_ignore_padding(embedder):
    sentences = [["the"], ["the", "old", "river", "bank"], []]
    options = {"layers": "all", "tokenizer": embedder.tokenizer}
    means = list(modeling_elmo.embed(embedder.model, sentences, pooling="mean", **options))
    for words, mean in zip(sentences, means, strict=True):
        assert mean.shape == (3, 12)
        expected = cut_to_words(plain_layers(embedder, words)).mean(1) if words else np.zeros((3, 12))
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_embedding_is_lazy(embedder, small_batches):
    read = itertools.count()
    endless = (["the", "bank"] for _ in read)
    found = modeling_elmo.embed(embedder.model, endless, tokenizer=embedder.tokenizer)
    first = list(itertools.islice(found, 40))
    assert len(first) == 40
    assert next(read) <= 40 + batches.WINDOW_TOKENS // 4 + 1


def test_the_model_stays_in_training_mode(make_model, tokenizer):
    model = make_model(dropout=0.5).train()
    assert model.training
    first, again = (next(modeling_elmo.embed(model, [["the"]], tokenizer=tokenizer)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert model.training


def test_half_precision_gives_float32(make_model, tokenizer):
    model = make_model().to(torch.bfloat16)
    (array,) = modeling_elmo.embed(model, ["the old bank"], layers="all", tokenizer=tokenizer)
    (exact,) = modeling_elmo.embed(model.float(), ["the old bank"], layers="all", tokenizer=tokenizer)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, exact, atol=0.05)


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


def test_an_unknown_precision_is_named(checkpoint):
    with pytest.raises(ValueError, match="precision is 'int4'"):
        modeling_elmo.embed(checkpoint, ["the"], precision="int4")


@pytest.mark.parametrize("layers", ["all", "mix", "top"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_long_sentences_in_pieces_are_exact(make_model, tokenizer, monkeypatch, layers, bidirectional):
    model = make_model(representation="scalar_mix", bidirectional=bidirectional)
    sentence = random.Random(0).choices(OTHERS, k=47)
    (whole,) = modeling_elmo.embed(model, [sentence], layers, tokenizer)
    lengths = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: lengths.append(inputs["input_ids"].shape[1]) or forward(**inputs)
    )
    monkeypatch.setattr(vectors, "BATCH_TOKENS", 10)
    (in_pieces,) = modeling_elmo.embed(model, [sentence], layers, tokenizer)
    assert max(lengths) == 10
    np.testing.assert_allclose(in_pieces, whole, atol=1e-6)


def test_batches_hold_every_sentence_once_and_keep_their_size():
    draw = random.Random(0)
    lengths = [draw.choice([0, 1, 5, 20, 200, 3000, 9000]) for _ in range(500)]
    made = list(batches.batches(lengths))
    assert sorted(itertools.chain.from_iterable(made)) == list(range(500))
    for batch in made:
        size = len(batch) * (max(lengths[number] for number in batch) + 2)
        assert size <= batches.BATCH_TOKENS or len(batch) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "bottom"}, "layers is 'bottom'"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"sentences": "one text"}, "not one string"),
        ({"tokenizer": None}, "pass its tokenizer"),
        ({"precision": "int8"}, "quantize this model yourself"),
    ],
)
def test_bad_options_are_refused_at_once(make_model, tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        modeling_elmo.embed(**{"model": make_model(), "sentences": [["the"]], "tokenizer": tokenizer, **options})


def test_an_empty_word_is_named(make_model, tokenizer):
    found = modeling_elmo.embed(make_model(), [["the"], ["the", ""]], tokenizer=tokenizer)
    with pytest.raises(ValueError, match="sentence 1 has an empty word at position 1"):
        list(found)


def test_what_is_no_word_is_named(make_model, tokenizer):
    found = modeling_elmo.embed(make_model(), [["the", "old", "bank"], ["the", 3]], tokenizer=tokenizer)
    with pytest.raises(TypeError, match="sentence 1 has 3 at position 1; words are strings"):
        list(found)


def test_a_mix_that_depends_on_the_batch_is_refused(make_model, tokenizer):
    model = make_model(representation="scalar_mix", scalar_mix_norm="batch")
    with pytest.raises(ValueError, match="depend on the rest of its batch"):
        modeling_elmo.embed(model, [["the"]], tokenizer=tokenizer)
    assert len(list(modeling_elmo.embed(model, [["the"]], "top", tokenizer))) == 1


# Files


def read_file(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, by name."""
    if path.suffix == ".hdf5":
        with h5py.File(path) as file:
            return {name: file[name][...] for name in file if name != "sentence_to_index"}
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    return load_file(path)


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


def test_the_file_is_the_same_from_gzip_and_standard_input(checkpoint, tmp_path, monkeypatch):
    text = "".join(" ".join(words) + "\n" for words in random_text(20, seed=3)).encode()
    (tmp_path / "text.txt").write_bytes(text)
    (tmp_path / "text.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    files = []
    for number, source in enumerate([tmp_path / "text.txt", tmp_path / "text.gz", "-"]):
        files.append(tmp_path / f"{number}.hdf5")
        embed_file(checkpoint, source, files[-1])
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the system has no /dev/fd")
def test_a_pipe_gives_its_text_once(checkpoint, tmp_path):
    text = b"the old bank\nby the river\n"
    (tmp_path / "text.txt").write_bytes(text)
    source, sink = os.pipe()  # as in `elmo embed checkpoint <(zcat text.gz) vectors.npz`
    with open(sink, "wb") as file:
        file.write(text)
    embed_file(checkpoint, f"/dev/fd/{source}", tmp_path / "pipe.npz")
    os.close(source)
    embed_file(checkpoint, tmp_path / "text.txt", tmp_path / "text.npz")
    assert (tmp_path / "pipe.npz").read_bytes() == (tmp_path / "text.npz").read_bytes()


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


def test_too_little_space_is_noticed_before_the_work(checkpoint, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    source = write_text(tmp_path / "text.txt", random_text(20))
    with pytest.raises(OSError, match="GB are free"):
        embed_file(checkpoint, source, tmp_path / "vectors.npz")
    assert os.listdir(tmp_path) == ["text.txt"]


# Interruption


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


def run_command(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "modeling_elmo.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


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


# Input


def test_lines_end_at_line_feeds_only(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\r\ntwo \u2028 three\x0cfour\x85\n\nfive".encode())
    with TextInput(path) as text:
        for _ in range(2):
            sentences = read_sentences(text, str.split)
            assert [sentence.text for sentence in sentences] == ["one", "two \u2028 three\x0cfour", "", "five"]


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress])
def test_text_that_is_not_utf8_is_located(checkpoint, tmp_path, compress):
    path = tmp_path / "latin1.txt"
    path.write_bytes(compress("fine\nna\u00efve\n".encode("latin-1")))
    with pytest.raises(ValueError, match=r"latin1\.txt:2: not UTF-8 \(byte 0xef at place 3\)"):
        embed_file(checkpoint, path, tmp_path / "vectors.npz")
    assert os.listdir(tmp_path) == ["latin1.txt"]


def test_a_broken_gzip_file_is_named(checkpoint, tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(random.Random(0).randbytes(5000).hex().encode())[:-2000])
    with pytest.raises(ValueError, match=r"text\.gz, after line 0: cannot be read"):
        embed_file(checkpoint, path, tmp_path / "vectors.npz")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: not JSON"),
        ('{"doc_key": "x"}', ":2: not a document .*sentences"),
        ('{"doc_key": "x", "sentences": ["the bank"]}', ":2: not a document .*not a list of words"),
        ('{"doc_key": "", "sentences": []}', ":2: the doc_key '' cannot name a group"),
        (r'{"doc_key": "a\u0000b", "sentences": []}', ":2: the doc_key .* cannot name a group"),
        ('{"doc_key": "a:b", "sentences": []}', ":2: an earlier document has the key 'a:b' too"),
    ],
)
def test_bad_documents_are_located(checkpoint, tmp_path, line, message):
    path = tmp_path / "documents.jsonl"
    path.write_text(f'{{"doc_key": "a/b", "sentences": [["the"]]}}\n{line}\n')
    with pytest.raises(ValueError, match=message):
        embed_file(checkpoint, path, tmp_path / "cache.hdf5", layout="e2e-coref")


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


# The command


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


# Published systems


@pytest.mark.parametrize("name", ["bilm_projected", "bilm_plain"])
def test_vectors_of_the_published_systems(shared_data, tmp_path, name):
    folder = shared_data / "fixtures_reference"
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    convert([folder / name], tmp_path / "checkpoint")
    found = list(modeling_elmo.embed(tmp_path / "checkpoint", sentences, layers="all"))
    with h5py.File(folder / name / "layers.hdf5") as file:
        expected = [file[f"reset/{number}"][...] for number in range(len(sentences))]
    for array, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, reference, atol=1e-5, rtol=0)
