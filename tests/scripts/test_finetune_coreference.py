"""The recipe of coreference resolution from files to resolved text."""

import json
import random
import re

import pytest
from transformers import AutoTokenizer

from modeling_elmo import ElmoForCoreferenceResolution
from modeling_elmo.tasks.conll2012 import Document, Sentence, read_conll2012, write_conll2012
from modeling_elmo.tasks.coreference import resolve_text
from modeling_elmo.tasks.gap import COLUMNS
from modeling_elmo.tasks.metrics import CoreferenceScorer

HEAD = (
    "--head_hidden_size",
    24,
    "--head_dropout",
    0,
    "--learning_rate",
    0.003,
    "--max_span_width",
    2,
    "--top_span_ratio",
    0.6,
)


def documents(seed: int, size: int) -> list[Document]:
    """A man and a woman, who are then spoken of by pronouns in a random order."""
    draw, made = random.Random(seed), []
    for number in range(size):
        man, woman = draw.choice(["Bo", "Cy"]), draw.choice(["Ann", "Di"])
        sentences, chains = [f"{man} met {woman} ."], [[(0, 0)], [(2, 2)]]
        for _ in range(3):
            pronouns = draw.sample(["he", "she"], 2)
            start = sum(len(sentence.split()) for sentence in sentences)
            for place, pronoun in zip((start, start + 3), pronouns, strict=True):
                chains[pronoun == "she"].append((place, place))
            sentences.append(f"{pronouns[0]} laughed and {pronouns[1]} left .")
        chains.append([(1, 1)])  # of one mention
        rows = [Sentence(words, ["-"] * len(words), ["-"] * len(words)) for words in map(str.split, sentences)]
        made.append(Document(f"{('bc', 'nw')[number % 2]}/{seed}/{number}", 0, rows, chains))
    return made


@pytest.fixture
def files(tmp_path) -> list[str]:
    options = []
    for name, seed, size in (("train", 0, 24), ("validation", 1, 4), ("test", 2, 3)):
        write_conll2012(documents(seed, size), tmp_path / f"{name}.conll")
        options += [f"--{name}_file", str(tmp_path / f"{name}.conll")]
    return options


def test_trains_predicts_and_resolves_the_same_with_cached_layers(tmp_path, tiny_elmo, files, finetune):
    text = "Bo met Ann. he laughed and she left."
    row = ["x", text, "she", str(text.index("she")), "Bo", "0", "FALSE", "Ann", str(text.index("Ann")), "TRUE"]
    (tmp_path / "gap.tsv").write_text("\t".join(COLUMNS) + "\n" + "\t".join(row) + "\n")
    options = [*files, "--model_name_or_path", tiny_elmo, "--num_train_epochs", 4, *HEAD, "--genres"]
    options += ["--elmo_learning_rate", 0.003, "--max_training_sentences", 3, "--gap_file", tmp_path / "gap.tsv"]
    options += ["--winobias_files", tmp_path / "test.conll"]
    metrics = finetune("coreference", tmp_path / "plain", *options)
    assert metrics["validation"]["conll_f1"] > 10
    assert set(metrics["gap"]) == {"overall_f1", "masculine_f1", "feminine_f1", "bias"}
    assert 0 <= metrics["winobias_test"]["accuracy"] <= 100
    cached = finetune("coreference", tmp_path / "cached", *options, "--cache_layers", tmp_path / "layers")
    for each in (*metrics.values(), *cached.values()):
        each.pop("loss", None)  # which of equally good spans are candidates is up to rounding
    assert all(cached[split] == pytest.approx(metrics[split]) for split in metrics)

    predicted, gold = list(read_conll2012(tmp_path / "plain" / "predictions_test.conll")), documents(2, 3)
    scorer = CoreferenceScorer()
    for found, wanted in zip(predicted, gold, strict=True):
        assert (found.key, found.words) == (wanted.key, wanted.words)
        scorer.add([chain for chain in wanted.clusters if len(chain) > 1], found.clusters)
    assert scorer.as_dict() == pytest.approx(metrics["test"])
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "ElmoForCoreferenceResolution.from_pretrained" in card and "| conll_f1 |" in card
    state = json.loads((tmp_path / "plain" / "trainer_state.json").read_text())
    assert state["best_metric"] == pytest.approx(metrics["validation"]["conll_f1"])

    model = ElmoForCoreferenceResolution.from_pretrained(tmp_path / "plain")
    assert model.config.coreference_genres == ["bc", "nw"]
    result = resolve_text(model, AutoTokenizer.from_pretrained(tmp_path / "plain"), text, genre="nw")
    assert re.sub(r"\[|\]_\d+", "", result["rendering"]) == text


def test_baseline_learns_with_singletons(tmp_path, files, finetune):
    options = ["--without_elmo", "--num_train_epochs", 5, "--singletons", *HEAD]
    metrics = finetune("coreference", tmp_path / "out", *files, *options)
    predicted = [
        chain for each in read_conll2012(tmp_path / "out" / "predictions_validation.conll") for chain in each.clusters
    ]
    assert any(len(chain) == 1 for chain in predicted)
    assert metrics["validation"]["mentions_f1"] > 80 and metrics["validation"]["conll_f1"] > 80


def test_data_without_chains_are_refused(tmp_path, files, finetune):
    (document,) = documents(0, 1)
    write_conll2012([Document(document.key, 0, document.sentences, [])], tmp_path / "train.conll")
    with pytest.raises(SystemExit, match="error: the training data have no chains"):
        finetune("coreference", tmp_path / "out", *files, "--without_elmo")


@pytest.mark.parametrize("option", ["--gap_file", "--winobias_files"])
def test_files_for_the_end_are_read_before_training(tmp_path, files, finetune, option):
    (tmp_path / "wrong").write_text("a word\n")
    with pytest.raises(SystemExit, match="error: .*wrong:1: "):
        finetune("coreference", tmp_path / "out", *files, "--without_elmo", option, tmp_path / "wrong")
    assert not (tmp_path / "out").exists()
