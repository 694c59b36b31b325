"""The loader benchmark runs end to end."""

import re
import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_loader.py"


def test_it_prints_words_per_second(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("Some words of text. And some more of them!\n" * 50)
    options = ["--source", str(tmp_path / "a.txt"), "--text_format", "paragraphs", "--batch_size", "4"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options, "--windows", "5", "--num_workers", "2"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    output = capsys.readouterr().out
    assert "550 words in 100 sentences, vocabulary 13\n" in output
    assert re.search(r"per core: [\d,]+ words/s\na window: 80 words, \d+ distinct words\n", output)
    assert re.search(r"with 2 workers on \d+ cores: [\d,]+ words/s\n", output)
