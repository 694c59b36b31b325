"""The fine-tuning recipes in two processes: all take part, one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modeling_elmo import ElmoForSequenceClassification, ElmoTokenizer
from modeling_elmo.tasks.conll2012 import Document, Frame, Sentence, read_conll2012, write_conll2012
from modeling_elmo.tasks.tables import write_jsonl
from modeling_elmo.tasks.tagged_text import read_columns, write_columns

# Each process has an output folder of its own, which shows what it writes; the recipes share one group.
RUN = """
import importlib, json, os, sys

from modeling_elmo.recipes import run_recipe


def run_all(runs):
    for task, options in runs.items():
        sys.argv = [task, "--output_dir", f"{task}-{os.environ['RANK']}", *options]
        importlib.import_module(f"modeling_elmo.tasks.{task}").main()


run_recipe(run_all, json.loads(sys.argv[1]))
"""
NUMBER = 5  # of examples: the processes' shares differ


def write_data(folder: Path) -> dict[str, str]:
    """A training file for each task."""
    names = ["Ann", "Bo", "Cy", "Di", "Ed"]
    write_columns(folder / "columns", [[(name, "B-PER"), ("left", "O")] for name in names])
    write_jsonl(folder / "texts.jsonl", [{"text": f"{name} left", "label": name[-1]} for name in names])
    entries = [
        {
            "context": f"{name} left",
            "qas": [{"id": name, "question": "who", "answers": [{"text": name, "answer_start": 0}]}],
        }
        for name in names
    ]
    (folder / "squad.json").write_text(json.dumps({"data": [{"paragraphs": entries}]}))
    frame = Frame(1, "leave", "01", [("ARG0", (0, 0)), ("V", (1, 1))])
    documents = [
        Document(f"nw/{name}", 0, [Sentence([name, "left", "her"], ["-"] * 3, ["-"] * 3, [frame])], [[(0, 0), (2, 2)]])
        for name in names
    ]
    write_conll2012(documents, folder / "documents")
    return {
        "token_classification": "columns",
        "sequence_classification": "texts.jsonl",
        "question_answering": "squad.json",
        "semantic_role_labeling": "documents",
        "coreference": "documents",
    }


@pytest.mark.slow
def test_one_of_two_processes_writes_for_both(tmp_path):
    files = write_data(tmp_path)
    common = ["--without_elmo", "--use_cpu", "--max_steps", "1", "--save_strategy", "no", "--head_hidden_size", "8"]
    common += ["--load_best_model_at_end", "false", "--disable_tqdm", "true"]
    runs = {task: [*common, "--train_file", file, "--validation_file", file] for task, file in files.items()}
    # Small enough for each process to see examples of its own.
    batches = ["--per_device_train_batch_size", "2", "--per_device_eval_batch_size", "2"]
    runs["sequence_classification"] += batches
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", "run.py", json.dumps(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for task in runs:
        assert not [path for path in (tmp_path / f"{task}-1").rglob("*") if path.is_file()], task
        assert set(json.loads((tmp_path / f"{task}-0" / "summary.json").read_text())["metrics"]) == {"validation"}
        batch = 2 if task == "coreference" else 4 if task == "sequence_classification" else 64
        assert f"batch size {batch}, " in (tmp_path / f"{task}-0" / "README.md").read_text()
    assert len(read_columns(tmp_path / "token_classification-0" / "predictions_validation.txt", 1)) == NUMBER
    # What the processes predict together is what the model that is left behind predicts.
    folder = tmp_path / "sequence_classification-0"
    rows = [json.loads(line) for line in (folder / "predictions_validation.jsonl").read_text().splitlines()]
    assert len(rows) == NUMBER
    model, tokenizer = ElmoForSequenceClassification.from_pretrained(folder), ElmoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer([row["text"] for row in rows], return_tensors="pt")).logits
    for row, expected in zip(rows, logits.softmax(-1).tolist(), strict=True):
        assert list(row["scores"].values()) == pytest.approx(expected, abs=1e-4)
    assert len(json.loads((tmp_path / "question_answering-0" / "predictions_validation.json").read_text())) == NUMBER
    for task in ("semantic_role_labeling", "coreference"):
        predicted = read_conll2012(tmp_path / f"{task}-0" / "predictions_validation.conll")
        assert [each.key for each in predicted] == [each.key for each in read_conll2012(tmp_path / "documents")]
