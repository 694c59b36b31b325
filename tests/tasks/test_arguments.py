"""The options of the fine-tuning recipes."""

import json

import pytest
from transformers import HfArgumentParser

from modeling_elmo.tasks.arguments import DataArguments, FinetuningArguments, ModelArguments, parse_arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either --train_file or --dataset_name"),
        ({"train_file": "a", "dataset_name": "b"}, "either --train_file or --dataset_name"),
        ({"dataset_name": "a", "validation_file": "b"}, "leave --validation_file and --test_file out"),
        ({"dataset_name": "a", "test_file": "b"}, "leave --validation_file and --test_file out"),
        ({"train_file": "a"}, "--validation_file, or --validation_fraction"),
        ({"train_file": "a", "validation_file": "b", "train_fraction": 0.0}, "--train_fraction"),
        ({"train_file": "a", "validation_file": "b", "max_eval_samples": 0}, "--max_eval_samples is 0"),
    ],
)
def test_data_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataArguments(**arguments)


def test_model_arguments_that_make_no_sense():
    for options in ({}, {"model_name_or_path": "x", "without_elmo": True}):
        with pytest.raises(ValueError, match="either --model_name_or_path"):
            ModelArguments(**options)
    with pytest.raises(ValueError, match="leave --unfreeze"):
        ModelArguments(without_elmo=True, unfreeze=True)


def test_training_arguments_are_options(tmp_path):
    (training,) = HfArgumentParser(FinetuningArguments).parse_args_into_dataclasses(
        ["--output_dir", str(tmp_path), "--learning_rate", "0.5", "--use_cpu", "--bf16"]
    )
    assert training.learning_rate == 0.5 and training.load_best_model_at_end and training.bf16


@pytest.mark.parametrize("options", [{"optim": "adafactor"}, {"optim_args": "weight_decay=1"}])
def test_optimizers_that_would_not_be_used_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="leave --optim and --optim_args out"):
        FinetuningArguments(str(tmp_path), **options)


@pytest.mark.parametrize("name", ["dataloader_drop_last", "prediction_loss_only", "batch_eval_metrics"])
def test_options_that_leave_predictions_out_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"predictions for all examples at once: leave --{name} out"):
        FinetuningArguments(str(tmp_path), **{name: True})
    with pytest.raises(ValueError, match="leave --eval_do_concat_batches out"):
        FinetuningArguments(str(tmp_path), eval_do_concat_batches=False)


@pytest.mark.parametrize("name", ["bf16_full_eval", "fp16_full_eval"])
def test_options_that_round_the_saved_model_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"--{name} would round the weights of the model that is saved"):
        FinetuningArguments(str(tmp_path), use_cpu=True, **{name: True})


def test_options_from_a_file(tmp_path, monkeypatch):
    options = {"train_file": "a", "validation_fraction": 0.1, "model_name_or_path": "x", "use_cpu": True}
    (tmp_path / "options.json").write_text(json.dumps({**options, "output_dir": str(tmp_path), "seed": 7}))
    monkeypatch.setattr("sys.argv", ["finetune.py", str(tmp_path / "options.json")])
    data, model, training = parse_arguments(DataArguments, "A recipe.")
    assert (data.validation_fraction, model.model_name_or_path, training.seed) == (0.1, "x", 7)


def test_the_data_seed_may_be_zero(tmp_path):
    assert FinetuningArguments(str(tmp_path), seed=3, data_seed=0).split_seed == 0
    assert FinetuningArguments(str(tmp_path), seed=3).split_seed == 3
