"""The fine-tuning recipes from end to end, on small files in the field's formats."""

import json
import random
import runpy
import sys
from pathlib import Path

import pytest
import torch
import zstandard

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
from modeling_elmo.tasks.tables import write_jsonl
from modeling_elmo.tasks.tagged_text import read_columns

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

GOOD = ["lovely", "wonderful", "funny", "warm", "brilliant", "charming"]
BAD = ["dull", "awful", "tedious", "cold", "stupid", "boring"]
PEOPLE, PLACES = ["Anna", "Peter Smith", "Ingrid Berg", "Omar"], ["Paris", "New York", "South Africa", "Oslo"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A checkpoint with random weights, wide enough that words differ."""
    folder = tmp_path_factory.mktemp("elmo-small")
    torch.manual_seed(0)
    tokenizer = ElmoTokenizer()
    config = ElmoConfig(
        vocab_size=tokenizer.vocab_size,
        filters=[[1, 16], [2, 16], [3, 32], [4, 64]],
        num_highway_layers=1,
        cell_size=32,
        projection_size=32,
        representation="scalar_mix",
    )
    ElmoModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(monkeypatch):
    """Runs a script in this process, which has imported already what takes seconds to import."""

    def run(script, *options):
        common = ["--use_cpu", "--disable_tqdm", "true", "--head_hidden_size", "32", "--head_dropout", "0.2"]
        arguments = [script, *map(str, options), *common, "--learning_rate", "5e-3"]
        monkeypatch.setattr(sys, "argv", arguments)
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")

    return run


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def write_entities(path, number, seed):
    """IOB1 in four columns."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("-DOCSTART- -X- O O\n\n")
        for _ in range(number):
            person, place = draw.choice(PEOPLE).split(), draw.choice(PLACES).split()
            tagged = [(word, "I-PER") for word in person] + [(draw.choice(["left", "likes"]), "O")]
            tagged += [(word, "I-LOC") for word in place] + [(".", "O")]
            file.writelines(f"{word} X X {label}\n" for word, label in tagged)
            file.write("\n")
    return path


def sentence(draw, good):
    words = draw.sample(GOOD if good else BAD, 2)
    return draw.choice(["A {} and {} film .", "The story is {} and {} ."]).format(*words)


def write_trees(path, number, seed):
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(number):
            label = draw.randrange(2)
            words = [f"({label if word in GOOD + BAD else 2} {word})" for word in sentence(draw, label).split()]
            while len(words) > 1:
                words[-2:] = [f"({label} {words[-2]} {words[-1]})"]
            file.write(words[0] + "\n")
    return path


def pairs(number, seed):
    """Whether two reviews are of one mind."""
    draw = random.Random(seed)
    for _ in range(number):
        first, second = draw.randrange(2), draw.randrange(2)
        label = "same" if first == second else "different"
        yield {"premise": sentence(draw, first), "hypothesis": sentence(draw, second), "label": label}


def test_entities_with_cached_layers(run, base, tmp_path):
    train, dev = write_entities(tmp_path / "train", 120, 1), write_entities(tmp_path / "dev", 30, 2)
    files = ["--train_file", train, "--validation_file", dev, "--label_scheme", "BIOES"]
    model = ["--model_name_or_path", base, "--num_train_epochs", 5, "--per_device_train_batch_size", 8]
    script = "finetune_token_classification.py"
    run(script, *files, *model, "--output_dir", tmp_path / "cached", "--cache_layers", tmp_path / "layers")
    run(script, *files, *model, "--output_dir", tmp_path / "plain")
    results = summary(tmp_path / "cached")["metrics"]["validation"]
    assert results["f1"] > 0.9
    # The cache changes the speed and nothing else.
    assert results == pytest.approx(summary(tmp_path / "plain")["metrics"]["validation"], abs=0.05)
    curves = [
        [entry["loss"] for entry in json.loads((folder / "trainer_state.json").read_text())["log_history"][:1]]
        for folder in (tmp_path / "cached", tmp_path / "plain")
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    predicted = read_columns(tmp_path / "cached" / "predictions_validation.txt")
    assert len(predicted) == 30 and {"S-PER", "B-LOC", "E-LOC", "O"} <= {x for item in predicted for x in item.labels}
    card = (tmp_path / "cached" / "README.md").read_text()
    assert "AutoModelForTokenClassification" in card and "the biLM frozen" in card and f"{results['f1']:.4f}" in card


def test_labels_that_training_never_showed_count_in_every_report(run, base, tmp_path):
    train, dev = write_entities(tmp_path / "train", 20, 1), write_entities(tmp_path / "dev", 5, 2)
    dev.write_text(dev.read_text().replace(". X X O", "Acme X X I-ORG"))
    files = ["--train_file", train, "--validation_file", dev, "--model_name_or_path", base]
    run("finetune_token_classification.py", *files, "--num_train_epochs", 1, "--output_dir", tmp_path / "out")
    metrics = summary(tmp_path / "out")["metrics"]["validation"]
    results = json.loads((tmp_path / "out" / "validation_results.json").read_text())
    assert 0 < metrics["accuracy"] < 1
    assert {name: results[f"validation_{name}"] for name in metrics} == metrics


def test_trees_and_the_bag_of_words(run, base, tmp_path, capsys):
    train, dev = write_trees(tmp_path / "train.txt", 40, 1), write_trees(tmp_path / "dev.txt", 30, 2)
    run(
        "finetune_sequence_classification.py",
        *("--model_name_or_path", base, "--file_format", "trees", "--train_file", train, "--validation_file", dev),
        *("--output_dir", tmp_path / "out", "--num_train_epochs", 6, "--cache_layers", tmp_path / "layers"),
    )
    results = summary(tmp_path / "out")
    assert results["labels"] == ["0", "1", "2"]
    assert results["metrics"]["validation"]["accuracy"] > 0.8
    accuracy = results["bag_of_words"]["validation"]["accuracy"]
    assert f"bag of words, validation: accuracy {accuracy:.4f}" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions_validation.jsonl").read_text().splitlines()]
    assert len(rows) == 30 and set(rows[0]) == {"text", "label", "prediction", "scores"}
    run(
        "finetune_sequence_classification.py",
        *("--model_name_or_path", base, "--file_format", "trees", "--train_file", train, "--validation_file", train),
        *("--output_dir", tmp_path / "same", "--num_train_epochs", 1, "--cache_layers", tmp_path / "layers"),
    )
    assert len((tmp_path / "same" / "predictions_validation.jsonl").read_text().splitlines()) == 40
    with pytest.raises(SystemExit, match="would hold out phrases of sentences that are trained on"):
        run(
            "finetune_sequence_classification.py",
            *("--model_name_or_path", base, "--file_format", "trees", "--train_file", train),
            *("--output_dir", tmp_path / "out", "--validation_fraction", 0.1),
        )


def test_entailment_without_elmo_and_resume(run, tmp_path):
    write_jsonl(tmp_path / "pairs.jsonl", [*pairs(200, 1), {"premise": "x", "hypothesis": "y", "label": "-"}])
    options = ["--without_elmo", "--train_file", tmp_path / "pairs.jsonl", "--validation_fraction", 0.2]
    options += ["--output_dir", tmp_path / "out", "--num_train_epochs", 2, "--save_total_limit", 2]
    run("finetune_entailment.py", *options)
    results = summary(tmp_path / "out")
    assert results["labels"] == ["different", "same"]
    assert (tmp_path / "out" / "model.safetensors").exists()
    options[options.index("--num_train_epochs") + 1] = 3
    # As a kill leaves it that came while a checkpoint was being written.
    unfinished = tmp_path / "out" / "checkpoint-999"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half of it")
    run("finetune_entailment.py", *options, "--resume_from_checkpoint", "last")
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert [entry["epoch"] for entry in history if "eval_loss" in entry] == [1.0, 2.0, 3.0]
    with pytest.raises(SystemExit, match="--cache_layers needs a frozen biLM"):
        run("finetune_entailment.py", *options, "--cache_layers", tmp_path / "layers")


@pytest.mark.parametrize("kind", ["regression", "several labels"])
def test_numbers_and_several_labels(run, base, tmp_path, kind):
    draw = random.Random(0)
    rows = []
    for _ in range(80):
        good, bad = draw.randrange(2), draw.randrange(2)
        words = [draw.choice(GOOD)] * good + [draw.choice(BAD)] * bad
        label = [*["good"] * good, *["bad"] * bad] if kind == "several labels" else float(good - bad)
        rows.append({"text": " ".join(["A", *words, "film", "."]), "label": label})
    write_jsonl(tmp_path / "train.jsonl", rows)
    run(
        "finetune_sequence_classification.py",
        *("--model_name_or_path", base, "--train_file", tmp_path / "train.jsonl", "--validation_fraction", 0.3),
        *("--output_dir", tmp_path / "out", "--num_train_epochs", 8, "--per_device_train_batch_size", 8),
        *(["--regression"] if kind == "regression" else []),
    )
    metrics = summary(tmp_path / "out")["metrics"]["validation"]
    assert metrics["pearson" if kind == "regression" else "micro_f1"] > 0.6


def test_malformed_files_end_with_one_line(run, base, tmp_path):
    (tmp_path / "train.tsv").write_text("text\tlabel\nfine\tgood\nnot fine\n")
    options = ["--model_name_or_path", base, "--train_file", tmp_path / "train.tsv", "--validation_fraction", 0.5]
    with pytest.raises(SystemExit, match="train.tsv:3: 1 fields; the header has 2"):
        run("finetune_sequence_classification.py", *options)


@pytest.mark.parametrize("task", ["sequence_classification", "entailment"])
def test_a_missing_library_ends_with_one_line(run, base, tmp_path, monkeypatch, task):
    (tmp_path / "train.tsv.zst").write_bytes(zstandard.compress(b"text\tlabel\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    options = ["--model_name_or_path", base, "--train_file", tmp_path / "train.tsv.zst", "--validation_fraction", 0.5]
    with pytest.raises(SystemExit, match="needs zstandard: pip install"):
        run(f"finetune_{task}.py", *options)
