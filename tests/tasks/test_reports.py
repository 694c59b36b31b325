"""What a fine-tuning leaves to be read."""

from modeling_elmo.tasks.arguments import DataArguments, FinetuningArguments, ModelArguments
from modeling_elmo.tasks.reports import describe_results, describe_training, plain_metrics


def test_results_as_a_table():
    table = describe_results({"validation": {"f1": 0.91239, "epoch": 2.0}, "test": {"f1": 0.25, "epoch": 2.0}})
    assert table.splitlines() == [
        "| split | f1 | epoch |",
        "| --- | --- | --- |",
        "| validation | 0.9124 | 2.0000 |",
        "| test | 0.2500 | 2.0000 |",
    ]


def test_metrics_without_prefix_times_and_memory():
    metrics = {"validation_f1": 0.5, "validation_runtime": 3.0, "validation_samples_per_second": 2.0}
    # Trainer calls the memory of every prediction so (--skip_memory_metrics false).
    memory = {"test_mem_cpu_alloc_delta": 5}
    assert plain_metrics(metrics | memory, "validation") == {"f1": 0.5}


def test_training_as_it_was(tmp_path):
    data, model = DataArguments("a/train.tsv", "b"), ModelArguments("elmo")

    def described(**options):
        return describe_training(data, model, FinetuningArguments(str(tmp_path), use_cpu=True, **options), 7)

    head = "A head fine-tuned on 7 examples of train.tsv, above elmo, the biLM frozen; "
    options = "batch size 32, learning rate 0.001, seed 42"
    assert described() == f"{head}epochs 10, {options}, best epoch kept."
    assert described(max_steps=5, load_best_model_at_end=False) == f"{head}steps 5, {options}."
    by_steps = described(eval_strategy="steps", save_strategy="steps")
    assert by_steps == f"{head}epochs 10, {options}, best checkpoint kept."
