"""Every benchmark script, in its smallest form, as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
TEXT = "Some words of text. And some more of them!\n" * 50
# Options of the smallest run (`{text}` is a file of TEXT), and what its output must hold.
RUNS = {
    "inference": (
        "--size tiny --words 100 --baseline_words 40 --batch_size 4 --turns 1 --int8",
        [
            r"\(a\) plain loop +\d+ words/s   ours is +\d+\.\d+ times",
            r"\(b\) .* words/s",
            r"\d+% of the products' rate",
        ],
    ),
    "training": (
        "--size tiny --batch_size 4 --unroll_steps 5 --vocab_size 100 --num_negative_samples 10 --turns 1",
        [r"\(a\) plain loop +\d+ words/s   ours is +\d+\.\d+ times", r"GFLOP/s, \d+%", r"peak memory \d"],
    ),
    "loader": (
        "--source {text} --text_format paragraphs --batch_size 4 --windows 5 --num_workers 2 --max_size 100",
        [
            r"(?m)^550 words in 100 sentences, vocabulary 13$",
            r"per core: [\d,]+ words/s\na window: 80 words, \d+ distinct words\n",
            r"with 2 workers on \d+ cores: [\d,]+ words/s\n",
        ],
    ),
    "loading": ("--size tiny", [r"from_pretrained: \d+\.\d+ s", r"first sentence of 20 words: \d+\.\d+ s"]),
    "softmax": (
        "--vocab_sizes 100 200 --num_negative_samples 10 --batch_size 2 --cell_size 8 --projection_size 4 --steps 2",
        [r"(?m)^ +100 .* 1\.00 ", r"(?m)^ +200 .* \d+\.\d+ +\d+\.\d+$"],
    ),
    "tokenizer": (
        "--words 500 --vocab_size 100 --batch_size 8",
        [r"plain nested lists.* [\d,]+ words/s", r"raw text, no vocabulary +[\d,]+ words/s +\d+\.\d x"],
    ),
}


def test_all_scripts_are_run():
    names = {path.stem.removeprefix("benchmark_") for path in SCRIPTS.glob("benchmark_*.py")}
    assert names - {"tools"} == RUNS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_it_prints_rates_and_ratios(name, tmp_path):
    options, patterns = RUNS[name]
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = [option.format(text=text) for option in options.split()]
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"benchmark_{name}.py", *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    for pattern in patterns:
        assert re.search(pattern, done.stdout), f"no {pattern!r} in:\n{done.stdout}"
