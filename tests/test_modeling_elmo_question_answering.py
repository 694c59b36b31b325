"""Question answering: what padding, order and precomputed layers change (nothing), the loss, and that it learns."""

import random

import pytest
import torch
from tiny_heads import make_head
from transformers import AutoModelForQuestionAnswering

from modeling_elmo import ElmoForQuestionAnswering, ElmoTokenizer
from modeling_elmo.tasks.question_answering import answer_or_none
from modeling_elmo.tasks.squad import Question, best_answers, encode_questions

PAIRS = [
    (["who", "left", "?"], ["Ann", "met", "Bo", ".", "Bo", "left", "."]),
    (["where", "?"], ["In", "York", "."]),
]


def make_model(**options) -> ElmoForQuestionAnswering:
    return make_head(ElmoForQuestionAnswering, **options)


def encode(pairs, **options):
    questions, texts = zip(*pairs, strict=True)
    return ElmoTokenizer()(
        list(questions), list(texts), is_split_into_words=True, padding=True, return_tensors="pt", **options
    )


@torch.no_grad()
def test_rows_do_not_see_each_other_or_padding():
    model = make_model(num_representations=2)
    together = model(**encode(PAIRS))
    for row, pair in enumerate(PAIRS):
        alone = model(**encode([pair]))
        length = alone.start_logits.shape[1]
        torch.testing.assert_close(together.start_logits[row, :length], alone.start_logits[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.end_logits[row, :length], alone.end_logits[0], rtol=1e-5, atol=1e-5)
    left = model(**encode(PAIRS, padding_side="left"))
    assert (left.start_logits[1, 1:].max() - together.start_logits[1, 1:].max()).abs() < 1e-5


@torch.no_grad()
def test_without_a_question_the_batch_does_not_matter_either():
    model = make_model(num_representations=2)
    pair = ([], ["In", "York", "."])
    alone = model(**encode([pair]))
    together = model(**encode([pair, (["who", "of", "them", "left", "first", "?"], PAIRS[0][1])]))
    length = alone.start_logits.shape[1]
    torch.testing.assert_close(together.start_logits[0, :length], alone.start_logits[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.end_logits[0, :length], alone.end_logits[0], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_only_the_text_and_no_answer_can_be_chosen():
    batch = encode(PAIRS)
    output = make_model()(**batch)
    lowest = torch.finfo(torch.float32).min
    boundaries = (batch["input_ids"] == 0) | (batch["input_ids"] == 1)
    allowed = (batch["token_type_ids"] == 1) & batch["attention_mask"].bool() & ~boundaries
    allowed[:, 0] = True
    for logits in (output.start_logits, output.end_logits):
        assert ((logits > lowest) == allowed).all()


@torch.no_grad()
def test_precomputed_layers_give_the_same():
    model, batch = make_model(), encode(PAIRS)
    plain = model(**batch, output_hidden_states=True)
    layers = torch.stack(plain.hidden_states, dim=2)
    del batch["character_ids"]
    torch.testing.assert_close(model(**batch, layers=layers).start_logits, plain.start_logits)


@torch.no_grad()
def test_loss_is_the_mean_cross_entropy_of_both_ends():
    model, batch = make_model(), encode(PAIRS)
    starts, ends = torch.tensor([9, 0]), torch.tensor([10, 99])
    output = model(**batch, start_positions=starts, end_positions=ends)
    start = torch.nn.functional.cross_entropy(output.start_logits, starts)
    end = torch.nn.functional.cross_entropy(output.end_logits[:1], ends[:1])  # 99 is outside of the window
    torch.testing.assert_close(output.loss, (start + end) / 2)


def test_a_batch_without_a_position_inside_has_no_loss():
    model, batch = make_model(), encode(PAIRS)
    outside = torch.tensor([-1, 99])
    loss = model(**batch, start_positions=outside, end_positions=outside).loss
    loss.backward()
    assert loss == 0
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and not any(gradient.any() for gradient in gradients)


@torch.no_grad()
def test_positions_that_are_no_words_of_the_text_are_named():
    model, batch = make_model(), encode(PAIRS)
    right, in_the_question = torch.tensor([9, 0]), torch.tensor([9, 1])
    with pytest.raises(ValueError, match="row 1 of the batch begins or ends its answer at position 1"):
        model(**batch, start_positions=right, end_positions=in_the_question)


def test_token_types_are_asked_for():
    batch = encode(PAIRS)
    del batch["token_type_ids"]
    with pytest.raises(ValueError, match="token_type_ids"):
        make_model()(**batch)


def question(generator, key):
    """Who and where; some texts do not say where."""
    name, place = generator.choice(["Ann", "Bo", "Carl", "Dora"]), generator.choice(["Oslo", "New York", "Rome"])
    where_is_told = generator.random() < 0.7
    context = f"Then {name} left for {place}, at last." if where_is_told else f"Then {name} left, at last."
    asked, answer = generator.choice([("Who left?", name), ("Where to?", place)])
    if answer not in context:
        return Question(str(key), asked, context, (), ())
    return Question(str(key), asked, context, (answer,), (context.index(answer),))


def test_learns_to_answer_and_not_to(tmp_path):
    generator, tokenizer = random.Random(0), ElmoTokenizer()
    model = make_model().train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    def batch_of(questions):
        encoding = encode_questions(questions, tokenizer, padding=True, return_tensors="pt")
        keys = ("character_ids", "attention_mask", "input_ids", "token_type_ids")
        return encoding, {key: encoding[key] for key in keys}

    for step in range(110):
        encoding, batch = batch_of([question(generator, f"{step}-{i}") for i in range(24)])
        positions = {key: torch.tensor(encoding[key]) for key in ("start_positions", "end_positions")}
        loss = model(**batch, **positions).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval()
    held_out = [question(generator, f"held-out-{i}") for i in range(40)]
    encoding, batch = batch_of(held_out)
    with torch.no_grad():
        output = model(**batch)
    found = best_answers(held_out, encoding, output.start_logits, output.end_logits)
    right = sum(answer_or_none(found[asked.key], 0.0)["text"] == "".join(asked.answers[:1]) for asked in held_out)
    assert right >= 36
