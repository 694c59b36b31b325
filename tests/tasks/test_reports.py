"""What a fine-tuning leaves to be read."""

from modeling_elmo.tasks.reports import describe_results


def test_results_as_a_table():
    table = describe_results({"validation": {"validation_f1": 0.91239, "validation_runtime": 3.0, "epoch": 2.0}})
    assert table.splitlines() == ["| split | f1 | epoch |", "| --- | --- | --- |", "| validation | 0.9124 | 2.0000 |"]
