"""What users of Trainer and Accelerate rely on, with every head: variable lengths, accumulation, the best model, going
on, half precision, grouping by length, pushing to the Hub, and weights that stay on disk."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from tiny_heads import make_head
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from modeling_elmo import (
    ElmoForCoreferenceResolution,
    ElmoForPreTraining,
    ElmoForQuestionAnswering,
    ElmoForSemanticRoleLabeling,
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoTokenizer,
)
from modeling_elmo.tasks.conll2012 import Document, Frame, Sentence
from modeling_elmo.tasks.coreference_documents import DocumentCollator, cut_document, document_example
from modeling_elmo.tasks.examples import PaddingCollator, encode_tagged, encode_texts
from modeling_elmo.tasks.finetuning import ChangedExamples, TaskTrainer
from modeling_elmo.tasks.question_answering import QuestionWindows
from modeling_elmo.tasks.semantic_roles import role_examples
from modeling_elmo.tasks.squad import Question

TOKENIZER = ElmoTokenizer()
DRAW = random.Random(0)
SENTENCES = [[DRAW.choice(["ann", "met", "bo", "she", "left"]) for _ in range(n)] for n in (3, 9, 1, 5, 7, 2, 12, 4)]
TAGS = ["O", "B-X", "I-X"]


def labelled(examples: list[dict], labels: list) -> list[dict]:
    return [{**example, "labels": np.array(label)} for example, label in zip(examples, labels, strict=True)]


def texts() -> list[dict]:
    return labelled(encode_texts(TOKENIZER, SENTENCES), [len(words) % 2 for words in SENTENCES])


def pairs() -> list[dict]:
    return labelled(encode_texts(TOKENIZER, SENTENCES, SENTENCES[::-1]), [len(words) % 2 for words in SENTENCES])


def tagged() -> list[dict]:
    return encode_tagged(TOKENIZER, SENTENCES, [[int(word in ("ann", "bo")) for word in words] for words in SENTENCES])


def questions() -> list[dict]:
    made = []
    for number, words in enumerate(SENTENCES):
        made.append(Question(str(number), "who left", " ".join(words), (words[-1],), (len(" ".join(words[:-1])) + 1,)))
    made[2] = Question("2", "who met", "ann", (), ())
    return QuestionWindows(TOKENIZER, made).examples


def sentence(words: list[str], frames: list[Frame] | None = None) -> Sentence:
    return Sentence(words, ["-"] * len(words), ["-"] * len(words), frames or [])


def predicates() -> list[dict]:
    rows = []
    for words in SENTENCES:
        arguments = [("V", (0, 0))] + ([("A1", (1, len(words) - 1))] if len(words) > 1 else [])
        rows.append(sentence(words, [Frame(0, words[0], "01", arguments)]))
    labels = ["O", "B-V", "I-V", "B-A1", "I-A1"]
    return role_examples(TOKENIZER, rows, {label: i for i, label in enumerate(labels)})


def documents() -> list[dict]:
    made = []
    for number in range(len(SENTENCES)):
        parts = (SENTENCES * 2)[number : number + 2 + number % 3]
        rows = Document("x", 0, [sentence(words) for words in parts], [])
        made.append(document_example(TOKENIZER, rows, [[(0, 0), (len(parts[0]), len(parts[0]))]]))
    return made


@dataclass
class Head:
    model_class: type
    examples: Callable[[], list[dict]]
    options: dict[str, Any] = field(default_factory=dict)
    collator: Any = field(default_factory=lambda: PaddingCollator(TOKENIZER))
    arguments: dict[str, Any] = field(default_factory=dict)
    change: Callable[[dict, np.random.Generator], dict] = lambda example, _: example

    def model(self):
        return make_head(self.model_class, **self.options)

    def trainer(self, folder, model=None, **arguments) -> TaskTrainer:
        arguments = {
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 3,
            "max_steps": 4,
            "learning_rate": 0.01,
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            **self.arguments,
            **arguments,
        }
        examples = self.examples()
        return TaskTrainer(
            model or self.model(),
            TrainingArguments(str(folder), **arguments),
            data_collator=self.collator,
            train_dataset=ChangedExamples(examples, self.change, seed=0),
            eval_dataset=examples,
            processing_class=TOKENIZER,
            card={"summary": "A head.", "origin": "A test.", "word_splitting": TOKENIZER.word_splitting},
        )


def named(labels: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


HEADS = {
    "texts": Head(ElmoForSequenceClassification, texts),
    "pairs": Head(ElmoForSequenceClassification, pairs),
    "tagging": Head(ElmoForTokenClassification, tagged, named(TAGS)),
    "question answering": Head(ElmoForQuestionAnswering, questions),
    "semantic roles": Head(
        ElmoForSemanticRoleLabeling, predicates, named(["O", "B-V", "I-V", "B-A1", "I-A1"]) | {"head_num_layers": 2}
    ),
    "coreference": Head(
        ElmoForCoreferenceResolution,
        documents,
        {"max_span_width": 3, "coreference_feature_size": 4},
        DocumentCollator(TOKENIZER),
        {
            "per_device_train_batch_size": 1,
            "per_device_eval_batch_size": 1,
            "remove_unused_columns": False,
        },
        partial(cut_document, max_sentences=2),
    ),
}


@pytest.fixture(params=HEADS, ids=lambda name: name.replace(" ", "_"))
def head(request) -> Head:
    return HEADS[request.param]


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)


def test_predictions_of_variable_lengths_do_not_depend_on_batches(head, tmp_path):
    model = head.model()
    sizes = (1,) if head.arguments else (1, 3, 8)
    outputs = []
    for size in sizes:
        used = head.trainer(tmp_path, model, per_device_eval_batch_size=size)
        prediction = used.predict(used.eval_dataset)
        outputs.append(prediction)
        assert np.isfinite(prediction.metrics["test_loss"])
        assert used.evaluate()["eval_loss"] == pytest.approx(prediction.metrics["test_loss"])
        first = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        assert len(first) == len(used.eval_dataset)
    for other in outputs[1:]:
        for a, b in zip(arrays(outputs[0].predictions), arrays(other.predictions), strict=True):
            for row, example in enumerate(used.eval_dataset):
                length = len(example["input_ids"]) if a.ndim > 1 and a.shape[1] > 2 else None
                np.testing.assert_allclose(a[row, :length], b[row, :length], rtol=1e-4, atol=1e-4)


def arrays(predictions) -> tuple[np.ndarray, ...]:
    return predictions if isinstance(predictions, tuple) else (predictions,)


def test_accumulated_batches_train_as_one(head, tmp_path):
    """Batches of a step give the gradients of one batch that holds them all."""
    if head.arguments:
        pytest.skip("a batch is one document")
    after = []
    for size, steps in ((1, 4), (4, 1)):
        model = head.model()
        for standardize in model.standardizations:
            standardize.momentum = 0.0  # what it knows of the data does not move between batches
        head.trainer(
            tmp_path,
            model,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=1,
            optim="sgd",
            save_strategy="no",
            max_grad_norm=0.0,
        ).train()
        after.append(weights(model))
    start = weights(head.model())
    assert any(not torch.equal(value, after[0][name]) for name, value in start.items())
    for name, value in after[0].items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, after[1][name], rtol=0, atol=1e-5, msg=name)


def test_accumulated_batches_pretrain_as_one(tmp_path):
    examples = [
        {**example, "labels": np.full(5, 3)} for example in encode_texts(TOKENIZER, [["ann", "met", "bo"]] * 4)
    ]
    after = []
    for size, steps in ((1, 4), (4, 1)):
        model = make_head(ElmoForPreTraining, dropout=0.0, num_negative_samples=0)
        arguments = TrainingArguments(
            str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=1,
            optim="sgd",
            learning_rate=1.0,
            save_strategy="no",
            max_grad_norm=0.0,
            report_to="none",
            use_cpu=True,
        )
        Trainer(model, arguments, PaddingCollator(TOKENIZER), examples).train()
        after.append(weights(model))
    for name, value in after[0].items():
        torch.testing.assert_close(value, after[1][name], rtol=0, atol=1e-5, msg=name)


def test_language_models_are_evaluated(tmp_path):
    examples = [{**example, "labels": np.full(5, 3)} for example in encode_texts(TOKENIZER, [["ann", "met", "bo"]])]
    model = make_head(ElmoForPreTraining).eval()
    arguments = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    found = Trainer(model, arguments, PaddingCollator(TOKENIZER), eval_dataset=examples).evaluate()["eval_loss"]
    with torch.no_grad():
        assert found == pytest.approx(model(**PaddingCollator(TOKENIZER)(examples)).loss.item(), abs=1e-5)


def test_going_on_from_a_checkpoint_gives_the_same(head, tmp_path):
    options = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "max_steps": 6,
        "save_steps": 5,  # in the middle of an epoch that is not the first
        "logging_steps": 1,
        "gradient_accumulation_steps": 2,
    }
    whole = head.trainer(tmp_path / "whole", **options)
    whole.train()
    rest = head.trainer(tmp_path / "rest", **options)
    rest.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-5"))
    assert_same(weights(whole.model), weights(rest.model))
    losses = [[entry["loss"] for entry in each.state.log_history if "loss" in entry] for each in (whole, rest)]
    assert len(losses[0]) == 6 and losses[0] == losses[1]


def test_the_best_model_is_loaded_at_the_end(head, tmp_path):
    used = head.trainer(
        tmp_path,
        eval_strategy="steps",
        eval_steps=1,
        save_steps=1,
        learning_rate=30.0,  # does harm: the first checkpoint is the best
        load_best_model_at_end=True,
        metric_for_best_model="loss",
    )
    used.train()
    history = [entry["eval_loss"] for entry in used.state.log_history if "eval_loss" in entry]
    assert len(history) == 4 and used.state.best_metric == min(history)
    assert used.evaluate()["eval_loss"] == pytest.approx(min(history), rel=1e-5)
    again = head.model_class.from_pretrained(used.state.best_model_checkpoint)
    assert_same(weights(again), weights(used.model))


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "unfrozen"])
def test_bfloat16(head, tmp_path, freeze):
    model = make_head(head.model_class, **head.options, freeze_bilm=freeze)
    used = head.trainer(tmp_path, model, bf16=True, save_strategy="no")
    assert np.isfinite(used.train().training_loss)
    assert {value.dtype for value in used.model.parameters()} == {torch.float32}
    assert np.isfinite(used.evaluate()["eval_loss"])
    exact = head.trainer(tmp_path, used.model)
    assert used.evaluate()["eval_loss"] == pytest.approx(exact.evaluate()["eval_loss"], rel=0.1, abs=0.05)


def test_float16(head, tmp_path):
    used = head.trainer(tmp_path, fp16=True, save_strategy="no")
    assert np.isfinite(used.train().training_loss)
    assert np.isfinite(used.evaluate()["eval_loss"])


def test_batches_of_like_length(head, tmp_path):
    used = head.trainer(tmp_path, train_sampling_strategy="group_by_length", save_strategy="no")
    sampler = used._get_train_sampler(used.train_dataset)
    assert isinstance(sampler, LengthGroupedSampler)
    if not head.arguments:
        assert sampler.lengths == [len(example["input_ids"]) for example in used.train_dataset]
    used.train()


def test_pushes_all_that_a_stranger_needs(head, tmp_path, monkeypatch):
    pushed = {}

    def upload_folder(*, folder_path, repo_id, **options):
        pushed[repo_id] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir() if path.is_file()}

    class Repository:
        repo_id = "someone/head"

    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: Repository)
    monkeypatch.setattr(HfApi, "upload_folder", lambda _, **options: upload_folder(**options))
    used = head.trainer(tmp_path / "head", push_to_hub=True, hub_model_id="someone/head", save_strategy="no")
    used.push_to_hub()
    files = pushed["someone/head"]
    wanted = {"config.json", "model.safetensors", "README.md", "tokenizer.json", "tokenizer_config.json"}
    wanted |= {"modeling_elmo.py", "configuration_elmo.py", "tokenization_elmo.py", "task_model.py", "task_layers.py"}
    wanted.add(f"{head.model_class.__module__.rpartition('.')[2]}.py")
    assert wanted <= files.keys()
    config = json.loads(files["config.json"])
    assert config["architectures"] == [head.model_class.__name__] and "AutoModel" in config["auto_map"]
    assert b"someone/head" in files["README.md"]


def test_weights_that_stay_on_disk(head, tmp_path):
    """As accelerate leaves them where a model is larger than the memory."""
    accelerate = pytest.importorskip("accelerate", reason="offloading needs accelerate")
    model, batch = head.model(), head.collator(head.examples()[:1])
    with torch.no_grad():
        expected = model(**batch)
        accelerate.disk_offload(model, tmp_path, execution_device="cpu")
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        for _ in range(2):
            found = model(**batch)
            for name, value in expected.items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6, msg=name)
