"""ELMo as a language model: surprisal against a plain computation, totals, substitutes, the commands."""

import copy
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_vocabulary import WORDS

import modeling_elmo
from modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoTokenizer, cli, scoring
from modeling_elmo.embedding import batches

ADAPTIVE = {"adaptive_softmax_cutoffs": [5, 12], "projection_size": 16, "cell_size": 20}
SENTENCES = [
    ["The", "old", "bank", "by", "the", "river", "was", "closed", "."],
    ["the", "unheard-of", "bank", "naïveté"],
    ["it"],
    [],
    ["said", "the", "bank", "of", "the", "river"],
]


@torch.no_grad()
def plain_states(model, tokenizer, words: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward and backward top-layer outputs (n + 2, P) of `<S> words </S>`, one sentence alone."""
    rows = torch.tensor(tokenizer.encode_words(["<S>", *words, "</S>"]).astype(np.int64))
    return model.elmo(rows[None], output_hidden_states=True).hidden_states[-1][0].chunk(2, dim=-1)


@torch.no_grad()
def plain_log_probabilities(model, state: torch.Tensor) -> torch.Tensor:
    return (model.softmax.weight @ state + model.softmax.bias).log_softmax(-1)


def test_surprisal_equals_a_plain_computation(language_model, tokenizer):
    for words, found in zip(SENTENCES, modeling_elmo.score(language_model, SENTENCES, tokenizer), strict=True):
        forward, backward = plain_states(language_model, tokenizer, words)
        vocabulary = ["<S>", "</S>", "<UNK>", *WORDS]
        ids = [vocabulary.index(word) if word in vocabulary else 2 for word in ["<S>", *words, "</S>"]]
        assert found.words == words
        assert found.known.tolist() == [word in WORDS for word in words]
        assert np.isnan(found.forward[0]) and np.isnan(found.backward[-1])
        for position in range(1, len(ids)):
            expected = -plain_log_probabilities(language_model, forward[position - 1])[ids[position]]
            assert found.forward[position] == pytest.approx(float(expected), abs=1e-5)
            expected = -plain_log_probabilities(language_model, backward[position])[ids[position - 1]]
            assert found.backward[position - 1] == pytest.approx(float(expected), abs=1e-5)


def test_models_in_double_precision(make_model, tokenizer):
    model = make_model(ElmoForPreTraining)
    expected, found = (
        list(modeling_elmo.score(each, SENTENCES, tokenizer)) for each in (model, copy.deepcopy(model).double())
    )
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.forward, other.forward, rtol=1e-5)


def test_words_added_to_the_tokenizer_are_scored_as_unknown(language_model):
    plain, extended = ElmoTokenizer(vocab=WORDS), ElmoTokenizer(vocab=WORDS)
    extended.add_tokens(["naïveté"])
    expected, found = (
        list(modeling_elmo.score(language_model, SENTENCES, tokenizer)) for tokenizer in (plain, extended)
    )
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.known, other.known)
        np.testing.assert_array_equal(one.forward, other.forward)
        np.testing.assert_array_equal(one.backward, other.backward)


@pytest.mark.parametrize("options", [{}, ADAPTIVE])
def test_surprisal_equals_the_model_s_own(make_model, tokenizer, options):
    model = make_model(ElmoForPreTraining, **options)
    framed = [["<S>", *words, "</S>"] for words in SENTENCES]
    inputs = tokenizer(framed, is_split_into_words=True, add_special_tokens=False, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs)
    for row, found in enumerate(modeling_elmo.score(model, SENTENCES, tokenizer)):
        end = len(found.words) + 2
        for name in ("forward", "backward"):
            theirs = getattr(expected, f"{name}_surprisal")[row, :end].numpy()
            np.testing.assert_allclose(np.nan_to_num(getattr(found, name)), theirs, atol=1e-5)


def test_nothing_is_predicted_across_a_boundary_among_the_words(language_model, tokenizer):
    (joined,) = modeling_elmo.score(language_model, [["the", "bank", "</S>", "<S>", "it", "closed"]], tokenizer)
    assert np.isnan(joined.forward[[0, 4]]).all() and not np.isnan(joined.forward[[1, 2, 3, 5, 6, 7]]).any()
    assert np.isnan(joined.backward[[3, 7]]).all() and not np.isnan(joined.backward[[0, 1, 2, 4, 5, 6]]).any()


def test_scores_do_not_depend_on_batches(language_model, tokenizer, monkeypatch):
    sentences = SENTENCES * 5
    together = list(modeling_elmo.score(language_model, sentences, tokenizer))
    monkeypatch.setattr(batches, "BATCH_TOKENS", 1)
    monkeypatch.setattr(batches, "WINDOW_TOKENS", 20)
    alone = list(modeling_elmo.score(language_model, sentences, tokenizer))
    for one, other in zip(together, alone, strict=True):
        assert one.words == other.words
        np.testing.assert_allclose(one.forward, other.forward, atol=1e-5)
        np.testing.assert_allclose(one.backward, other.backward, atol=1e-5)


def test_one_direction(make_model, tokenizer):
    model = make_model(ElmoForPreTraining, bidirectional=False)
    (found,) = modeling_elmo.score(model, ["the old bank"], tokenizer)
    assert found.backward is None and found.forward.shape == (5,)
    total = scoring.TextScore()
    total.add(found)
    assert total.backward.tokens == 0 and math.isnan(total.backward.perplexity)
    best = modeling_elmo.substitutes(model, "the old bank", 2, top_k=3, tokenizer=tokenizer)
    assert [item.backward for item in best] == [None] * 3
    assert [item.forward for item in best] == sorted((item.forward for item in best), reverse=True)


def test_totals(language_model, tokenizer):
    total = scoring.TextScore()
    scores = list(modeling_elmo.score(language_model, SENTENCES, tokenizer))
    for found in scores:
        total.add(found)
    assert (total.sentences, total.words, total.unknown_words) == (5, 20, 2)
    assert total.forward.tokens == total.backward.tokens == 20 + 5
    mean = np.nansum([np.nansum(found.backward) for found in scores]) / 25
    assert total.backward.perplexity == pytest.approx(math.exp(mean), rel=1e-5)
    total.forward.add(np.array([1e6]))
    assert total.forward.perplexity == math.inf


def test_a_model_of_damaged_weights_is_refused(make_model, tokenizer):
    model = make_model(ElmoForPreTraining)
    model.elmo.token_encoder.projection.weight.data[0] = math.nan
    with pytest.raises(ValueError, match="nan"):
        list(modeling_elmo.score(model, SENTENCES, tokenizer))


# Substitutes


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
def test_substitutes_combine_both_directions(language_model, tokenizer, position, weight):
    words = ["the", "old", "bank"]
    forward, backward = plain_states(language_model, tokenizer, words)
    given = (
        plain_log_probabilities(language_model, forward[position - 1]),
        plain_log_probabilities(language_model, backward[position + 1]),
    )
    frequency = torch.tensor([math.log((rank + 2) / (rank + 1)) / math.log(21) for rank in range(20)])
    expected = (given[0] + given[1] - weight * frequency.log())[3:].log_softmax(-1)
    found = modeling_elmo.substitutes(language_model, words, position, 100, weight, tokenizer)
    assert sorted(item.word for item in found) == sorted(WORDS)
    assert sum(math.exp(item.log_probability) for item in found) == pytest.approx(1, abs=1e-5)
    assert [item.log_probability for item in found] == sorted((item.log_probability for item in found), reverse=True)
    for item in found:
        row = WORDS.index(item.word)
        assert item.log_probability == pytest.approx(float(expected[row]), abs=1e-5)
        assert item.forward == pytest.approx(float(given[0][row + 3]), abs=1e-5)
        assert item.backward == pytest.approx(float(given[1][row + 3]), abs=1e-5)


@pytest.mark.parametrize("position", [1, 2, 3])
def test_the_replaced_word_is_not_seen(language_model, tokenizer, position):
    """Not even at the ends of a sentence, where one side is the boundary alone."""
    sentences = [["the", "old", "bank"], ["the", "old", "bank"]]
    sentences[1][position - 1] = "unheard-of"
    one, other = (
        modeling_elmo.substitutes(language_model, words, position, tokenizer=tokenizer) for words in sentences
    )
    assert [item.word for item in one] == [item.word for item in other]
    assert one[0].log_probability == pytest.approx(other[0].log_probability, abs=1e-5)


def test_substitutes_with_an_adaptive_softmax(make_model, tokenizer):
    model = make_model(ElmoForPreTraining, **ADAPTIVE)
    found = modeling_elmo.substitutes(model, "the old bank", 2, 5, tokenizer=tokenizer)
    assert len(found) == 5 and len({item.word for item in found} & set(WORDS)) == 5


@pytest.mark.parametrize("position", [0, 4, -1])
def test_a_missing_position_is_refused_with_what_there_is(language_model, tokenizer, position):
    with pytest.raises(ValueError, match=rf"no position {position} .* 1:the 2:old 3:bank"):
        modeling_elmo.substitutes(language_model, "the old bank", position, tokenizer=tokenizer)


# Loading


def test_a_checkpoint_without_softmax_is_refused(make_model, tokenizer, tmp_path):
    make_model(ElmoModel).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no softmax"):
        modeling_elmo.score(str(tmp_path), SENTENCES)


def test_a_tokenizer_of_another_vocabulary_is_refused(language_model):
    with pytest.raises(ValueError, match="knows 4 words, but the softmax has 20 rows"):
        modeling_elmo.score(language_model, SENTENCES, ElmoTokenizer(vocab=["one"]))


def test_wrong_arguments_are_refused(language_model, tokenizer, make_model):
    with pytest.raises(ValueError, match="not one string"):
        modeling_elmo.score(language_model, "the bank", tokenizer)
    with pytest.raises(ValueError, match="pass its tokenizer"):
        modeling_elmo.score(language_model, ["the bank"])
    with pytest.raises(ValueError, match="no language model's softmax"):
        modeling_elmo.score(make_model(ElmoModel), ["the bank"], tokenizer)
    with pytest.raises(ValueError, match="top_k is 0"):
        modeling_elmo.substitutes(language_model, "the bank", 1, 0, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="frequency_weight is nan"):
        modeling_elmo.substitutes(language_model, ["the"], 1, frequency_weight=math.nan, tokenizer=tokenizer)


# The commands


def test_score_command_writes_every_word(checkpoint, language_model, tokenizer, tmp_path, capsys):
    source = tmp_path / "text.txt"
    source.write_text("".join(" ".join(words) + "\n" for words in SENTENCES), encoding="utf-8")
    scores = dict(enumerate(modeling_elmo.score(language_model, SENTENCES, tokenizer)))
    del scores[3]  # an empty line is no sentence

    assert cli.main(["score", str(checkpoint), str(source), "--tokenized", "--device", "cpu"]) == 0
    report = capsys.readouterr().out
    total = scoring.TextScore()
    for found in scores.values():
        total.add(found)
    assert "4 sentences, 20 words; 2 unknown (10.00 %)" in report
    for name in ("forward", "backward"):
        printed = re.search(rf"^{name}: perplexity ([\d.]+),", report, re.MULTILINE)
        assert float(printed[1]) == pytest.approx(getattr(total, name).perplexity, rel=1e-4)

    output = tmp_path / "words.tsv"
    assert cli.main(["score", str(checkpoint), str(source), "--tokenized", "--output", str(output)]) == 0
    rows = [line.split("\t") for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
    assert rows.pop(0) == ["sentence", "position", "word", "known", "forward", "backward"]
    for number, found in scores.items():
        words = ["<S>", *found.words, "</S>"]
        for position, word in enumerate(words):
            row = rows.pop(0)
            is_known = position in (0, len(words) - 1) or found.known[position - 1]
            assert row[:4] == [str(number), str(position), word, str(int(is_known))]
            for text, part in zip(row[4:], (found.forward, found.backward), strict=True):
                assert float(text or "nan") == pytest.approx(part[position], abs=1e-4, nan_ok=True)
    assert not rows

    output = tmp_path / "words.jsonl"
    assert cli.main(["score", str(checkpoint), str(source), "--tokenized", "--output", str(output)]) == 0
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [record["sentence"] for record in records] == list(scores)
    for record, found in zip(records, scores.values(), strict=True):
        assert record["words"] == found.words and record["known"] == found.known.tolist()
        assert record["forward"][0] is None and record["backward"][-1] is None
        np.testing.assert_allclose(record["forward"][1:], found.forward[1:], atol=1e-5)


def test_score_command_refuses_unknown_files(checkpoint, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("the bank\n")
    assert cli.main(["score", str(checkpoint), str(tmp_path / "text.txt"), "--output", "words.csv"]) == 2
    assert "words.csv: unknown kind of file" in capsys.readouterr().err
    (tmp_path / "words.tsv").mkdir()
    folder = str(tmp_path / "words.tsv")
    assert cli.main(["score", str(checkpoint), str(tmp_path / "text.txt"), "--output", folder]) == 2
    assert "words.tsv is a folder" in capsys.readouterr().err


def test_score_command_leaves_no_half_file(checkpoint, tmp_path, capsys):
    source, output = tmp_path / "text.txt", tmp_path / "words.tsv"
    source.write_bytes(b"the bank\n" * 10_000 + b"\xff\n")
    output.write_text("of another text\n")
    command = ["score", str(checkpoint), str(source), "--tokenized", "--output", str(output), "--device", "cpu"]
    assert cli.main(command) == 2
    assert "words.tsv exists already; pass --overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 2
    assert "text.txt:10001: not UTF-8" in capsys.readouterr().err
    assert output.read_text() == "of another text\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt", "words.tsv"]
    source.write_text("the bank\n")
    assert cli.main([*command, "--overwrite"]) == 0
    assert "\tbank\t" in output.read_text()


def test_substitutes_command(checkpoint, language_model, tokenizer, capsys):
    assert cli.main(["substitutes", str(checkpoint), "The old bank.", "--position", "3", "--top", "4"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split("\t") == ["word", "log_probability", "forward", "backward"]
    expected = modeling_elmo.substitutes(language_model, "The old bank.", 3, 4, tokenizer=tokenizer)
    assert [line.split("\t")[0] for line in lines] == [item.word for item in expected]


@pytest.mark.slow
def test_commands_run_as_processes(checkpoint):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "modeling_elmo.cli"]
    done = subprocess.run(
        [*command, "score", checkpoint, "-", "--output", "-"],
        input="The old bank.\n",
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[2] for line in done.stdout.splitlines()] == [
        *("word", "<S>", "The", "old", "bank", ".", "</S>")
    ]
    assert "forward: perplexity" in done.stderr
    done = subprocess.run(
        [*command, "substitutes", checkpoint, "The bank", "--position", "3"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 2 and "1:The 2:bank" in done.stderr
