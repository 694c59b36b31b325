"""Semantic role labelling: rows stand alone, the predicate's mark counts, labels are allowed, and it learns."""

import random

import pytest
import torch
from tiny_heads import make_head

from modeling_elmo import ElmoForSemanticRoleLabeling, ElmoTokenizer
from modeling_elmo.tasks.conll2012 import Frame, Sentence
from modeling_elmo.tasks.examples import PaddingCollator
from modeling_elmo.tasks.semantic_roles import label_spans, role_examples, role_score

LABELS = ["O", "B-V", "B-ARG0", "I-ARG0", "B-ARG1", "I-ARG1"]
WORDS = ["the", "dog", "saw", "a", "cat", "that", "slept"]


def make_model(**options) -> ElmoForSemanticRoleLabeling:
    return make_head(
        ElmoForSemanticRoleLabeling,
        noise=0.1,
        predicate_embedding_size=8,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        **{"head_num_layers": 2, **options},
    )


def encode(sentences, predicates):
    batch = ElmoTokenizer()(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
    mask = torch.zeros_like(batch["attention_mask"])
    mask[torch.arange(len(sentences)), torch.tensor(predicates) + 1] = 1
    return {**batch, "predicate_mask": mask}


@torch.no_grad()
def test_rows_do_not_see_each_other_or_padding():
    model = make_model(num_representations=2)
    together = model(**encode([WORDS, WORDS[:3]], [2, 2])).logits
    alone = model(**encode([WORDS[:3]], [2])).logits
    torch.testing.assert_close(together[1:, :5], alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_predicate_counts_and_is_asked_for():
    model, batch = make_model(), encode([WORDS, WORDS], [2, 6])
    logits = model(**batch).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    del batch["predicate_mask"]
    with pytest.raises(ValueError, match="predicate_mask"):
        model(**batch)


@pytest.mark.parametrize(
    ("sentences", "predicates", "message"),
    [
        ([WORDS, WORDS], [2], "2 sentences and 1 predicates"),
        ([WORDS], [2, 6], "1 sentences and 2 predicates"),
        ([WORDS, WORDS], [2, 7], "sentence 1 has 7 words, counted from 0: number 7 is no predicate"),
        ([WORDS], [-1], "number -1 is no predicate"),
        ([[]], [0], "sentence 0 has 0 words"),
    ],
)
def test_each_sentence_needs_a_predicate_of_its_own(sentences, predicates, message):
    with pytest.raises(ValueError, match=message):
        make_model().label(sentences, predicates, ElmoTokenizer())


@torch.no_grad()
def test_labels_are_allowed_and_cached_layers_give_the_same():
    model, batch = make_model(), encode([WORDS] * 6, [0, 1, 2, 3, 4, 5])
    output = model(**batch, output_hidden_states=True)
    for row in output.logits.argmax(-1)[:, 1:-1].tolist():
        label_spans([LABELS[index] for index in row])  # raises where a span goes on that never began
    del batch["character_ids"]
    layers = torch.stack(output.hidden_states, dim=2)
    torch.testing.assert_close(model(**batch, layers=layers).logits, output.logits)


def frame(generator):
    """AGENT saw PATIENT: one of two predicates, each with arguments of its own."""
    people = ["the dog", "a cat", "Ann", "the old man", "Bo"]
    first, second, third = (name.split() for name in generator.sample(people, 3))
    words = [*first, "saw", *second, "and", "heard", *third]
    saw, heard = len(first), len(first) + len(second) + 2
    agent = ("ARG0", (0, saw - 1))
    if generator.random() < 0.5:
        arguments = [agent, ("V", (saw, saw)), ("ARG1", (saw + 1, heard - 2))]
        return Sentence(words, ["-"] * len(words), ["-"] * len(words), [Frame(saw, "see", "01", arguments)])
    arguments = [agent, ("V", (heard, heard)), ("ARG1", (heard + 1, len(words) - 1))]
    return Sentence(words, ["-"] * len(words), ["-"] * len(words), [Frame(heard, "hear", "01", arguments)])


def test_learns_the_arguments_of_the_marked_predicate(tmp_path):
    generator, tokenizer = random.Random(0), ElmoTokenizer()
    sentences = [frame(generator) for _ in range(400)]
    model = make_model().train()
    examples = role_examples(tokenizer, sentences, model.config.label2id)
    collate = PaddingCollator(tokenizer)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(60):
        loss = model(**collate([examples[(step * 32 + i) % 400] for i in range(32)])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    model = ElmoForSemanticRoleLabeling.from_pretrained(tmp_path)
    held_out = [frame(generator) for _ in range(40)]
    labels = model.label([s.words for s in held_out], [s.frames[0].predicate for s in held_out], tokenizer)
    score = role_score([s.frames[0].arguments for s in held_out], [label_spans(row) for row in labels])
    assert score["f1"] > 0.9
