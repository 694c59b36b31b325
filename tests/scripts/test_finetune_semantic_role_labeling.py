"""The recipe of semantic roles from files to labelled text."""

import random
import re

import pytest
from transformers import AutoTokenizer

from modeling_elmo import ElmoForSemanticRoleLabeling
from modeling_elmo.tasks.conll2012 import Document, Frame, Sentence, read_conll2012, write_conll2012
from modeling_elmo.tasks.semantic_role_labeling import label_roles
from modeling_elmo.tasks.semantic_roles import role_score

HEAD = ("--head_hidden_size", 16, "--head_dropout", 0, "--learning_rate", 0.02, "--per_device_train_batch_size", 10)


def documents(seed: int, size: int) -> list[Document]:
    """Two sentences each: who acts, the predicate, what is acted on, and sometimes the time."""
    draw = random.Random(seed)
    made = []
    for number in range(size):
        sentences = []
        for _ in range(2):
            words = [
                draw.choice(["Ann", "Bo", "Cy"]),
                draw.choice(["sold", "saw"]),
                "the",
                draw.choice(["boat", "dog"]),
            ]
            arguments = [("ARG0", (0, 0)), ("V", (1, 1)), ("ARG1", (2, 3))]
            if draw.random() < 0.5:
                words.append(draw.choice(["yesterday", "today"]))
                arguments.append(("ARGM-TMP", (4, 4)))
            words.append(".")
            frames = [Frame(1, words[1], "01", arguments)] if number else []  # a document without predicates
            sentences.append(Sentence(words, ["X"] * len(words), ["-"] * len(words), frames))
        made.append(Document(f"nw/{seed}/{number}", 0, sentences, []))
    return made


@pytest.fixture
def files(tmp_path) -> list[str]:
    options = []
    for name, seed, size in (("train", 0, 25), ("validation", 1, 6), ("test", 2, 4)):
        write_conll2012(documents(seed, size), tmp_path / f"{name}.conll")
        options += [f"--{name}_file", str(tmp_path / f"{name}.conll")]
    return options


def test_learns_predicts_and_labels_the_same_with_cached_layers(tmp_path, tiny_elmo, files, finetune):
    options = [*files, "--model_name_or_path", tiny_elmo, "--num_train_epochs", 5, *HEAD]
    metrics = finetune("semantic_role_labeling", tmp_path / "plain", *options)
    assert metrics["validation"]["f1"] > 0.9
    cached = finetune("semantic_role_labeling", tmp_path / "cached", *options, "--cache_layers", tmp_path / "layers")
    assert all(cached[split] == pytest.approx(metrics[split]) for split in metrics)

    predicted, gold = list(read_conll2012(tmp_path / "plain" / "predictions_test.conll")), documents(2, 4)
    assert [each.key for each in predicted] == [each.key for each in gold]
    assert [each.words for each in predicted] == [each.words for each in gold]
    arguments = [
        [frame.arguments for each in side for sentence in each.sentences for frame in sentence.frames]
        for side in (gold, predicted)
    ]
    assert metrics["test"] == pytest.approx(role_score(*arguments) | {"loss": metrics["test"]["loss"]})
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "ElmoForSemanticRoleLabeling.from_pretrained" in card and "| validation |" in card

    model = ElmoForSemanticRoleLabeling.from_pretrained(tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    (frame,) = label_roles(model, tokenizer, "Ann sold the boat.", ["sold"])
    assert frame["rendering"] == "[ARG0 Ann] [V sold] [ARG1 the boat]."


def test_baseline_on_a_part_of_the_data(tmp_path, files, finetune):
    options = ["--without_elmo", "--train_fraction", 0.5, "--num_train_epochs", 1, *HEAD]
    metrics = finetune("semantic_role_labeling", tmp_path / "out", *files, *options)
    assert set(metrics) == {"validation", "test"}
    # Half of 50 sentences, of which two have no predicate.
    assert re.search(r"on 2[345] examples of train.conll", (tmp_path / "out" / "README.md").read_text())


def test_data_without_predicates_are_refused(tmp_path, files, finetune):
    write_conll2012(documents(0, 1), tmp_path / "train.conll")
    with pytest.raises(SystemExit, match="error: the train data have no predicates"):
        finetune("semantic_role_labeling", tmp_path / "out", *files, "--without_elmo")
    (tmp_path / "train.conll").write_text("#begin document (a); part 0\na 0 0 word\n")
    with pytest.raises(SystemExit, match=r"train.conll:2: 4 columns; a word has at least 12"):
        finetune("semantic_role_labeling", tmp_path / "out", *files, "--without_elmo")
