"""The CRF against brute force over all label sequences."""

import itertools

import pytest
import torch

from modeling_elmo.crf import (
    FORBIDDEN,
    ElmoCRF,
    detect_label_scheme,
    label_constraints,
    log_partition,
    max_marginals,
    viterbi,
)

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def make_crf(labels, scheme, seed=0):
    generator = torch.Generator().manual_seed(seed)
    crf = ElmoCRF(labels, scheme)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for buffer, value in zip(crf.buffers(), label_constraints(labels, scheme), strict=True):
            buffer.copy_(value)
    return crf


def path_score(path, emissions, transitions, start, end):
    score = start[path[0]] + end[path[-1]] + sum(emissions[i, label] for i, label in enumerate(path))
    return score + sum(transitions[a, b] for a, b in itertools.pairwise(path))


def all_paths(emissions, scores):
    """Every label sequence over (words, labels) emissions, with its score."""
    length, count = emissions.shape
    return {path: path_score(path, emissions, *scores) for path in itertools.product(range(count), repeat=length)}


@pytest.fixture(params=["BIO", "none"])
def problem(request):
    """Rows of 4, 2 (words at the right), 0 and 3 words (a gap in the middle)."""
    crf = make_crf(BIO, request.param)
    emissions = torch.randn(4, 4, len(BIO), generator=torch.Generator().manual_seed(1)) * 2
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 1]]).bool()
    return crf, emissions, mask


def rows(emissions, mask, crf):
    for row in range(len(mask)):
        if mask[row].any():
            yield row, all_paths(emissions[row][mask[row]], crf())


def test_partition_is_the_sum_over_all_sequences(problem):
    crf, emissions, mask = problem
    total = log_partition(emissions, mask, *crf())
    for row, paths in rows(emissions, mask, crf):
        torch.testing.assert_close(total[row], torch.stack(list(paths.values())).logsumexp(0))
    assert total[2] == 0


def test_viterbi_finds_the_best_sequence(problem):
    crf, emissions, mask = problem
    decoded = crf.decode(emissions, mask)
    assert (decoded[~mask] == -100).all()
    for row, paths in rows(emissions, mask, crf):
        assert tuple(decoded[row][mask[row]].tolist()) == max(paths, key=paths.get)


def test_max_marginals_are_the_best_sequences_through_a_label(problem):
    crf, emissions, mask = problem
    scores = max_marginals(emissions, mask, *crf())
    for row, paths in rows(emissions, mask, crf):
        for place, values in enumerate(scores[row][mask[row]]):
            for label, value in enumerate(values):
                best = max(score for path, score in paths.items() if path[place] == label)
                torch.testing.assert_close(value, best)


def test_loss_is_the_negative_log_likelihood(problem):
    crf, emissions, mask = problem
    labels = torch.tensor([[1, 2, 0, 3], [-100, -100, 3, 4], [-100] * 4, [0, -100, 1, 2]])
    loss = crf.loss(emissions, labels, mask)
    for row, paths in rows(emissions, mask, crf):
        total = torch.stack(list(paths.values())).logsumexp(0)
        gold = tuple(labels[row][mask[row]].tolist())
        torch.testing.assert_close(loss[row], total - paths[gold], atol=1e-4, rtol=1e-5)
    assert loss[2] == 0
    loss.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in crf.parameters())


def test_unlabelled_words_are_summed_over(problem):
    crf, emissions, mask = problem
    labels = torch.tensor([[0, -100, 2, 0]]).repeat(4, 1)
    loss = crf.loss(emissions[:1], labels[:1], mask[:1])
    paths = all_paths(emissions[0], crf())
    total = torch.stack(list(paths.values())).logsumexp(0)
    matching = [score for path, score in paths.items() if (path[0], path[2], path[3]) == (0, 2, 0)]
    torch.testing.assert_close(loss[0], total - torch.stack(matching).logsumexp(0), atol=1e-4, rtol=1e-5)


def test_best_scores_agree_with_viterbi_and_mask():
    crf = make_crf(BIO, "BIO", seed=3)
    emissions = torch.randn(50, 12, len(BIO), generator=torch.Generator().manual_seed(4))
    mask = torch.arange(12) < torch.arange(50)[:, None] % 12 + 1
    scores, decoded = crf.best_scores(emissions, mask), crf.decode(emissions, mask)
    assert torch.equal(scores.argmax(-1)[mask], decoded[mask])
    assert (scores[~mask] == 0).all()
    assert torch.allclose(scores.amax(-1), torch.zeros(()))


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_decoded_sequences_are_valid(scheme):
    labels = BIO if scheme == "BIO" else ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC") for prefix in "BIES")]
    crf = make_crf(labels, scheme)
    emissions = torch.randn(200, 9, len(labels), generator=torch.Generator().manual_seed(5)) * 3
    mask = torch.ones(200, 9, dtype=torch.bool)
    for path in crf.decode(emissions, mask).tolist():
        names = ["O", *(labels[label] for label in path), "O"]
        for before, after in itertools.pairwise(names):
            if after[0] in "IE":
                assert before[0] in "BI" and before[2:] == after[2:]
            elif scheme == "BIOES":
                assert before[0] in "OES"


def test_bioes_constraints():
    labels = ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"]
    transitions, start, end = label_constraints(labels, "BIOES")

    def followers(label):
        return {labels[i] for i in transitions[labels.index(label)].nonzero()[:, 0].tolist()}

    assert followers("B-X") == followers("I-X") == {"I-X", "E-X"}
    assert followers("O") == followers("E-X") == followers("S-Y") == {"O", "B-X", "S-X", "B-Y", "S-Y"}
    assert {labels[i] for i in start.nonzero()[:, 0].tolist()} == {"O", "B-X", "S-X", "B-Y", "S-Y"}
    assert {labels[i] for i in end.nonzero()[:, 0].tolist()} == {"O", "E-X", "S-X", "E-Y", "S-Y"}


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (BIO, "BIO"),
        (["O", "B-X", "E-X", "I-X", "S-X"], "BIOES"),
        (["O", "I-X"], "none"),
        (["NOUN", "VERB"], "none"),
        (["LABEL_0", "LABEL_1"], "none"),
        (["B-X", "I-X", "X"], "none"),
    ],
)
def test_schemes_are_detected(labels, scheme):
    assert detect_label_scheme(labels) == scheme


def test_labels_that_break_the_scheme_are_named():
    crf = make_crf(BIO, "BIO")
    emissions, mask = torch.zeros(2, 3, 5), torch.ones(2, 3, dtype=torch.bool)
    fine = [1, 2, 0]
    with pytest.raises(ValueError, match=r"'I-LOC' stands after 'O' in row 1 .* BIO"):
        crf.loss(emissions, torch.tensor([fine, [0, 4, 0]]), mask)
    with pytest.raises(ValueError, match=r"row 1 of the batch begins with the label 'I-PER'.* label its words -100"):
        crf.loss(emissions, torch.tensor([fine, [2, 0, 0]]), mask)
    with pytest.raises(ValueError, match="the model has 5 labels"):
        crf.loss(emissions, torch.tensor([fine, [0, 0, 5]]), mask)
    with pytest.raises(ValueError, match="NOUN"):
        label_constraints(["O", "NOUN"], "BIO")
    # Next to a word without a label anything may stand.
    crf.loss(emissions, torch.tensor([fine, [-100, 2, 0]]), mask)


def test_forbidden_transitions_never_win():
    transitions = torch.tensor([[0.0, FORBIDDEN], [FORBIDDEN, 0.0]])
    emissions = torch.tensor([[[5.0, 0.0], [0.0, 6.0], [5.0, 0.0]]])
    zeros = torch.zeros(2)
    assert viterbi(emissions, torch.ones(1, 3, dtype=torch.bool), transitions, zeros, zeros).tolist() == [[0, 0, 0]]


def test_the_highest_scores_are_one_sequence_where_several_are_the_best():
    crf = make_crf(["O", "B-A", "I-A", "B-B", "I-B"], "BIO")
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.zero_()
    # B-A I-A scores what O B-B does; the first label of each at its word makes O I-A, which is forbidden.
    emissions = torch.tensor([[[1.0, 1, 0, 0, 0], [0, 0, 1, 1, 0]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    best = crf.best_scores(emissions, mask).argmax(-1)
    assert torch.equal(best, crf.decode(emissions, mask))
    assert bool(crf.may_follow[best[0, 0], best[0, 1]])


def test_rows_of_length_zero():
    crf = make_crf(BIO, "BIO")
    emissions, mask = torch.zeros(2, 0, len(BIO), requires_grad=True), torch.zeros(2, 0, dtype=torch.bool)
    loss = crf.loss(emissions, torch.zeros(2, 0, dtype=torch.long), mask)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert crf.decode(emissions, mask).shape == (2, 0)
    assert crf.best_scores(emissions, mask).shape == (2, 0, len(BIO))
