"""scripts/pretrain.py as a person runs it, and its recipes."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.pretraining.arguments import parse_arguments

SCRIPTS = Path(__file__).parents[2] / "scripts"
RECIPES = sorted((SCRIPTS / "recipes").glob("*.json"))
TINY = ["--cell_size", "12", "--projection_size", "8", "--filters", "1:4", "2:8", "--representation_size", "8"]
SHORT = ["--max_steps", "6", "--logging_steps", "2", "--eval_steps", "3", "--batch_size", "8"]


def run(*arguments, expect: int = 0, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPTS / "pretrain.py"), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == expect, result.stdout + result.stderr
    return result


@pytest.mark.slow
def test_the_first_command(tmp_path):
    """With no option but those that make it short: the embedded text, the default vocabulary."""
    output = tmp_path / "elmo"
    printed = run("--output_dir", output, *TINY, *SHORT, "--max_steps", "20").stdout
    for part in ("held-out perplexity: forward", "a unigram model has", "words/s", "left", "Nearest neighbours"):
        assert part in printed
    tokenizer = AutoTokenizer.from_pretrained(output)
    hidden = AutoModel.from_pretrained(output)(**tokenizer("Return the value .", return_tensors="pt"))
    assert hidden.last_hidden_state.shape == (1, 6, 8)
    assert tokenizer.vocab_size == 6000


def test_raw_compressed_text_of_another_language(tmp_path):
    text = tmp_path / "szöveg.txt.gz"
    paragraph = "Egy fa áll a kertben. Nagyon magas, és szép! Ki ültette? Nem tudja senki.\n"
    with gzip.open(text, "wt", encoding="utf-8") as file:
        file.write("".join(f"{paragraph[:-1]} {number}\n" for number in range(200)))
    options = ["--text_format", "paragraphs", "--language", "hu", "--word_splitting", "unicode"]
    output = tmp_path / "elmo"
    run("--train_files", text, *options, "--output_dir", output, *TINY, *SHORT, "--num_negative_samples", 10)
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert tokenizer.word_splitting == "unicode"
    assert {"ültette", "magas", "?"} <= set(tokenizer.get_vocab())
    assert "language:\n- hu" in (output / "README.md").read_text(encoding="utf-8")
    # The same command finds that there is nothing left to do.
    again = run("--train_files", text, *options, "--output_dir", output, *TINY, *SHORT, "--num_negative_samples", 10)
    assert "going on from" in again.stdout and "step      3" not in again.stdout


def test_mistakes_are_said_plainly(tmp_path):
    assert "no such file" in run("--train_files", tmp_path / "none.txt", expect=1).stderr
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"cells": 3}))
    assert f"error: recipe {recipe}: no option is called 'cells'" in run(recipe, expect=1).stderr
    text, diverging = tmp_path / "text.txt", ["--optimizer", "sgd", "--learning_rate", 1e38, "--max_grad_norm", 1e38]
    text.write_text("\n".join(f"sentence {number} of a few" for number in range(400)))
    options = ["--train_files", text, "--output_dir", tmp_path / "run", *TINY, *SHORT, *diverging]
    error = run(*options, expect=1).stderr
    assert "\nerror: " in f"\n{error}" and "lower learning_rate or max_grad_norm" in error and "Traceback" not in error


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_fit_the_options(path):
    config = parse_arguments([str(path)]).config(vocab_size=10_000)
    with torch.device("meta"):
        model = ElmoForPreTraining(config)
    sizes = {"novels_1024_128": 13_593_296, "published": 93_600_848}
    if path.stem in sizes:
        modules = (model.elmo.token_encoder, model.elmo.lstm)
        # The file's table of characters has one row more than the published count.
        count = sum(p.numel() for module in modules for p in module.parameters()) - config.character_embedding_size
        assert count == sizes[path.stem]
