"""Every snippet of the README's quickstart, run in order in one folder, as a reader would."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conversion.published_bilm import make_arrays, make_options, write_bilm

from modeling_elmo import ElmoForPreTraining, ElmoTokenizer

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Quickstart")[2]
SNIPPETS = re.findall(r"```(python|bash)\n(.*?)```", QUICKSTART, re.DOTALL)
TEXT = "She sat on the bank of the river.\nThe bank raised its rates again.\nDogs don't read.\n"


@pytest.fixture
def folder(tmp_path, make_config):
    """What the README supposes: the first command's checkpoint, old weights, a corpus and a text."""
    tokenizer = ElmoTokenizer.train_from_iterator([TEXT])
    ElmoForPreTraining(make_config(vocab_size=tokenizer.vocab_size)).save_pretrained(tmp_path / "elmo-pretrained")
    tokenizer.save_pretrained(tmp_path / "elmo-pretrained")
    write_bilm(tmp_path / "old_elmo", make_options(), make_arrays(make_options()))
    (tmp_path / "sentences.txt").write_text(TEXT)
    lines = [
        f"The {a} {b} saw the {c}." for a in ("old", "big", "red") for b in ("dog", "cat", "man") for c in "abcdefg"
    ]
    (tmp_path / "corpus.txt").write_text("\n".join(lines * 2) + "\n")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    return tmp_path


@pytest.mark.slow
def test_snippets_run(folder):
    assert len(SNIPPETS) >= 5
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    for language, code in SNIPPETS:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euc", code]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{code}\n{run.stdout}\n{run.stderr}"
    for made in (
        "vectors.hdf5",
        "elmo-original/model.safetensors",
        "back_again/weights.hdf5",
        "elmo-mine/config.json",
    ):
        assert (folder / made).is_file(), made
    assert (folder / "my-classifier" / "model.safetensors").is_file()


def test_vector_count_of_the_first_snippet_is_right(folder):
    """The comment says how many vectors there are."""
    tokenizer = ElmoTokenizer.from_pretrained(folder / "elmo-pretrained")
    sentences = re.search(r"tokenizer\(\s*(\[.*?\])", QUICKSTART)[1]
    longest = max(len(tokenizer(text)["input_ids"]) for text in json.loads(sentences))
    assert f"(2, {longest}, hidden size)" in QUICKSTART
