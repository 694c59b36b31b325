"""Coreference resolution: span scores against a plain computation, pruning, loss, clusters, and that it learns."""

import itertools
import random

import pytest
import torch
from tiny_heads import make_head

from modeling_elmo import ElmoForCoreferenceResolution, ElmoTokenizer, modeling_elmo_coreference
from modeling_elmo.modeling_elmo_coreference import chains_of, clusters_of
from modeling_elmo.span_ranking import distance_bucket, prune_spans


def make_model(**options) -> ElmoForCoreferenceResolution:
    return make_head(
        ElmoForCoreferenceResolution,
        **{
            "head_hidden_size": 24,
            "max_span_width": 4,
            "max_antecedents": 8,
            "coreference_feature_size": 6,
            **options,
        },
    )


def encode(sentences):
    batch = ElmoTokenizer()(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
    return {key: batch[key] for key in ("character_ids", "attention_mask", "input_ids")}


SENTENCES = [["Ann", "met", "Bo", "in", "York", "."], ["She", "liked", "him", "."], ["They", "left"]]


def test_span_scores_equal_a_plain_computation():
    scorer = make_model().span_scorer
    encoded, words = torch.randn(7, 48), torch.randn(7, 32)
    weights = scorer.word_weights(encoded)
    scores = scorer(encoded, words, weights)
    spans = torch.tensor([(i, i + w) for i in range(7) for w in range(4) if i + w < 7])
    vectors = scorer.represent(encoded, words, weights, spans)
    for (first, last), vector in zip(spans.tolist(), vectors, strict=True):
        shares = torch.softmax(scorer.attention(encoded[first : last + 1])[:, 0], dim=0)
        head = shares @ words[first : last + 1]
        width = scorer.widths.weight[last - first]
        torch.testing.assert_close(vector, torch.cat([encoded[first], encoded[last], head, width]))
        hidden = scorer.from_start(encoded[first]) + scorer.from_end(encoded[last]) + scorer.from_head(head)
        torch.testing.assert_close(
            scores[first, last - first], scorer.head(hidden + scorer.from_width(width)), rtol=1e-4, atol=1e-5
        )


def test_pruning_keeps_the_best_that_do_not_cross():
    generator = random.Random(0)
    for _ in range(50):
        spans = [(i, j) for i in range(9) for j in range(i, min(9, i + 5))]
        scores = torch.tensor([generator.random() for _ in spans])
        expected = []
        for index in scores.argsort(descending=True).tolist():
            a = spans[index]
            if len(expected) < 6 and not any(
                a[0] < b[0] <= a[1] < b[1] or b[0] < a[0] <= b[1] < a[1] for b in expected
            ):
                expected.append(a)
        kept = prune_spans(torch.tensor(spans), scores, 6)
        assert [spans[index] for index in kept.tolist()] == sorted(expected)


def test_distance_buckets():
    distances = torch.tensor([0, 1, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 1000])
    assert distance_bucket(distances).tolist() == [0, 1, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]


def test_loss_is_the_marginal_likelihood_of_right_antecedents():
    model = make_model(coreference_depth=1)
    scores = torch.tensor([[0.0, -torch.inf, -torch.inf], [0.0, 2.0, -torch.inf], [0.0, 1.0, 3.0]])
    antecedents = torch.tensor([[0, 1], [0, 2], [0, 1]])
    loss = model._antecedent_loss(scores, antecedents, torch.tensor([5, -1, 5]))
    by_hand = [0.0, -torch.log_softmax(scores[1], 0)[0], -torch.log_softmax(scores[2], 0)[1]]
    assert loss == pytest.approx(sum(map(float, by_hand)) / 3)


def test_chains_and_clusters():
    gold = torch.tensor([[3, 4, 0], [0, 0, 1], [5, 5, 0]])
    assert chains_of(torch.tensor([[0, 0], [3, 4], [4, 4], [5, 5]]), gold).tolist() == [1, 0, -1, 0]
    assert chains_of(torch.tensor([[0, 0]]), torch.zeros(0, 3, dtype=torch.int64)).tolist() == [-1]
    spans = [[0, 0], [1, 2], [4, 4], [5, 5], [6, 6]]
    assert clusters_of(spans, [-1, -1, 0, 1, 2]) == [[(0, 0), (4, 4), (6, 6)], [(1, 2), (5, 5)]]
    assert clusters_of(spans, [-1, -1, 0, -1, -1], [1, -1, 1, -1, 1]) == [[(0, 0), (4, 4)], [(6, 6)]]


def test_spans_stay_in_their_sentence_and_padding_changes_nothing():
    model = make_model()
    batch = encode(SENTENCES)
    output = model(**batch)
    ends = [6, 10, 12]
    for first, last in output.spans[0].tolist():
        assert next(e for e in ends if first < e) > last and last - first < 4
    wider = encode([*SENTENCES, ["x"] * 15])
    padded = model(**{key: value[:3] for key, value in wider.items()})
    assert torch.equal(output.spans, padded.spans) and torch.equal(output.antecedents, padded.antecedents)
    torch.testing.assert_close(output.mention_scores, padded.mention_scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
def test_reading_by_segments_is_reading_at_once(monkeypatch, depth):
    """In evaluation long documents are read by segments, with gradients in one pass: nothing differs, and mentions
    of different segments find each other."""
    model = make_model(
        coreference_depth=depth, max_antecedents=12, predict_singletons=True, coreference_genres=["bc", "nw"]
    )
    model.pair_scorer.head.score.bias.data += 2.0
    generator = random.Random(0)
    names = ["Ann", "she", "Bo", "he", "met", "left"]
    sentences = [generator.choices(names, k=generator.randint(1, 9)) for _ in range(40)]
    labels = torch.tensor([[[0, 0, 0], [50, 51, 0], [90, 90, 1], [100, 100, 1]]])
    batch = encode(sentences) | {"genre": torch.tensor(1), "speaker_ids": torch.arange(40) % 3, "labels": labels}
    whole = model(**batch)
    for name, size in (("SENTENCES", 3), ("WORDS", 5), ("MENTIONS", 7)):
        monkeypatch.setattr(modeling_elmo_coreference, f"{name}_PER_SEGMENT", size)
    assert torch.equal(model(**batch).spans, whole.spans)  # with gradients still at once
    with torch.no_grad():
        parts = model(**batch)
    assert torch.equal(whole.spans, parts.spans) and torch.equal(whole.antecedents, parts.antecedents)
    torch.testing.assert_close(whole.mention_scores, parts.mention_scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(whole.loss, parts.loss, rtol=1e-4, atol=1e-5)
    places = torch.arange(whole.antecedents.shape[1])
    assert bool((places - whole.antecedents[0] > 7)[whole.antecedents[0] >= 0].any())


def test_memory_does_not_grow_with_the_pairs(monkeypatch):
    """No step of a document of 3,000 words looks at all its mentions' candidates at once."""
    model, seen = make_model(max_antecedents=50), []
    forward = model.pair_scorer.forward
    monkeypatch.setattr(
        model.pair_scorer, "forward", lambda mentions, *rest: seen.append(len(mentions)) or forward(mentions, *rest)
    )
    with torch.no_grad():
        output = model(**encode([["Ann", "met", "him"]] * 1000))
    assert output.spans.shape[1] == 1200 and max(seen) == 256 and sum(seen) == 2 * 1200


def test_precomputed_layers_give_the_same():
    model = make_model(predict_singletons=True)
    batch = encode(SENTENCES)
    hidden_states = model.elmo(**batch, output_hidden_states=True).hidden_states
    labels = torch.tensor([[[0, 0, 0], [6, 6, 0], [-100, -100, -100]]])
    plain = model(**batch, labels=labels)
    character_ids = batch.pop("character_ids")
    assert character_ids.shape[:2] == batch["input_ids"].shape
    cached = model(**batch, layers=torch.stack(hidden_states, dim=2), labels=labels)
    assert torch.equal(plain.spans, cached.spans)
    torch.testing.assert_close(plain.loss, cached.loss)


def test_empty_and_tiny_documents():
    model = make_model()
    assert model.resolve([["Alone"]], ElmoTokenizer()) == []
    output = model(**encode([[]]), labels=torch.full((1, 1, 3), -100))
    assert output.spans.shape == (1, 0, 2) and model.clusters(output) == [] and output.loss == 0


def test_genre_is_asked_for():
    model = make_model(coreference_genres=["bc", "nw", "pt"])
    with pytest.raises(ValueError, match="pass genre"):
        model(**encode(SENTENCES))
    with pytest.raises(ValueError, match="genre is 3, but"):
        model(**encode(SENTENCES), genre=torch.tensor(3))


def test_features_of_a_document_need_not_be_tensors():
    model = make_model(coreference_genres=["bc", "nw", "pt"], noise=0.3)
    features = {"speaker_ids": [1, 2, 1], "genre": 2}
    expected = model(**encode(SENTENCES), **{name: torch.tensor(values) for name, values in features.items()})
    assert model.resolve(SENTENCES, ElmoTokenizer(), **features) == model.clusters(expected)


@pytest.mark.parametrize("speakers", [[1], [1, 2, 1, 2], [[1, 1], [2, 2], [1, 1]]])
def test_each_sentence_needs_a_speaker(speakers):
    with pytest.raises(ValueError, match=r"speaker_ids has shape .*; here it must be \(3,\) \(sentences\) or \(3, "):
        make_model().resolve(SENTENCES, ElmoTokenizer(), speaker_ids=speakers)


def document(generator):
    """Two people of different names; `she` and `he` refer back to the woman and the man."""
    woman, man = generator.choice(["Ann", "Eve", "Mary"]), generator.choice(["Bo", "Tom", "Carl"])
    sentences = [[woman, "met", man, "."]]
    clusters = {0: [(0, 0)], 1: [(2, 2)]}
    for _ in range(2):
        who = generator.randrange(2)
        start = sum(map(len, sentences))
        sentences.append([("she", "he")[who], "left", "."])
        clusters[who].append((start, start))
    return sentences, list(clusters.values())


@pytest.mark.parametrize("depth", [1, 2])
def test_learns_pronouns(depth):
    generator = random.Random(1)
    model = make_model(coreference_depth=depth, predict_singletons=True).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(150):
        sentences, chains = document(generator)
        labels = torch.tensor([[(*span, n) for n, chain in enumerate(chains) for span in chain]])
        loss = model(**encode(sentences), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    right = 0
    for _ in range(20):
        sentences, chains = document(generator)
        right += sorted(model.resolve(sentences, ElmoTokenizer())) == sorted(chains)
    assert right >= 18


def test_every_trainable_parameter_has_a_gradient():
    model = make_model(coreference_genres=["bc", "nw"], predict_singletons=True).train()
    pairs = list(itertools.combinations([(0, 0), (2, 2), (4, 4), (6, 6), (8, 8), (10, 10)], 1))
    labels = torch.tensor([[(*span, n % 2) for n, (span,) in enumerate(pairs)]])
    model(
        **encode(SENTENCES), labels=labels, genre=torch.tensor(1), speaker_ids=torch.tensor([1, 2, 1])
    ).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert not any(parameter.requires_grad for parameter in model.elmo.token_encoder.parameters())
