"""The question answering recipe from files to answers."""

import json
import random

import pytest
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from modeling_elmo.tasks.question_answering import answer

NAMES = ("Ann", "Bo", "Cy", "Di", "Ed")
PLACES = ("York", "Rome", "Oslo", "Lima")


def squad(seed: int, size: int, unanswerable: bool = False) -> dict:
    """Texts that say where people live, and questions about one of them."""
    draw = random.Random(seed)
    paragraphs = []
    for number in range(size):
        people = draw.sample(NAMES, 3)
        homes = [draw.choice(PLACES) for _ in people]
        context = " ".join(f"{name} lives in {home}." for name, home in zip(people[:2], homes[:2], strict=True))
        asked = 2 if unanswerable and number % 3 == 0 else draw.randrange(2)
        entry = {"id": f"{seed}-{number}", "question": f"Where does {people[asked]} live?", "answers": []}
        if asked < 2:
            start = context.index(f"{people[asked]} lives in ") + len(f"{people[asked]} lives in ")
            entry["answers"] = [{"text": homes[asked], "answer_start": start}]
        else:
            entry["is_impossible"] = True
        paragraphs.append({"context": context, "qas": [entry]})
    return {"version": "test", "data": [{"title": "homes", "paragraphs": paragraphs}]}


@pytest.fixture
def files(tmp_path):
    def write(unanswerable: bool = False) -> list[str]:
        options = []
        for name, seed, size in (("train", 0, 60), ("validation", 1, 12), ("test", 2, 6)):
            (tmp_path / f"{name}.json").write_text(json.dumps(squad(seed, size, unanswerable)))
            options += [f"--{name}_file", str(tmp_path / f"{name}.json")]
        return options

    return write


HEAD = ("--head_hidden_size", 12, "--head_dropout", 0, "--learning_rate", 0.02, "--per_device_train_batch_size", 10)


def test_learns_predicts_and_answers_the_same_with_cached_layers(tmp_path, tiny_elmo, files, finetune):
    options = [*files(), "--model_name_or_path", tiny_elmo, "--num_train_epochs", 6, *HEAD]
    metrics = finetune("question_answering", tmp_path / "plain", *options)
    assert set(metrics) == {"validation", "test"}
    assert metrics["validation"]["f1"] > 0.3  # one word of ten at random
    cached = finetune("question_answering", tmp_path / "cached", *options, "--cache_layers", tmp_path / "layers")
    assert all(cached[split] == pytest.approx(metrics[split]) for split in metrics)
    predictions = json.loads((tmp_path / "plain" / "predictions_test.json").read_text())
    assert set(predictions) == {f"2-{number}" for number in range(6)}
    assert all(predictions.values()) and not (tmp_path / "plain" / "null_odds_test.json").exists()
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "tasks.question_answering import answer" in card and "| validation |" in card
    state = json.loads((tmp_path / "plain" / "trainer_state.json").read_text())
    best = max(entry["eval_f1"] for entry in state["log_history"] if "eval_f1" in entry)
    assert state["best_metric"] == best == pytest.approx(metrics["validation"]["f1"])

    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    question = squad(2, 6)["data"][0]["paragraphs"][3]
    found = answer(model, tokenizer, question["qas"][0]["question"], question["context"])
    assert found["text"] == predictions["2-3"] == question["context"][found["start"] : found["end"]]


def test_unanswerable_questions_and_the_baseline(tmp_path, files, finetune):
    options = [*files(unanswerable=True), "--without_elmo", "--num_train_epochs", 1, *HEAD]
    metrics = finetune("question_answering", tmp_path / "out", *options, "--version_2", "--null_threshold", -1e9)
    # With this threshold nothing is answered: a third of the questions is right.
    assert metrics["validation"]["unanswerable_accuracy"] == 1 and metrics["validation"]["answerable_f1"] == 0
    assert metrics["validation"]["exact_match"] == pytest.approx(1 / 3)
    odds = json.loads((tmp_path / "out" / "null_odds_validation.json").read_text())
    assert set(odds) == {f"1-{number}" for number in range(12)}
    # Without one the best for the validation data is searched, kept, and used for the test data and by `answer`.
    metrics = finetune("question_answering", tmp_path / "best", *options, "--version_2")
    found = metrics["validation"]
    assert found["f1"] == found["best_f1"] >= max(1 / 3, found["answerable_f1"] * 2 / 3)
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["null_threshold"] == found["best_f1_threshold"]
    assert "best_f1" in (tmp_path / "best" / "README.md").read_text()
    odds = json.loads((tmp_path / "best" / "null_odds_test.json").read_text())
    for key, text in json.loads((tmp_path / "best" / "predictions_test.json").read_text()).items():
        assert bool(text) == (odds[key] <= config["null_threshold"])
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "best")
    assert model.config.null_threshold == config["null_threshold"]
    with pytest.raises(SystemExit, match="20 questions have no answer, '0-0' for one: give --version_2"):
        finetune("question_answering", tmp_path / "out", *options)
    with pytest.raises(SystemExit, match="--null_threshold goes with --version_2"):
        finetune("question_answering", tmp_path / "out", *options, "--null_threshold", 0)
