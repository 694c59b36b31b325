"""Documents as examples and batches, segments, chains and their rendering."""

import logging

import numpy as np
import pytest
import torch

from modeling_elmo import ElmoForCoreferenceResolution, ElmoTokenizer
from modeling_elmo.tasks import coreference
from modeling_elmo.tasks.conll2012 import Document, Sentence, write_conll2012
from modeling_elmo.tasks.coreference import (
    CoreferenceArguments,
    CoreferenceTraining,
    genre_number,
    link_accuracy,
    predicted_chains,
    read_winobias,
    render,
    resolve_document,
    resolve_text,
)
from modeling_elmo.tasks.coreference_documents import DocumentCollator, cut_document, document_example, gold_chains

SPOKEN = [
    ("ann", "Ann met Bo in York ."),
    ("bo", "She liked him ."),
    ("ann", "They left"),
    ("-", "Ann said so to him ."),
]
CHAINS = [[(0, 0), (6, 6), (12, 12)], [(2, 2), (8, 8), (16, 16)], [(4, 4)]]


def document(spoken=SPOKEN, chains=CHAINS) -> Document:
    sentences = [(speaker, text.split()) for speaker, text in spoken]
    rows = [Sentence(words, ["-"] * len(words), [speaker] * len(words)) for speaker, words in sentences]
    return Document("nw/x", 0, rows, chains)


@pytest.fixture(scope="module")
def model(make_model) -> ElmoForCoreferenceResolution:
    options = {"max_span_width": 3, "head_hidden_size": 8, "coreference_feature_size": 4}
    return make_model(ElmoForCoreferenceResolution, **options)


def test_gold_chains_with_and_without_singletons(caplog):
    assert gold_chains(document(), singletons=True) == CHAINS
    assert gold_chains(document(), singletons=False) == CHAINS[:2]
    twice = document(chains=[[(0, 0), (6, 6)], [(2, 2), (6, 6), (8, 8)]])
    with caplog.at_level(logging.WARNING):
        assert gold_chains(twice, singletons=True) == [[(0, 0), (6, 6)], [(2, 2), (8, 8)]]
    assert "nw/x: some mentions stand in two chains" in caplog.text


def test_batch_of_a_document_is_what_the_tokenizer_gives(model):
    tokenizer = ElmoTokenizer()
    example = document_example(tokenizer, document(), CHAINS, genre=2)
    assert example["token_type_ids"].tolist() == [0] * 8 + [1] * 6 + [2] * 4 + [3] * 8
    batch = DocumentCollator(tokenizer)([example])
    words = [sentence.words for sentence in document().sentences]
    expected = tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt")
    for name in ("character_ids", "input_ids", "attention_mask"):
        assert torch.equal(batch[name], expected[name].to(batch[name].dtype)), name
    assert batch["speaker_ids"].tolist() == [[0, *[number] * size, *[0] * (7 - size)] for number, size in
                                             ((1, 6), (2, 4), (1, 2), (0, 6))]  # fmt: skip
    assert batch["labels"].shape == (1, 7, 3) and batch["genre"].shape == ()
    resolved = model.resolve(words, tokenizer, speaker_ids=batch["speaker_ids"])
    assert resolve_document(model, tokenizer, document()) == sorted(resolved)
    assert resolve_document(model, tokenizer, document([], [])) == []
    with pytest.raises(ValueError, match="a batch is one document, not 2"):
        DocumentCollator(tokenizer)([example, example])


def test_cut_documents_keep_their_mentions():
    tokenizer = ElmoTokenizer()
    whole, generator = document_example(tokenizer, document(), CHAINS), np.random.default_rng(0)
    assert cut_document(whole, generator, 4) is whole
    rows = DocumentCollator(tokenizer)([whole])["input_ids"].shape[0]
    beginnings = set()
    for _ in range(30):
        part = cut_document(whole, generator, 2)
        first = int(part["token_type_ids"][0])
        beginnings.add(first)
        expected = document(SPOKEN[first : first + 2], [])
        start = sum(len(sentence.words) for sentence in document().sentences[:first])
        spans = [
            [(b - start, e - start) for b, e in chain if start <= b and e < start + len(expected.words)]
            for chain in CHAINS
        ]
        same = document_example(tokenizer, expected, spans)
        assert np.array_equal(part["character_ids"], same["character_ids"])
        assert part["labels"].tolist() == same["labels"].tolist()
        assert DocumentCollator(tokenizer)([part])["input_ids"].shape[0] == 2
    assert rows == 4 and beginnings == {0, 1, 2}


def test_one_sentence_is_a_document(model):
    tokenizer = ElmoTokenizer()
    one = document(SPOKEN[:1], [])
    part = cut_document(document_example(tokenizer, document(), CHAINS), np.random.default_rng(0), 1)
    batch = DocumentCollator(tokenizer)([part])
    assert batch["input_ids"].shape[0] == 1
    assert model(**batch).loss.isfinite()
    assert DocumentCollator(tokenizer)([document_example(tokenizer, one, [])])["labels"].shape == (1, 0, 3)


def test_an_empty_document_has_no_chains(model):
    tokenizer, empty = ElmoTokenizer(), document([], [])
    example = document_example(tokenizer, empty, gold_chains(empty, singletons=True))
    assert cut_document(example, np.random.default_rng(0), 1) is example
    output = model(**DocumentCollator(tokenizer)([example]))
    assert output.loss == 0 and model.clusters(output) == [] == resolve_document(model, tokenizer, empty)


def test_predicted_chains_of_padded_outputs():
    spans = np.array([[[0, 0], [2, 3], [5, 5]], [[1, 1], [-100, -100], [-100, -100]]])
    antecedents = np.array([[-1, -1, 0], [-1, -100, -100]])
    scores = np.array([[1.0, 2.0, 1.0], [-1.0, -100, -100]])
    assert predicted_chains((spans, antecedents, scores), singletons=False) == [[[(0, 0), (5, 5)]], []]
    assert predicted_chains((spans, antecedents, scores), singletons=True) == [[[(0, 0), (5, 5)], [(2, 3)]], []]


def test_rendering():
    text = "Ann's son met him."
    assert render(text, [[(0, 9), (14, 17)], [(0, 3)]]) == "[[Ann]_2's son]_1 met [him]_1."
    assert render(text, []) == text and render("", []) == ""
    assert render("Ann left", [[(0, 3)], [(4, 8), (0, 8)]]) == "[[Ann]_1 [left]_2]_2"


def test_raw_text_gives_places_and_brackets(model, monkeypatch):
    text = "Ann met Bo's son in  York. She liked him.\nThey left."
    monkeypatch.setattr(model, "clusters", lambda output: [[(0, 0), (8, 8)], [(2, 4), (10, 10)]])
    result = resolve_text(model, ElmoTokenizer(), text)
    assert [[each["text"] for each in cluster] for cluster in result["clusters"]] == [
        ["Ann", "She"],
        ["Bo's son", "him"],
    ]
    assert all(text[each["start"] : each["end"]] == each["text"] for cluster in result["clusters"] for each in cluster)
    assert result["rendering"] == "[Ann]_1 met [Bo's son]_2 in  York. [She]_1 liked [him]_2.\nThey left."
    assert resolve_text(model, ElmoTokenizer(), " ") == {"clusters": [], "rendering": " "}


def test_genres(make_model):
    config = make_model(ElmoForCoreferenceResolution, coreference_genres=["bc", "nw"]).config
    assert (genre_number(config, "nw"), genre_number(config, None)) == (1, 0)
    with pytest.raises(ValueError, match=r"not seen the genre 'pt' in training, only \['bc', 'nw'\]"):
        genre_number(config, "pt")
    assert genre_number(make_model(ElmoForCoreferenceResolution).config, "nw") is None


def test_link_accuracy_is_of_whole_documents(tmp_path, model, monkeypatch):
    write_conll2012([document(), document(chains=[[(0, 0), (6, 6)]])], tmp_path / "a.conll")
    monkeypatch.setattr(coreference, "resolve_document", lambda *_: [[(0, 0), (6, 6), (10, 10)], [(2, 2)]])
    assert link_accuracy(model, ElmoTokenizer(), read_winobias(tmp_path / "a.conll")) == 50.0


def test_results_of_two_files_need_two_names():
    files = {"train_file": "a", "validation_file": "b"}
    with pytest.raises(ValueError, match="--winobias_files would share a name in the results .*'winobias_pro'"):
        CoreferenceArguments(**files, winobias_files=["dev/pro.conll", "test/pro.conll"])
    CoreferenceArguments(**files, winobias_files=["dev/pro.conll", "dev/anti.conll"])


def test_batches_are_single_documents(tmp_path):
    with pytest.raises(ValueError, match="leave the batch sizes at 1"):
        CoreferenceTraining(output_dir=str(tmp_path), per_device_train_batch_size=2)
