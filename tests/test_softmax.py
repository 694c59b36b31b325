"""The softmax: sampled against a plain float64 reference, exact in chunks, adaptive; sparse gradients."""

import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modeling_elmo import ElmoConfig
from modeling_elmo import softmax as softmax_module
from modeling_elmo.softmax import ElmoAdaptiveSoftmax, ElmoSoftmax, NegativeSamples, sample_log_uniform

VOCAB, WIDTH = 50, 6


def make_softmax(seed: int = 0) -> ElmoSoftmax:
    torch.manual_seed(seed)
    softmax = ElmoSoftmax(ElmoConfig(vocab_size=VOCAB, projection_size=WIDTH))
    torch.nn.init.normal_(softmax.weight)
    torch.nn.init.normal_(softmax.bias)
    return softmax


@pytest.fixture
def rows():
    torch.manual_seed(1)
    return torch.randn(23, WIDTH), torch.randint(VOCAB, (23,))


def reference_sampled_loss(softmax, hidden, targets, samples) -> torch.Tensor:
    """Word by word, in float64, from the definition."""
    weight, bias = softmax.weight.double(), softmax.bias.double()

    def corrected(word: int, vector: torch.Tensor) -> torch.Tensor:
        probability = math.log((word + 2) / (word + 1)) / math.log(VOCAB + 1)
        expected = 1 - (1 - probability) ** samples.num_draws
        return vector @ weight[word] + bias[word] - math.log(expected)

    losses = []
    for vector, target in zip(hidden.double(), targets.tolist(), strict=True):
        scores = [corrected(target, vector)]
        scores += [corrected(word, vector) for word in samples.ids.tolist() if word != target]
        losses.append(torch.logsumexp(torch.stack(scores), 0) - scores[0])
    return torch.stack(losses)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_sampled_loss_and_gradients_equal_the_reference(rows, sparse, chunked, monkeypatch):
    if chunked:
        monkeypatch.setattr(softmax_module, "LOGITS_KEPT", 0)
        monkeypatch.setattr(softmax_module, "LOGITS_PER_CHUNK", 60)
    hidden, targets = rows
    samples = sample_log_uniform(VOCAB, 12, torch.Generator().manual_seed(3))
    assert torch.isin(targets, samples.ids).any() and not torch.isin(targets, samples.ids).all()
    softmax = make_softmax()
    softmax.sparse = sparse
    hidden.requires_grad_()
    losses = softmax.sampled_loss(hidden, targets, samples)
    expected = reference_sampled_loss(softmax, hidden, targets, samples)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-5, atol=1e-5)

    inputs = (hidden, softmax.weight, softmax.bias)
    coefficients = torch.rand(23)
    ours = torch.autograd.grad((losses * coefficients).sum(), inputs)
    theirs = torch.autograd.grad((expected * coefficients).sum(), inputs)
    assert [gradient.is_sparse for gradient in ours] == [False, sparse, sparse]
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.to_dense(), reference.float(), rtol=1e-4, atol=1e-5)


def test_sparse_gradients_hold_only_the_rows_in_question(rows):
    hidden, targets = rows
    softmax = make_softmax()
    softmax.sparse = True
    samples = NegativeSamples(torch.tensor([0, 4, 9]), 5)
    softmax.sampled_loss(hidden, targets, samples).sum().backward()
    expected = sorted({0, 4, 9, *targets.tolist()})
    for gradient in (softmax.weight.grad, softmax.bias.grad):
        assert gradient._nnz() == len(expected) and gradient.coalesce().indices()[0].tolist() == expected


def test_sampled_loss_approaches_the_exact_one(rows):
    """With all words but one drawn, the rest is the correction by expected counts, and that goes to nothing."""
    hidden, targets = rows
    softmax = make_softmax()
    ids = torch.arange(VOCAB)
    sampled = softmax.sampled_loss(hidden, targets, NegativeSamples(ids, 100_000))
    torch.testing.assert_close(sampled, softmax.exact_loss(hidden, targets), rtol=1e-4, atol=1e-4)


def test_sampler_is_log_uniform_without_repetition():
    generator = torch.Generator().manual_seed(0)
    counts, runs = torch.zeros(VOCAB), 3000
    for _ in range(runs):
        samples = sample_log_uniform(VOCAB, 8, generator)
        assert samples.ids.shape == (8,) and samples.num_draws >= 8
        assert torch.equal(samples.ids, samples.ids.unique())
        counts[samples.ids] += 1
    share = counts / runs
    assert share[0] > share[3] > share[10] > share[40] > 0
    # Of two rare words, which never crowd each other out, the counts stand as the probabilities do.
    probability = [math.log((word + 2) / (word + 1)) for word in (10, 30)]
    assert float(share[10] / share[30]) == pytest.approx(probability[0] / probability[1], rel=0.15)
    again = [sample_log_uniform(VOCAB, 8, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(again[0].ids, again[1].ids) and again[0].num_draws == again[1].num_draws


@pytest.mark.parametrize("number", [0, VOCAB, VOCAB + 1])
def test_impossible_numbers_of_samples_are_refused(number):
    with pytest.raises(ValueError, match=f"cannot draw {number} distinct words"):
        sample_log_uniform(VOCAB, number)


@pytest.mark.parametrize("training", [False, True])
def test_exact_loss_in_chunks(rows, training, monkeypatch):
    hidden, targets = rows
    softmax = make_softmax()
    hidden.requires_grad_()
    whole = softmax.exact_loss(hidden, targets)
    whole_gradients = torch.autograd.grad(whole.sum(), (hidden, softmax.weight, softmax.bias))
    monkeypatch.setattr(softmax_module, "LOGITS_PER_CHUNK", 5 * VOCAB)
    monkeypatch.setattr(softmax_module, "LOGITS_KEPT", 5 * VOCAB)
    with torch.set_grad_enabled(training):
        chunked = softmax.exact_loss(hidden, targets)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(whole, -softmax(hidden).log_softmax(-1)[torch.arange(23), targets])
    if training:
        gradients = torch.autograd.grad(chunked.sum(), (hidden, softmax.weight, softmax.bias))
        for mine, reference in zip(gradients, whole_gradients, strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)


def test_the_largest_table_of_logits_is_a_chunk(rows, monkeypatch):
    """Memory is bounded: no product has more elements than a chunk, in the forward and in the backward pass."""
    hidden, targets = rows
    softmax = make_softmax()
    monkeypatch.setattr(softmax_module, "LOGITS_PER_CHUNK", 5 * VOCAB)
    monkeypatch.setattr(softmax_module, "LOGITS_KEPT", 5 * VOCAB)
    with LargestTensor() as largest:
        softmax.exact_loss(hidden, targets).sum().backward()
    assert largest.size == 5 * VOCAB < hidden.shape[0] * VOCAB


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest matrix that any operation gives, but for the softmax's own size."""

    size = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and set(tensor.shape) != {VOCAB, WIDTH}:
                self.size = max(self.size, tensor.numel())
        return result


@pytest.mark.parametrize("kind", ["exact", "sampled", "adaptive"])
def test_nothing_to_score(kind):
    hidden, targets = torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.int64)
    if kind == "adaptive":
        softmax = ElmoAdaptiveSoftmax(
            ElmoConfig(vocab_size=VOCAB, projection_size=WIDTH, adaptive_softmax_cutoffs=[10])
        )
        assert softmax.exact_loss(hidden, targets).shape == (0,)
    elif kind == "exact":
        assert make_softmax().exact_loss(hidden, targets).shape == (0,)
    else:
        samples = sample_log_uniform(VOCAB, 5)
        assert make_softmax().sampled_loss(hidden, targets, samples).shape == (0,)


def test_adaptive_softmax_is_a_distribution(rows, monkeypatch):
    hidden, targets = rows
    config = ElmoConfig(vocab_size=VOCAB, projection_size=WIDTH, adaptive_softmax_cutoffs=[20])
    softmax = ElmoAdaptiveSoftmax(config)
    logits = softmax(hidden[None])
    assert logits.shape == (1, 23, VOCAB)
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(1, 23))
    monkeypatch.setattr(softmax_module, "ADAPTIVE_CHUNK", 4)
    losses = softmax.exact_loss(hidden, targets)
    torch.testing.assert_close(losses, -logits[0, torch.arange(23), targets])


@pytest.mark.parametrize("cutoffs", [[], [30, 20], [0, 10], [VOCAB]])
def test_wrong_cutoffs_are_refused(cutoffs):
    with pytest.raises(StrictDataclassClassValidationError, match="adaptive_softmax_cutoffs"):
        ElmoConfig(vocab_size=VOCAB, adaptive_softmax_cutoffs=cutoffs)
