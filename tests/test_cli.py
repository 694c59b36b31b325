import argparse
import os
import subprocess
import sys

import pytest
import torch
from conversion.published_bilm import make_arrays, make_options, write_bilm

from modeling_elmo import cli


def run(*argv, code=0):
    """The console command's exit code, whichever way it ends."""
    try:
        result = cli.main([str(argument) for argument in argv])
    except SystemExit as exit:
        result = exit.code
    assert result == code


def test_help_names_every_command(capsys):
    run("--help", code=0)
    shown = capsys.readouterr().out
    for name, (_, summary) in cli.COMMANDS.items():
        assert name in shown and summary.split()[0] in shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_each_command(name, capsys):
    run(name, "--help", code=0)
    assert f"usage: elmo {name} " in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["transform"], ["convert"], ["convert", "a"], ["convert", "a", "b", "--what"]])
def test_wrong_usage(argv, capsys):
    run(*argv, code=2)
    assert "usage: elmo" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("a\n  b"), FileNotFoundError("a b"), ImportError("a b")])
def test_a_mistake_of_the_user_is_one_line(monkeypatch, capsys, error):
    def fail(args):
        raise error

    module = argparse.Namespace(add_arguments=lambda parser: None, run=fail)
    monkeypatch.setitem(cli.COMMANDS, "fail", (module, "fails"))
    run("fail", code=2)
    assert capsys.readouterr().err == "elmo fail: error: a b\n"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    module = argparse.Namespace(add_arguments=lambda parser: None, run=lambda args: {}["key"])
    monkeypatch.setitem(cli.COMMANDS, "fail", (module, "fails"))
    with pytest.raises(KeyError):
        cli.main(["fail"])


SAY = """
import argparse, sys
from modeling_elmo import cli

module = argparse.Namespace(add_arguments=lambda parser: None, run=lambda args: print("word"))
cli.COMMANDS["say"] = (module, "says")
sys.exit(cli.main(["say"]))
"""


def test_a_reader_that_stops_early_is_no_mistake():
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        done = subprocess.run([sys.executable, "-c", SAY], stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_convert_and_export(tmp_path, capsys):
    options = make_options()
    source = write_bilm(tmp_path / "published", options, make_arrays(options))
    run("convert", source, tmp_path / "converted", "--word-splitting", "whitespace")
    assert f"{tmp_path / 'converted'}: ElmoModel" in capsys.readouterr().out
    assert '"word_splitting": "whitespace"' in (tmp_path / "converted" / "tokenizer_config.json").read_text()
    run("convert", source, tmp_path / "converted", code=2)
    assert "is not empty" in capsys.readouterr().err
    run("convert", source / "options.json", source / "weights.hdf5", tmp_path / "converted", "--overwrite")
    run("export", tmp_path / "converted", tmp_path / "exported")
    assert (tmp_path / "exported" / "weights.hdf5").exists()
    capsys.readouterr()
    run("convert", tmp_path / "nothing", tmp_path / "other", code=2)
    assert capsys.readouterr().err.count("\n") == 1


def test_installed_command(tmp_path):
    command = os.path.join(os.path.dirname(sys.executable), "elmo")
    if not os.path.exists(command):
        pytest.skip("the package is not installed in this environment")
    result = subprocess.run([command, "convert", "nowhere", "target"], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "elmo convert: error: nowhere does not exist\n"


@pytest.mark.parametrize("processes", [1, 2])
def test_vocab_counts_a_corpus(tmp_path, capsys, processes):
    (tmp_path / "a.txt").write_text("the cat saw the dog\nthe <S> end\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("a dog saw\n", encoding="utf-8")
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    run("vocab", *files, tmp_path / "vocab.txt", "--min-count", 2, "--processes", processes)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split() == [
        "<S>",
        "</S>",
        "<UNK>",
        "the",
        "dog",
        "saw",
    ]
    assert "6 rows" in capsys.readouterr().out
    run("vocab", *files, tmp_path / "vocab.txt", "--max-size", 4, "--overwrite")
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split() == ["<S>", "</S>", "<UNK>", "the"]
    run("vocab", tmp_path / "none.txt", tmp_path / "new.txt", code=2)
    assert "none.txt: no such file" in capsys.readouterr().err


def test_vocab_does_not_take_the_last_file_of_a_corpus_for_its_output(tmp_path, capsys):
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file in files:
        file.write_text("a dog saw\n", encoding="utf-8")
    run("vocab", *files, code=2)
    assert "b.txt exists already" in capsys.readouterr().err
    assert files[1].read_text(encoding="utf-8") == "a dog saw\n"
    run("vocab", files[0], tmp_path, "--overwrite", code=2)
    assert f"{tmp_path} is a folder; give the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["embed", "score", "export"])
@pytest.mark.parametrize("name, message", [("", "elmo convert"), ("options.json", "is a file; give the folder")])
def test_published_files_in_place_of_a_checkpoint_are_named(tmp_path, capsys, command, name, message):
    options = make_options()
    source = write_bilm(tmp_path / "published", options, make_arrays(options))
    text = tmp_path / "text.txt"
    text.write_text("the cat\n", encoding="utf-8")
    arguments = {"embed": [text, tmp_path / "x.npz"], "score": [text], "export": [tmp_path / "exported.onnx"]}[command]
    run(command, source / name, *arguments, code=2)
    error = capsys.readouterr().err
    assert str(source / name) in error and message in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["embed", "score", "export"])
def test_a_damaged_checkpoint_is_named_in_one_line(tmp_path, capsys, command):
    options = make_options()
    source = write_bilm(tmp_path / "published", options, make_arrays(options, vocab_size=4, softmax=True))
    (source / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n", encoding="utf-8")
    checkpoint = tmp_path / "checkpoint"
    run("convert", source, checkpoint)
    text = tmp_path / "text.txt"
    text.write_text("the cat\n", encoding="utf-8")
    arguments = {"embed": [text, tmp_path / "x.npz"], "score": [text], "export": [tmp_path / "exported"]}[command]

    def breaks(file, change):
        content = file.read_bytes()
        file.write_bytes(change(content))
        capsys.readouterr()
        run(command, checkpoint, *arguments, code=2)
        file.write_bytes(content)
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith(f"elmo {command}: error: {checkpoint}")

    tokenizer = checkpoint / "tokenizer.json"
    breaks(tokenizer, lambda content: content[:-8])
    breaks(tokenizer, lambda content: b"\xff" + content)
    weights, config = checkpoint / "model.safetensors", checkpoint / "config.json"
    breaks(weights, lambda content: content[:-8])  # a copy that was cut short
    breaks(config, lambda content: content.replace(b'"cell_size": ', b'"cell_size": 1'))  # of another model
    breaks(config, lambda content: content.replace(b'"cell_size": ', b'"cell_size": -'))  # impossible
    for other in (b"", b"5", b"[]"):
        breaks(config, lambda content, other=other: other)
    breaks(config, lambda content: content.replace(b'"dtype": "float32"', b'"dtype": "float31"'))
    breaks(tokenizer, lambda content: b"{}")

    weights.unlink()
    weights = checkpoint / "pytorch_model.bin"
    torch.save([torch.zeros(1)], weights)
    for other in (b"", b"version https://git-lfs.github.com/spec/v1\n", weights.read_bytes()):
        breaks(weights, lambda content, other=other: other)
